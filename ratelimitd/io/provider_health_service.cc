#include "ratelimitd/io/provider_health_service.h"

#include <algorithm>

#include "common/concat.h"
#include "ratelimitd/io/rpc_error.h"
#include "ratelimitd/io/unary_call.h"
#include "ratelimitd/io/watch_call.h"

namespace ratelimitd {
namespace {

using Async = pb::ProviderHealthService::AsyncService;

constexpr int kDefaultPageSize = 100;
constexpr int kMaxPageSize = 1000;
// gRPC's clients take messages of 4 MiB unless told otherwise.
constexpr size_t kMaxAnswerBytes = 3 << 20;
// A page token is this and the last name of the page before.
constexpr std::string_view kTokenPrefix = "after:";

bool IsInState(const pb::Provider& provider, pb::HealthState state) {
  if (state == pb::HEALTH_STATE_UNSPECIFIED || provider.health().state() == state) return true;
  const auto matches = [state](const pb::TargetHealth& t) { return t.health().state() == state; };
  return std::any_of(provider.targets().begin(), provider.targets().end(), matches);
}

size_t BytesOf(const std::vector<pb::Provider>& providers) {
  size_t bytes = 0;
  for (const pb::Provider& provider : providers) bytes += provider.ByteSizeLong();
  return bytes;
}

class ProviderWatch final : public WatchSource<pb::WatchProvidersResponse> {
 public:
  explicit ProviderWatch(milliseconds heartbeat) : heartbeat_(heartbeat) {}

  bool Next(const WatchTick& tick, pb::WatchProvidersResponse& response) override {
    std::vector<const HealthView*> news;
    for (const HealthView& view : tick.views) {
      if (view.version > version_) news.push_back(&view);
    }
    const bool is_first = version_ == 0;
    // The clock that replicas share may be set back.
    const bool is_due = tick.now >= next_heartbeat_ || tick.now + heartbeat_ < next_heartbeat_;
    if (!is_first && news.empty() && !is_due) return false;
    next_heartbeat_ = tick.now + heartbeat_;
    response.set_kind(is_first       ? pb::WATCH_EVENT_KIND_SNAPSHOT
                      : news.empty() ? pb::WATCH_EVENT_KIND_HEARTBEAT
                                     : pb::WATCH_EVENT_KIND_CHANGE);
    for (pb::Provider& provider : BuildAsManyAsFit(news, tick)) {
      *response.add_providers() = std::move(provider);
    }
    const auto sent = std::chrono::floor<milliseconds>(tick.wall.time_since_epoch());
    response.mutable_sent_at()->set_seconds(sent.count() / 1000);
    response.mutable_sent_at()->set_nanos(static_cast<int>(sent.count() % 1000) * 1'000'000);
    return true;
  }

  uint64_t version() const override { return version_; }

 private:
  // Those that changed first; the others are still to be shown.
  std::vector<pb::Provider> BuildAsManyAsFit(std::vector<const HealthView*>& news,
                                             const WatchTick& tick) {
    version_ = tick.version;
    std::vector<pb::Provider> providers = BuildProviders(news, {tick.now, tick.wall});
    if (BytesOf(providers) <= kMaxAnswerBytes) return providers;
    std::sort(news.begin(), news.end(),
              [](const HealthView* a, const HealthView* b) { return a->version < b->version; });
    while (news.size() > 1 && BytesOf(providers) > kMaxAnswerBytes) {
      news.resize(news.size() / 2);
      providers = BuildProviders(news, {tick.now, tick.wall});
    }
    version_ = news.back()->version;
    return providers;
  }

  milliseconds heartbeat_;
  uint64_t version_ = 0;
  common::MonotonicTime next_heartbeat_;
};

}  // namespace

std::unique_ptr<WatchSource<pb::WatchProvidersResponse>> MakeProviderWatch(
    const pb::WatchProvidersRequest& request) {
  milliseconds heartbeat = std::chrono::seconds(15);
  if (request.has_heartbeat_interval()) {
    const int64_t seconds = request.heartbeat_interval().seconds();
    heartbeat = std::chrono::seconds(std::clamp<int64_t>(seconds, 1, 300));
  }
  return std::make_unique<ProviderWatch>(heartbeat);
}

ProviderHealthService::ProviderHealthService(SharedTable& table, WatchHub& hub,
                                             prometheus::Gauge& watchers)
    : table_(table), hub_(hub), watchers_(watchers) {}

std::vector<pb::Provider> ProviderHealthService::Providers(const Look& look) {
  std::vector<HealthView> views;
  ClockPair clocks{{}, table_.clock().Wall()};
  table_.Update([&](TargetTable& table, auto next_moment) {
    const Moment moment = next_moment();
    clocks.now = moment.now;
    views = look(table, moment);
  });
  std::vector<const HealthView*> all;
  all.reserve(views.size());
  for (const HealthView& view : views) all.push_back(&view);
  return BuildProviders(all, clocks);
}

grpc::Status ProviderHealthService::List(const pb::ListProvidersRequest& request,
                                         pb::ListProvidersResponse& response) {
  if (request.page_size() < 0) {
    return MakeRpcError(grpc::StatusCode::INVALID_ARGUMENT, "BAD_PAGE_SIZE",
                        "page_size must not be negative");
  }
  if (!pb::HealthState_IsValid(request.state())) {
    return MakeRpcError(grpc::StatusCode::INVALID_ARGUMENT, "BAD_STATE",
                        "state must be a known one");
  }
  std::string_view token = request.page_token();
  if (!token.empty() && token.substr(0, kTokenPrefix.size()) != kTokenPrefix) {
    return MakeRpcError(grpc::StatusCode::INVALID_ARGUMENT, "BAD_PAGE_TOKEN",
                        "page_token must come from the page before");
  }
  if (!token.empty()) token.remove_prefix(kTokenPrefix.size());
  const int wanted = request.page_size() == 0 ? kDefaultPageSize : request.page_size();
  const int page_size = std::min(wanted, kMaxPageSize);
  const auto all = [](TargetTable& table, const Moment& moment) {
    return table.ViewChangedSince(0, moment);
  };
  size_t bytes = 0;
  for (pb::Provider& provider : Providers(all)) {
    if (provider.name() <= token || !IsInState(provider, request.state())) continue;
    bytes += provider.ByteSizeLong();
    const bool is_too_large = response.providers_size() > 0 && bytes > kMaxAnswerBytes;
    if (response.providers_size() == page_size || is_too_large) {
      response.set_next_page_token(
          common::Concat(kTokenPrefix, response.providers().rbegin()->name()));
      break;
    }
    *response.add_providers() = std::move(provider);
  }
  return grpc::Status::OK;
}

grpc::Status ProviderHealthService::Get(const pb::GetProviderRequest& request,
                                        pb::GetProviderResponse& response) {
  if (request.name().empty()) {
    return MakeRpcError(grpc::StatusCode::INVALID_ARGUMENT, "NO_NAME",
                        "name the provider, for instance \"openai\"");
  }
  const auto one = [&request](TargetTable& table, const Moment& moment) {
    return table.ViewProvider(request.name(), moment);
  };
  for (pb::Provider& provider : Providers(one)) {
    *response.mutable_provider() = std::move(provider);
    return grpc::Status::OK;
  }
  return MakeRpcError(grpc::StatusCode::NOT_FOUND, "UNKNOWN_PROVIDER",
                      "nobody has asked for this provider or reported it yet");
}

void ProviderHealthService::Listen(CallQueue& queue) {
  UnaryCall<Async, pb::ListProvidersRequest, pb::ListProvidersResponse>::Listen(
      service_, &Async::RequestListProviders, queue,
      [this](const auto&, const auto& request, auto& response, const Finish& finish) {
        finish(List(request, response));
      });
  UnaryCall<Async, pb::GetProviderRequest, pb::GetProviderResponse>::Listen(
      service_, &Async::RequestGetProvider, queue,
      [this](const auto&, const auto& request, auto& response, const Finish& finish) {
        finish(Get(request, response));
      });
  using Watch = WatchCall<Async, pb::WatchProvidersRequest, pb::WatchProvidersResponse>;
  Watch::Listen({service_, &Async::RequestWatchProviders, MakeProviderWatch, hub_, watchers_},
                queue);
}

}  // namespace ratelimitd
