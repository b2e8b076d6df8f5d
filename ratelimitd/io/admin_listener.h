// AdminService alone on a port, with server reflection for grpcurl.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "ratelimitd/io/admin_service.h"
#include "ratelimitd/io/grpc_listener.h"
#include "ratelimitd/io/reflection_service.h"

namespace ratelimitd {

class AdminListener {
 public:
  // `service` must outlive it. Fails as GrpcListener::Start.
  static absl::StatusOr<std::unique_ptr<AdminListener>> Start(const ListenerSettings& settings,
                                                              AdminService& service);

  // "127.0.0.1:50052", with the real port.
  const std::string& address() const { return listener_->address(); }

 private:
  AdminListener();

  ReflectionService reflection_;
  std::unique_ptr<GrpcListener> listener_;
};

}  // namespace ratelimitd
