#include "ratelimitd/io/admin_listener.h"

namespace ratelimitd {

AdminListener::AdminListener()
    : reflection_({AdminService::kName, "grpc.reflection.v1.ServerReflection",
                   "grpc.reflection.v1alpha.ServerReflection"}) {}

absl::StatusOr<std::unique_ptr<AdminListener>> AdminListener::Start(
    const ListenerSettings& settings, AdminService& service) {
  std::unique_ptr<AdminListener> admin(new AdminListener);
  ReflectionService& reflection = admin->reflection_;
  auto listener = GrpcListener::Start(
      settings, {.services = {&service.service(), &reflection.v1(), &reflection.v1alpha()},
                 .listen = [&](CallQueue& queue) {
                   service.Listen(queue);
                   reflection.Listen(queue);
                 }});
  if (!listener.ok()) return listener.status();
  admin->listener_ = *std::move(listener);
  return admin;
}

}  // namespace ratelimitd
