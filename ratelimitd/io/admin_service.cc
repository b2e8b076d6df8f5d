#include "ratelimitd/io/admin_service.h"

#include <grpc/grpc_security_constants.h>

#include <algorithm>
#include <optional>

#include "common/concat.h"
#include "ratelimitd/io/rpc_error.h"

namespace ratelimitd {
namespace {

using Async = pb::AdminService::AsyncService;

constexpr size_t kMaxNameBytes = 256;
constexpr size_t kMaxReasonBytes = 200;
constexpr milliseconds kShortest = std::chrono::seconds(1);
constexpr milliseconds kLongest = std::chrono::hours(24);

grpc::Status Invalid(std::string_view reason, std::string_view message) {
  return MakeRpcError(grpc::StatusCode::INVALID_ARGUMENT, reason, message);
}

grpc::Status CheckNames(const std::string& provider, const std::string& model) {
  if (provider.empty()) {
    return Invalid("NO_PROVIDER", "name the provider, for instance \"openai\"");
  }
  if (provider.size() > kMaxNameBytes || model.size() > kMaxNameBytes) {
    return Invalid("BAD_NAME", "provider and model have at most 256 bytes");
  }
  return grpc::Status::OK;
}

grpc::Status CheckReason(std::string_view reason) {
  const auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
  if (!reason.empty() && reason.size() <= kMaxReasonBytes &&
      std::none_of(reason.begin(), reason.end(), is_control)) {
    return grpc::Status::OK;
  }
  return Invalid("BAD_REASON", "say why in `reason`, in 1 to 200 bytes without control characters");
}

std::optional<OverrideMode> ParseMode(pb::OverrideMode mode) {
  switch (mode) {
    case pb::OVERRIDE_MODE_OBSERVE_ONLY:
      return OverrideMode::kObserveOnly;
    case pb::OVERRIDE_MODE_FORCE_CLOSED:
      return OverrideMode::kForcedClosed;
    case pb::OVERRIDE_MODE_FORCE_OPEN:
      return OverrideMode::kForcedOpen;
    case pb::OVERRIDE_MODE_END:
      return OverrideMode::kNone;
    default:
      return std::nullopt;
  }
}

// Clamped while it is read: seconds may be anything.
milliseconds ParseLength(const google::protobuf::Duration& duration) {
  const int64_t seconds = std::clamp<int64_t>(duration.seconds(), -1, 1'000'000);
  return std::chrono::seconds(seconds) + milliseconds(duration.nanos() / 1'000'000);
}

grpc::Status CheckOverride(const pb::OverrideRequest& request) {
  if (grpc::Status status = CheckNames(request.provider(), request.model()); !status.ok()) {
    return status;
  }
  if (!ParseMode(request.mode())) {
    return Invalid("BAD_MODE",
                   "mode must be OVERRIDE_MODE_FORCE_OPEN, _FORCE_CLOSED, _OBSERVE_ONLY or _END");
  }
  if (grpc::Status status = CheckReason(request.reason()); !status.ok()) return status;
  const bool is_end = request.mode() == pb::OVERRIDE_MODE_END;
  if (is_end && request.has_expires_in()) {
    return Invalid("BAD_EXPIRY", "an override is ended at once: leave expires_in away");
  }
  const milliseconds length = ParseLength(request.expires_in());
  if (!is_end && (length < kShortest || length > kLongest)) {
    return Invalid("BAD_EXPIRY", "expires_in must be 1 s to 24 h, for instance \"3600s\"");
  }
  return grpc::Status::OK;
}

grpc::Status UnknownKey(const std::string& provider, const std::string& model) {
  if (model.empty()) {
    return MakeRpcError(grpc::StatusCode::NOT_FOUND, "UNKNOWN_PROVIDER",
                        common::Concat("nobody has asked for the provider \"", provider,
                                       "\" yet: Reset has nothing to forget, Override may be set "
                                       "with allow_missing"));
  }
  return MakeRpcError(grpc::StatusCode::NOT_FOUND, "UNKNOWN_TARGET",
                      common::Concat("nobody has asked \"", provider, "\" for the model \"", model,
                                     "\" yet: Reset has nothing to forget, Override may be set "
                                     "with allow_missing"));
}

// Why nothing was done.
grpc::Status ReasonOfNothing(const pb::ResetRequest& request) {
  return UnknownKey(request.provider(), request.model());
}
grpc::Status ReasonOfNothing(const pb::OverrideRequest& request) {
  if (!request.allow_missing()) return UnknownKey(request.provider(), request.model());
  return MakeRpcError(grpc::StatusCode::RESOURCE_EXHAUSTED, "NO_ROOM",
                      "everything that is remembered has a failure or an override in force, and "
                      "makes no room: raise bounds.targets",
                      kRoomInAWhile);
}

// The names in the caller's certificate, the common name first; none without one.
std::vector<std::string> CallerNames(const grpc::ServerContext& context) {
  std::vector<std::string> names;
  const auto auth = context.auth_context();
  if (auth == nullptr || !auth->IsPeerAuthenticated()) return names;
  for (const char* property : {GRPC_X509_CN_PROPERTY_NAME, GRPC_PEER_DNS_PROPERTY_NAME}) {
    for (const grpc::string_ref& name : auth->FindPropertyValues(property)) {
      names.emplace_back(name.data(), name.size());
    }
  }
  return names;
}

std::string NameOfCaller(const grpc::ServerContext& context) {
  const std::vector<std::string> names = CallerNames(context);
  return names.empty() ? "operator" : common::Concat("operator ", names.front());
}

// What was done, and the provider as it is afterwards.
struct Decided {
  bool is_known = false;
  ClockPair clocks;
  std::vector<HealthView> views;

  void Run(const std::function<bool(TargetTable&, const Moment&)>& act, const std::string& provider,
           TargetTable& table, const Moment& moment) {
    is_known = act(table, moment);
    clocks.now = moment.now;
    views = table.ViewProvider(provider, moment);
  }

  template <typename Response>
  grpc::Status Build(Response& response) const {
    std::vector<const HealthView*> all;
    for (const HealthView& view : views) all.push_back(&view);
    for (pb::Provider& provider : BuildProviders(all, clocks)) {
      *response.mutable_provider() = std::move(provider);
    }
    return grpc::Status::OK;
  }
};

class OperatorJob final : public FleetJob {
 public:
  using Act = std::function<bool(TargetTable&, const Moment&)>;
  OperatorJob(std::string provider, Act act)
      : provider_(std::move(provider)), act_(std::move(act)) {}

  void Collect(const TargetTable&, std::vector<DocumentKey>& keys) const override {
    keys.push_back({DocumentKind::kProvider, provider_});
  }
  void Work(TargetTable& table, const NextMoment& next_moment) override {
    decided_.Run(act_, provider_, table, next_moment());
  }
  void Confirm(TargetTable&, const FleetOutcome& outcome, MonotonicTime) override {
    is_degraded_ = outcome.is_degraded;
  }

  // After Confirm.
  const Decided& decided() const { return decided_; }
  bool is_degraded() const { return is_degraded_; }

 private:
  const std::string provider_;
  const Act act_;
  Decided decided_;
  bool is_degraded_ = false;
};

}  // namespace

grpc::Status AdminService::Permit(const grpc::ServerContext& context) const {
  if (parts_.client_names.empty()) return grpc::Status::OK;
  const std::vector<std::string> names = CallerNames(context);
  const bool is_known = std::find_first_of(names.begin(), names.end(), parts_.client_names.begin(),
                                           parts_.client_names.end()) != names.end();
  if (is_known) return grpc::Status::OK;
  return MakeRpcError(grpc::StatusCode::PERMISSION_DENIED, "NOT_PERMITTED",
                      "this needs a client certificate with one of the names in "
                      "admin_service.client_names of ratelimitd's configuration");
}

template <typename Request, typename Response>
void AdminService::Decide(const Request& request, Act act, const std::function<void()>& record,
                          Response& response, const Finish& finish) {
  const std::string& provider = request.provider();
  const grpc::Status nothing = ReasonOfNothing(request);
  if (parts_.fleet != nullptr) {
    auto job = std::make_unique<OperatorJob>(provider, std::move(act));
    const OperatorJob& observed = *job;
    auto done = [this, &observed, &response, record, finish, nothing] {
      Decided decided = observed.decided();
      if (!decided.is_known) return finish(nothing);
      record();
      decided.clocks.wall = parts_.table.clock().Wall();
      response.set_degraded(observed.is_degraded());
      finish(decided.Build(response));
    };
    parts_.fleet->Submit({std::move(job), std::move(done)});
    return;
  }
  Decided decided;
  decided.clocks.wall = parts_.table.clock().Wall();
  const uint64_t ticket = parts_.table.Update([&](TargetTable& table, auto next_moment) {
    decided.Run(act, provider, table, next_moment());
  });
  if (!decided.is_known) return finish(nothing);
  record();
  const grpc::Status built = decided.Build(response);
  parts_.waiters.When(ticket, [finish, built](Durability how) {
    finish(how == Durability::kDurable ? built : DrainingError());
  });
}

void AdminService::Override(const grpc::ServerContext& context, const pb::OverrideRequest& request,
                            pb::OverrideResponse& response, const Finish& finish) {
  if (grpc::Status status = CheckOverride(request); !status.ok()) return finish(status);
  const OverrideMode mode = *ParseMode(request.mode());
  const milliseconds length = ParseLength(request.expires_in());
  const Cause cause{DescribeOverride(mode, request.reason()), NameOfCaller(context)};
  const auto record = [this, request, mode, length, cause] {
    parts_.log.Write(common::LogLevel::kInfo, "override",
                     {{"provider", request.provider()},
                      {"model", request.model()},
                      {"mode", OverrideModeName(mode)},
                      {"expires_in_ms", length.count()},
                      {"why", cause.why},
                      {"by", cause.reporter}});
  };
  auto act = [request, mode, length, cause](TargetTable& table, const Moment& moment) {
    return table.Override({.name = {request.provider(), request.model()},
                           .mode = mode,
                           .length = length,
                           .cause = cause,
                           .may_be_unknown = request.allow_missing()},
                          moment);
  };
  Decide(request, std::move(act), record, response, finish);
}

void AdminService::Reset(const grpc::ServerContext& context, const pb::ResetRequest& request,
                         pb::ResetResponse& response, const Finish& finish) {
  grpc::Status status = CheckNames(request.provider(), request.model());
  if (status.ok()) status = CheckReason(request.reason());
  if (!status.ok()) return finish(status);
  const Cause cause{DescribeReset(request.reason()), NameOfCaller(context)};
  const auto record = [this, request, cause] {
    parts_.log.Write(common::LogLevel::kInfo, "reset",
                     {{"provider", request.provider()},
                      {"model", request.model()},
                      {"why", cause.why},
                      {"by", cause.reporter}});
  };
  auto act = [request, cause](TargetTable& table, const Moment& moment) {
    return table.Reset({{request.provider(), request.model()}, cause}, moment);
  };
  Decide(request, std::move(act), record, response, finish);
}

grpc::Status AdminService::GetConfig(pb::GetConfigResponse& response) const {
  response.set_path(parts_.config.path);
  response.set_yaml(parts_.config.render());
  return grpc::Status::OK;
}

grpc::Status AdminService::ReloadConfig(const pb::ReloadConfigRequest& request,
                                        pb::ReloadConfigResponse& response) const {
  const auto needs_restart = parts_.config.reload(
      request.validate_only() ? ReloadMode::kValidateOnly : ReloadMode::kApply);
  if (!needs_restart.ok()) {
    return MakeRpcError(grpc::StatusCode::FAILED_PRECONDITION, "CONFIG_REFUSED",
                        std::string(needs_restart.status().message()));
  }
  response.set_needs_restart(*needs_restart);
  return grpc::Status::OK;
}

void AdminService::Listen(CallQueue& queue) {
  // Every method asks for permission first.
  const auto listen = [&]<typename Request, typename Response>(
                          typename UnaryCall<Async, Request, Response>::RequestMethod method,
                          typename UnaryCall<Async, Request, Response>::Handler handler) {
    UnaryCall<Async, Request, Response>::Listen(
        service_, method, queue,
        [this, handler = std::move(handler)](const auto& context, const auto& request,
                                             auto& response, const Finish& finish) {
          const grpc::Status status = Permit(context);
          if (!status.ok()) return finish(status);
          handler(context, request, response, finish);
        });
  };
  listen.operator()<pb::OverrideRequest, pb::OverrideResponse>(
      &Async::RequestOverride,
      [this](const auto& context, const auto& request, auto& response, const Finish& finish) {
        Override(context, request, response, finish);
      });
  listen.operator()<pb::ResetRequest, pb::ResetResponse>(
      &Async::RequestReset,
      [this](const auto& context, const auto& request, auto& response, const Finish& finish) {
        Reset(context, request, response, finish);
      });
  listen.operator()<pb::GetConfigRequest, pb::GetConfigResponse>(
      &Async::RequestGetConfig, [this](const auto&, const auto&, auto& response,
                                       const Finish& finish) { finish(GetConfig(response)); });
  listen.operator()<pb::ReloadConfigRequest, pb::ReloadConfigResponse>(
      &Async::RequestReloadConfig,
      [this](const auto&, const auto& request, auto& response, const Finish& finish) {
        finish(ReloadConfig(request, response));
      });
}

}  // namespace ratelimitd
