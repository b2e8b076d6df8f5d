#include "ratelimitd/io/server.h"

namespace ratelimitd {
namespace {

const char kAdmission[] = "candor.ratelimitd.v1.AdmissionService";
const char kProviderHealth[] = "candor.ratelimitd.v1.ProviderHealthService";

std::vector<std::string> ServiceNames(const ServerParts& parts) {
  std::vector<std::string> names{kAdmission, kProviderHealth};
  if (parts.admin != nullptr) names.emplace_back(AdminService::kName);
  return names;
}

std::vector<std::string> ReflectedServices(const ServerParts& parts) {
  std::vector<std::string> names = ServiceNames(parts);
  for (const char* name : {"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
                           "grpc.reflection.v1alpha.ServerReflection"}) {
    names.emplace_back(name);
  }
  return names;
}

}  // namespace

Server::Server(const ServerParts& parts)
    : parts_(parts),
      desk_(parts.table, parts.metrics, parts.waiters, parts.fleet),
      hub_(parts.table),
      admission_(desk_),
      provider_health_(parts.table, hub_, parts.metrics.watchers()),
      health_(ServiceNames(parts), parts.table, hub_, parts.metrics.watchers()),
      reflection_(ReflectedServices(parts)) {}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const std::string& address, int threads,
                                                      const ServerParts& parts) {
  std::unique_ptr<Server> server(new Server(parts));
  ListenerServices services{
      .services = {&server->admission_.service(), &server->provider_health_.service(),
                   &server->health_.service(), &server->reflection_.v1(),
                   &server->reflection_.v1alpha()},
      .listen = [&](CallQueue& queue) {
        server->admission_.Listen(queue);
        server->provider_health_.Listen(queue);
        server->health_.Listen(queue);
        server->reflection_.Listen(queue);
        if (parts.admin != nullptr) parts.admin->Listen(queue);
      }};
  if (parts.admin != nullptr) services.services.push_back(&parts.admin->service());
  auto listener = GrpcListener::Start({address, threads, parts.certificates}, services);
  if (!listener.ok()) return listener.status();
  server->listener_ = *std::move(listener);
  parts.table.OnVisibleChange([hub = &server->hub_] { hub->Wake(); });
  return server;
}

Server::~Server() {
  if (listener_ != nullptr) Drain(milliseconds(0));
  parts_.table.OnVisibleChange([] {});
  listener_.reset();
}

void Server::AnnounceDrain() {
  health_.Drain();
  hub_.Wake();
}

void Server::Drain(milliseconds grace) {
  AnnounceDrain();
  parts_.waiters.GiveUp();
  admission_.Drain();
  hub_.Drain();
  listener_->Shutdown(parts_.table.clock().Wall() + grace);
}

}  // namespace ratelimitd
