#include "ratelimitd/io/grpc_listener.h"

#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include "common/concat.h"

namespace ratelimitd {
namespace {

constexpr int kMaxMessageBytes = 4 << 20;
// Of one connection: a gateway has one for each thread, and people have a few.
constexpr int kMaxStreams = 1024;
// What gRPC may hold of messages that have not come whole or were not taken; under pressure it
// takes no more in and then ends streams.
constexpr size_t kMaxBufferedBytes = 256 << 20;
// A gateway that vanished without a word is noticed within this and its timeout.
constexpr int kKeepaliveMs = 10'000;
constexpr int kKeepaliveTimeoutMs = 5'000;
constexpr int kShortestPingIntervalMs = 1'000;

void Configure(grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreams);
  builder.SetResourceQuota(grpc::ResourceQuota("ratelimitd").Resize(kMaxBufferedBytes));
  // Two servers on one port would split the gateways between two truths.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kShortestPingIntervalMs);
}

}  // namespace

absl::StatusOr<std::unique_ptr<GrpcListener>> GrpcListener::Start(
    const ListenerSettings& settings, const ListenerServices& services) {
  std::unique_ptr<GrpcListener> listener(new GrpcListener);
  grpc::ServerBuilder builder;
  Configure(builder);
  int port = 0;
  const auto credentials = settings.certificates == nullptr ? grpc::InsecureServerCredentials()
                                                            : settings.certificates->Credentials();
  builder.AddListeningPort(settings.address, credentials, &port);
  for (grpc::Service* service : services.services) builder.RegisterService(service);
  for (int i = 0; i < settings.threads; ++i) {
    listener->queues_.push_back(std::make_unique<CallQueue>(builder.AddCompletionQueue()));
  }
  listener->server_ = builder.BuildAndStart();
  if (listener->server_ == nullptr || port == 0) {
    return absl::UnavailableError(
        common::Concat("listen: ", settings.address,
                       " cannot be bound; is another program using it, or is it no address?"));
  }
  const std::string host = settings.address.substr(0, settings.address.rfind(':'));
  listener->address_ = common::Concat(host, ":", port);
  for (const auto& queue : listener->queues_) {
    services.listen(*queue);
    queue->Start();
  }
  return listener;
}

GrpcListener::~GrpcListener() {
  if (server_ != nullptr) server_->Shutdown(common::WallTime());
}

void GrpcListener::Shutdown(common::WallTime deadline) { server_->Shutdown(deadline); }

}  // namespace ratelimitd
