// The gRPC port of the gateways, with every service on it.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "ratelimitd/io/admin_service.h"
#include "ratelimitd/io/admission_service.h"
#include "ratelimitd/io/grpc_health_service.h"
#include "ratelimitd/io/grpc_listener.h"
#include "ratelimitd/io/provider_health_service.h"
#include "ratelimitd/io/reflection_service.h"

namespace ratelimitd {

// All must outlive the server.
struct ServerParts {
  SharedTable& table;
  Metrics& metrics;
  DurableWaiters& waiters;
  FleetQueue* fleet = nullptr;                 // null: this ratelimitd is alone
  ServerCertificates* certificates = nullptr;  // null: plain text
  AdminService* admin = nullptr;               // null: not on this port
};

class Server {
 public:
  // Binds "host:port" (port 0: a free one) and serves on `threads` threads. Unavailable: the
  // address cannot be bound; the message names it.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const std::string& address, int threads,
                                                       const ServerParts& parts);
  // Ends at once what Drain has left.
  ~Server();

  // "127.0.0.1:50051", with the real port.
  const std::string& address() const { return listener_->address(); }

  // Health checks say not serving; calls are still taken.
  void AnnounceDrain();
  // Ends sessions and watchers with UNAVAILABLE, waits for the other calls for `grace`, then
  // cancels them. The store should be flushed before, so that acknowledgements go out.
  void Drain(milliseconds grace);

 private:
  explicit Server(const ServerParts& parts);

  ServerParts parts_;
  AdmissionDesk desk_;
  WatchHub hub_;
  AdmissionService admission_;
  ProviderHealthService provider_health_;
  GrpcHealthService health_;
  ReflectionService reflection_;
  std::unique_ptr<GrpcListener> listener_;
};

}  // namespace ratelimitd
