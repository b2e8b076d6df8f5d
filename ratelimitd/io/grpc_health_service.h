// grpc.health.v1: "" and each service for load balancers, "provider/<name>" for people. Not serving
// means draining, or for a provider that nobody may ask it now; never that a store is down.
#pragma once

#include <prometheus/gauge.h>

#include <atomic>
#include <string>
#include <vector>

#include "grpc/health/v1/health.grpc.pb.h"
#include "ratelimitd/io/call_queue.h"
#include "ratelimitd/io/shared_table.h"
#include "ratelimitd/io/watch_hub.h"

namespace ratelimitd {

class GrpcHealthService {
 public:
  using Status = grpc::health::v1::HealthCheckResponse::ServingStatus;

  // `services`: full names that are known beside "". The others must outlive the server.
  GrpcHealthService(std::vector<std::string> services, SharedTable& table, WatchHub& hub,
                    prometheus::Gauge& watchers);

  grpc::Service& service() { return service_; }
  void Listen(CallQueue& queue);
  // From now on "" and the services are not serving.
  void Drain() { is_draining_ = true; }

  // SERVICE_UNKNOWN for names it does not know.
  Status StatusOf(const std::string& name);

 private:
  std::vector<std::string> services_;
  SharedTable& table_;
  WatchHub& hub_;
  prometheus::Gauge& watchers_;
  std::atomic<bool> is_draining_ = false;
  grpc::health::v1::Health::AsyncService service_;
};

}  // namespace ratelimitd
