// ProviderHealthService on the server's completion queues.
#pragma once

#include <prometheus/gauge.h>

#include <functional>
#include <memory>
#include <vector>

#include "candor/ratelimitd/v1/provider_health.grpc.pb.h"
#include "ratelimitd/io/call_queue.h"
#include "ratelimitd/io/provider_messages.h"
#include "ratelimitd/io/shared_table.h"
#include "ratelimitd/io/watch_hub.h"

namespace ratelimitd {

// The stream of one watcher: a snapshot, then changes, and heartbeats while there are none.
std::unique_ptr<WatchSource<pb::WatchProvidersResponse>> MakeProviderWatch(
    const pb::WatchProvidersRequest& request);

class ProviderHealthService {
 public:
  // All must outlive the server.
  ProviderHealthService(SharedTable& table, WatchHub& hub, prometheus::Gauge& watchers);

  grpc::Service& service() { return service_; }
  void Listen(CallQueue& queue);

  grpc::Status List(const pb::ListProvidersRequest& request, pb::ListProvidersResponse& response);
  grpc::Status Get(const pb::GetProviderRequest& request, pb::GetProviderResponse& response);

 private:
  using Look = std::function<std::vector<HealthView>(TargetTable& table, const Moment& moment)>;
  std::vector<pb::Provider> Providers(const Look& look);

  SharedTable& table_;
  WatchHub& hub_;
  prometheus::Gauge& watchers_;
  pb::ProviderHealthService::AsyncService service_;
};

}  // namespace ratelimitd
