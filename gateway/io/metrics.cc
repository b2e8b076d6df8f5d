#include "gateway/io/metrics.h"

#include <prometheus/text_serializer.h>

#include <algorithm>

#include "gateway/core/ascii.h"

namespace gateway {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;

// From what the gateway itself takes to what a long generation takes.
const prometheus::Histogram::BucketBoundaries kRequestSeconds{
    0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600};
const prometheus::Histogram::BucketBoundaries kAskSeconds{0.0001, 0.00025, 0.0005, 0.001, 0.0025,
                                                          0.005,  0.01,    0.02,   0.05,  0.1};

constexpr Endpoint kEndpoints[] = {Endpoint::kChatCompletions, Endpoint::kCompletions,
                                   Endpoint::kEmbeddings,      Endpoint::kResponses,
                                   Endpoint::kMessages,        Endpoint::kCountTokens};

double Seconds(std::chrono::nanoseconds duration) {
  return std::chrono::duration<double>(duration).count();
}

size_t KindIndex(std::optional<FailureKind> failure) {
  return failure ? static_cast<size_t>(*failure) : FailureTable().size();
}

std::string KindLabel(size_t index) {
  return index < FailureTable().size() ? std::string(FailureTable()[index].name) : "ok";
}

}  // namespace

void ProviderMetrics::CountAttempt(std::optional<FailureKind> failure,
                                   std::chrono::nanoseconds duration) {
  attempts[KindIndex(failure)]->Increment();
  attempt_duration->Observe(Seconds(duration));
}

Metrics::Metrics() : registry_(std::make_shared<prometheus::Registry>()) {
  AddRequestSeries();
  AddAskSeries();
  dropped_reports_ = AddCounter("candor_gateway_reports_dropped_total",
                                "Reports given up because ratelimitd was away for too long.");
  degraded_requests_ = AddCounter("candor_gateway_degraded_requests_total",
                                  "Requests served without a verdict of ratelimitd.");
  fallbacks_ = AddCounter("candor_gateway_fallbacks_total",
                          "Attempts at another target after one had failed.");
  auto& reloads = BuildCounter()
                      .Name("candor_gateway_config_reloads_total")
                      .Help("Reloads of the configuration by result.")
                      .Register(*registry_);
  reloads_ = {&reloads.Add({{"result", "ok"}}), &reloads.Add({{"result", "refused"}})};
  auto& handshakes = BuildCounter()
                         .Name("candor_gateway_tls_handshakes_total")
                         .Help("TLS handshakes of clients by result.")
                         .Register(*registry_);
  handshakes_ = {&handshakes.Add({{"result", "ok"}}), &handshakes.Add({{"result", "failed"}}),
                 &handshakes.Add({{"result", "timeout"}}),
                 &handshakes.Add({{"result", "plain_http"}})};
  auto& ends =
      BuildGauge()
          .Name("candor_gateway_certificate_end_timestamp_seconds")
          .Help("When a certificate of the gateway's own ends, in Unix time; 0 without it.")
          .Register(*registry_);
  certificate_ends_ = {&ends.Add({{"certificate", "clients"}}),
                       &ends.Add({{"certificate", "ratelimitd"}})};
  auto& shed = BuildCounter()
                   .Name("candor_gateway_shed_total")
                   .Help("What was turned away because the gateway had no room for it.")
                   .Register(*registry_);
  shed_ = {&shed.Add({{"what", "connection"}}), &shed.Add({{"what", "request"}}),
           &shed.Add({{"what", "body"}}), &shed.Add({{"what", "under_way"}}),
           &shed.Add({{"what", "provider_connection"}})};
  idle_closed_ = AddCounter("candor_gateway_idle_connections_closed_total",
                            "Idle connections of clients closed to make room for new ones.");
  memory_ = AddGauge("candor_gateway_held_memory_bytes",
                     "Bodies of requests and answers held now, as counted against limits.memory.");
  client_connections_ =
      AddGauge("candor_gateway_client_connections", "Open connections of clients.");
  requests_in_flight_ = AddGauge("candor_gateway_requests_in_flight", "Requests being served now.");
  ratelimitd_sessions_ =
      AddGauge("candor_gateway_ratelimitd_sessions",
               "Sessions in which ratelimitd has answered, at most one a thread.");
  BuildGauge()
      .Name("candor_gateway_build_info")
      .Help("Always 1; the version is a label.")
      .Register(*registry_)
      .Add({{"version", CANDOR_VERSION}})
      .Set(1);
  unknown_codes_family_ =
      &BuildCounter()
           .Name("candor_gateway_unknown_codes_total")
           .Help("Failures whose code no table knows, so that the status alone has decided.")
           .Register(*registry_);
  unknown_codes_["other"] = &unknown_codes_family_->Add({{"code", "other"}});
  attempts_family_ = &BuildCounter()
                          .Name("candor_gateway_attempts_total")
                          .Help("Attempts at providers by result: ok or the kind of failure.")
                          .Register(*registry_);
  attempt_duration_family_ = &BuildHistogram()
                                  .Name("candor_gateway_attempt_duration_seconds")
                                  .Help("From the start of an attempt to its end.")
                                  .Register(*registry_);
  first_byte_family_ = &BuildHistogram()
                            .Name("candor_gateway_time_to_first_byte_seconds")
                            .Help("From the request sent to a provider to its first output.")
                            .Register(*registry_);
  opened_family_ = &BuildCounter()
                        .Name("candor_gateway_upstream_connections_opened_total")
                        .Help("Connections made to providers.")
                        .Register(*registry_);
  stale_family_ = &BuildCounter()
                       .Name("candor_gateway_upstream_stale_connections_total")
                       .Help("Reused connections that a provider had closed; retried safely.")
                       .Register(*registry_);
  tokens_family_ = &BuildCounter()
                        .Name("candor_gateway_tokens_total")
                        .Help("Tokens as counted by providers, input and output together.")
                        .Register(*registry_);
}

void Metrics::CountUnknownCode(const std::string& code) {
  const auto is_plain = [](char c) {
    return IsAlphanumeric(c) || c == '_' || c == '-' || c == '.';
  };
  const bool is_word =
      !code.empty() && code.size() <= 64 && std::all_of(code.begin(), code.end(), is_plain);
  const std::lock_guard lock(mutex_);
  const bool is_told_apart =
      is_word && (unknown_codes_.size() < kMaxUnknownCodes || unknown_codes_.contains(code));
  const std::string name = is_told_apart ? code : "other";
  prometheus::Counter*& counter = unknown_codes_[name];
  if (counter == nullptr) counter = &unknown_codes_family_->Add({{"code", name}});
  counter->Increment();
}

void Metrics::ShowCertificateEnds(std::optional<common::WallTime> clients,
                                  std::optional<common::WallTime> ratelimitd) {
  const common::WallTime none;
  certificate_ends_[0]->Set(Seconds(clients.value_or(none).time_since_epoch()));
  certificate_ends_[1]->Set(Seconds(ratelimitd.value_or(none).time_since_epoch()));
}

std::string Metrics::Render(int64_t held_memory_bytes) const {
  memory_->Set(static_cast<double>(held_memory_bytes));
  return prometheus::TextSerializer().Serialize(registry_->Collect());
}

ProviderMetrics& Metrics::ForProvider(const std::string& name) {
  const std::lock_guard lock(mutex_);
  std::unique_ptr<ProviderMetrics>& entry = providers_[name];
  if (entry) return *entry;
  entry = std::make_unique<ProviderMetrics>();
  for (size_t kind = 0; kind <= FailureTable().size(); ++kind) {
    entry->attempts.push_back(
        &attempts_family_->Add({{"provider", name}, {"result", KindLabel(kind)}}));
  }
  const prometheus::Labels labels{{"provider", name}};
  entry->attempt_duration = &attempt_duration_family_->Add(labels, kRequestSeconds);
  entry->time_to_first_byte = &first_byte_family_->Add(labels, kRequestSeconds);
  entry->connections_opened = &opened_family_->Add(labels);
  entry->stale_connections = &stale_family_->Add(labels);
  entry->tokens = &tokens_family_->Add(labels);
  return *entry;
}

void Metrics::CountRequest(std::optional<Endpoint> endpoint, std::optional<FailureKind> failure,
                           std::chrono::nanoseconds duration) {
  const size_t index = endpoint ? static_cast<size_t>(*endpoint) : std::size(kEndpoints);
  requests_[index][KindIndex(failure)]->Increment();
  request_duration_[index]->Observe(Seconds(duration));
}

void Metrics::CountAsk(AskResult result, std::chrono::nanoseconds duration) {
  asks_[static_cast<size_t>(result)]->Increment();
  ask_duration_->Observe(Seconds(duration));
}

prometheus::Counter* Metrics::AddCounter(const std::string& name, const std::string& help) {
  return &BuildCounter().Name(name).Help(help).Register(*registry_).Add({});
}

prometheus::Gauge* Metrics::AddGauge(const std::string& name, const std::string& help) {
  return &BuildGauge().Name(name).Help(help).Register(*registry_).Add({});
}

void Metrics::AddRequestSeries() {
  auto& requests = BuildCounter()
                       .Name("candor_gateway_requests_total")
                       .Help("Requests answered by endpoint and result: ok or the kind of failure.")
                       .Register(*registry_);
  auto& durations = BuildHistogram()
                        .Name("candor_gateway_request_duration_seconds")
                        .Help("From the first byte of a request to the last of its answer.")
                        .Register(*registry_);
  for (size_t i = 0; i <= std::size(kEndpoints); ++i) {
    const std::string endpoint =
        i < std::size(kEndpoints) ? std::string(EndpointName(kEndpoints[i])) : "none";
    requests_.emplace_back();
    for (size_t kind = 0; kind <= FailureTable().size(); ++kind) {
      requests_.back().push_back(
          &requests.Add({{"endpoint", endpoint}, {"result", KindLabel(kind)}}));
    }
    request_duration_.push_back(&durations.Add({{"endpoint", endpoint}}, kRequestSeconds));
  }
}

void Metrics::AddAskSeries() {
  auto& asks = BuildCounter()
                   .Name("candor_gateway_admission_asks_total")
                   .Help("Questions to ratelimitd by result.")
                   .Register(*registry_);
  asks_ = {&asks.Add({{"result", "granted"}}), &asks.Add({{"result", "refused"}}),
           &asks.Add({{"result", "unreachable"}})};
  ask_duration_ = &BuildHistogram()
                       .Name("candor_gateway_admission_duration_seconds")
                       .Help("From a question to its verdict.")
                       .Register(*registry_)
                       .Add({}, kAskSeconds);
}

}  // namespace gateway
