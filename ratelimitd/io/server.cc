#include "ratelimitd/io/server.h"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include "common/concat.h"
#include "ratelimitd/io/call_queue.h"

namespace ratelimitd {
namespace {

constexpr int kMaxMessageBytes = 4 << 20;
// A gateway that vanished without a word is noticed within this and its timeout.
constexpr int kKeepaliveMs = 10'000;
constexpr int kKeepaliveTimeoutMs = 5'000;
constexpr int kShortestPingIntervalMs = 1'000;

const char kAdmission[] = "candor.ratelimitd.v1.AdmissionService";
const char kProviderHealth[] = "candor.ratelimitd.v1.ProviderHealthService";

std::vector<std::string> ReflectedServices() {
  return {kAdmission, kProviderHealth, "grpc.health.v1.Health",
          "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"};
}

void Configure(grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  // Two servers on one port would split the gateways between two truths.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kShortestPingIntervalMs);
}

}  // namespace

Server::Server(const ServerParts& parts)
    : parts_(parts),
      desk_(parts.table, parts.metrics, parts.waiters, parts.fleet),
      hub_(parts.table),
      admission_(desk_),
      provider_health_(parts.table, hub_, parts.metrics.watchers()),
      health_({kAdmission, kProviderHealth}, parts.table, hub_, parts.metrics.watchers()),
      reflection_(ReflectedServices()) {}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const std::string& address, int threads,
                                                      const ServerParts& parts) {
  std::unique_ptr<Server> server(new Server(parts));
  grpc::ServerBuilder builder;
  Configure(builder);
  int port = 0;
  const auto credentials = parts.certificates == nullptr ? grpc::InsecureServerCredentials()
                                                         : parts.certificates->Credentials();
  builder.AddListeningPort(address, credentials, &port);
  for (grpc::Service* service :
       {&server->admission_.service(), &server->provider_health_.service(),
        &server->health_.service(), &server->reflection_.v1(), &server->reflection_.v1alpha()}) {
    builder.RegisterService(service);
  }
  for (int i = 0; i < threads; ++i)
    server->queues_.push_back(std::make_unique<CallQueue>(builder.AddCompletionQueue()));
  server->server_ = builder.BuildAndStart();
  if (server->server_ == nullptr || port == 0) {
    return absl::UnavailableError(
        common::Concat("listen: ", address,
                       " cannot be bound; is another program using it, or is it no address?"));
  }
  server->address_ = common::Concat(address.substr(0, address.rfind(':')), ":", port);
  parts.table.OnVisibleChange([hub = &server->hub_] { hub->Wake(); });
  for (const auto& queue : server->queues_) {
    server->admission_.Listen(*queue);
    server->provider_health_.Listen(*queue);
    server->health_.Listen(*queue);
    server->reflection_.Listen(*queue);
    queue->Start();
  }
  return server;
}

Server::~Server() {
  if (server_ != nullptr) Drain(milliseconds(0));
  parts_.table.OnVisibleChange([] {});
  queues_.clear();
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
  server_->Shutdown(parts_.table.clock().Wall() + grace);
}

}  // namespace ratelimitd
