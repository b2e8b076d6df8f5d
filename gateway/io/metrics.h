// What Prometheus sees of a gateway. Series are made when the program starts or a provider is
// configured, never per request; label values come from fixed lists and the configuration, so their
// number is bounded. Thread-safe.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <array>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "gateway/core/endpoint.h"
#include "gateway/core/failure_kind.h"

namespace gateway {

enum class ReloadResult { kOk, kRefused };
// What there was no room for.
enum class Shed {
  kConnection,
  kRequest,   // there are as many as there may be
  kBody,      // of a request, in memory
  kUnderWay,  // in memory, for a request that had begun
  kProviderConnection,
};
enum class AskResult { kGranted, kRefused, kUnreachable };
enum class HandshakeResult { kDone, kFailed, kTimedOut, kSpokeHttp };

// The series of one provider, to be looked up once per configuration.
struct ProviderMetrics {
  std::vector<prometheus::Counter*> attempts;  // by failure kind; the last one is success
  prometheus::Histogram* attempt_duration = nullptr;
  prometheus::Histogram* time_to_first_byte = nullptr;
  prometheus::Counter* connections_opened = nullptr;
  prometheus::Counter* stale_connections = nullptr;
  prometheus::Counter* tokens = nullptr;

  void CountAttempt(std::optional<FailureKind> failure, std::chrono::nanoseconds duration);
};

class Metrics {
 public:
  Metrics();

  // The text exposition of everything, and of what is sampled now.
  std::string Render(int64_t held_memory_bytes) const;

  // Lives as long as this object.
  ProviderMetrics& ForProvider(const std::string& name);

  // `endpoint` absent: the route was unknown or no request was understood.
  void CountRequest(std::optional<Endpoint> endpoint, std::optional<FailureKind> failure,
                    std::chrono::nanoseconds duration);
  void CountAsk(AskResult result, std::chrono::nanoseconds duration);
  void CountDroppedReport() { dropped_reports_->Increment(); }
  void CountDegradedRequest() { degraded_requests_->Increment(); }
  // A code of a provider that no table knows. At most kMaxUnknownCodes are told apart, the rest is
  // "other"; so is a code that is no plain word.
  static constexpr size_t kMaxUnknownCodes = 64;
  void CountUnknownCode(const std::string& code);
  void CountShed(Shed what) { shed_[static_cast<size_t>(what)]->Increment(); }
  void CountIdleClosed() { idle_closed_->Increment(); }
  void CountFallback() { fallbacks_->Increment(); }
  // A client's TLS.
  void CountHandshake(HandshakeResult result) {
    handshakes_[static_cast<size_t>(result)]->Increment();
  }
  void CountReload(ReloadResult result) { reloads_[static_cast<size_t>(result)]->Increment(); }

  // When our certificates end: the one that clients see and the one for ratelimitd; nothing without
  // one.
  void ShowCertificateEnds(std::optional<common::WallTime> clients,
                           std::optional<common::WallTime> ratelimitd);

  prometheus::Gauge& client_connections() { return *client_connections_; }
  prometheus::Gauge& requests_in_flight() { return *requests_in_flight_; }
  prometheus::Gauge& ratelimitd_sessions() { return *ratelimitd_sessions_; }

 private:
  prometheus::Counter* AddCounter(const std::string& name, const std::string& help);
  prometheus::Gauge* AddGauge(const std::string& name, const std::string& help);
  void AddRequestSeries();
  void AddAskSeries();

  std::shared_ptr<prometheus::Registry> registry_;
  // By endpoint (the last one: none) and failure kind (the last one: success).
  std::vector<std::vector<prometheus::Counter*>> requests_;
  std::vector<prometheus::Histogram*> request_duration_;
  std::array<prometheus::Counter*, 3> asks_{};
  prometheus::Histogram* ask_duration_ = nullptr;
  prometheus::Counter* dropped_reports_ = nullptr;
  prometheus::Counter* degraded_requests_ = nullptr;
  prometheus::Counter* fallbacks_ = nullptr;
  std::array<prometheus::Counter*, 2> reloads_{};
  std::array<prometheus::Counter*, 4> handshakes_{};
  std::array<prometheus::Gauge*, 2> certificate_ends_{};
  std::array<prometheus::Counter*, 5> shed_{};
  prometheus::Counter* idle_closed_ = nullptr;
  prometheus::Gauge* memory_ = nullptr;
  prometheus::Gauge* client_connections_ = nullptr;
  prometheus::Gauge* requests_in_flight_ = nullptr;
  prometheus::Gauge* ratelimitd_sessions_ = nullptr;

  prometheus::Family<prometheus::Counter>* attempts_family_ = nullptr;
  prometheus::Family<prometheus::Histogram>* attempt_duration_family_ = nullptr;
  prometheus::Family<prometheus::Histogram>* first_byte_family_ = nullptr;
  prometheus::Family<prometheus::Counter>* opened_family_ = nullptr;
  prometheus::Family<prometheus::Counter>* stale_family_ = nullptr;
  prometheus::Family<prometheus::Counter>* tokens_family_ = nullptr;
  prometheus::Family<prometheus::Counter>* unknown_codes_family_ = nullptr;
  std::mutex mutex_;
  std::map<std::string, prometheus::Counter*> unknown_codes_;          // guarded by mutex_
  std::map<std::string, std::unique_ptr<ProviderMetrics>> providers_;  // guarded by mutex_
};

}  // namespace gateway
