#include "ratelimitd/io/grpc_health_service.h"

#include <algorithm>
#include <limits>

#include "common/concat.h"
#include "common/json_text.h"
#include "ratelimitd/io/rpc_error.h"
#include "ratelimitd/io/unary_call.h"
#include "ratelimitd/io/watch_call.h"

namespace ratelimitd {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using Async = grpc::health::v1::Health::AsyncService;

constexpr std::string_view kProviderPrefix = "provider/";
// Of an unknown name, in an error: a client takes no trailer of any size.
constexpr size_t kMaxToldBytes = 256;

// Tells the status at first and whenever it differs from the one told last.
class StatusWatch final : public WatchSource<HealthCheckResponse> {
 public:
  StatusWatch(std::string name, GrpcHealthService& health)
      : name_(std::move(name)), health_(health) {}

  bool Next(const WatchTick&, HealthCheckResponse& response) override {
    const GrpcHealthService::Status status = health_.StatusOf(name_);
    if (status == last_) return false;
    last_ = status;
    response.set_status(status);
    return true;
  }

  uint64_t version() const override { return std::numeric_limits<uint64_t>::max(); }

 private:
  std::string name_;
  GrpcHealthService& health_;
  GrpcHealthService::Status last_ = HealthCheckResponse::UNKNOWN;
};

}  // namespace

GrpcHealthService::GrpcHealthService(std::vector<std::string> services, SharedTable& table,
                                     WatchHub& hub, prometheus::Gauge& watchers)
    : services_(std::move(services)), table_(table), hub_(hub), watchers_(watchers) {}

GrpcHealthService::Status GrpcHealthService::StatusOf(const std::string& name) {
  if (name.empty() || std::find(services_.begin(), services_.end(), name) != services_.end()) {
    return is_draining_ ? HealthCheckResponse::NOT_SERVING : HealthCheckResponse::SERVING;
  }
  if (name.compare(0, kProviderPrefix.size(), kProviderPrefix) != 0) {
    return HealthCheckResponse::SERVICE_UNKNOWN;
  }
  const std::string provider = name.substr(kProviderPrefix.size());
  std::optional<Askable> askable;
  table_.Update([&](TargetTable& table, auto next_moment) {
    askable = table.IsAskable(provider, next_moment());
  });
  if (!askable) return HealthCheckResponse::SERVICE_UNKNOWN;
  return *askable == Askable::kYes ? HealthCheckResponse::SERVING
                                   : HealthCheckResponse::NOT_SERVING;
}

void GrpcHealthService::Listen(CallQueue& queue) {
  UnaryCall<Async, HealthCheckRequest, HealthCheckResponse>::Listen(
      service_, &Async::RequestCheck, queue,
      [this](const auto&, const auto& request, auto& response, const Finish& finish) {
        response.set_status(StatusOf(request.service()));
        if (response.status() != HealthCheckResponse::SERVICE_UNKNOWN) {
          finish(grpc::Status::OK);
          return;
        }
        finish(MakeRpcError(
            grpc::StatusCode::NOT_FOUND, "UNKNOWN_SERVICE",
            common::Concat("unknown service \"",
                           common::TruncateUtf8(request.service(), kMaxToldBytes), "\"")));
      });
  using Watch = WatchCall<Async, HealthCheckRequest, HealthCheckResponse>;
  Watch::Listen({service_, &Async::RequestWatch,
                 [this](const HealthCheckRequest& request) {
                   return std::make_unique<StatusWatch>(request.service(), *this);
                 },
                 hub_, watchers_},
                queue);
}

}  // namespace ratelimitd
