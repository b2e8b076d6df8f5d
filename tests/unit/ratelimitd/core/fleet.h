// Verbs for tests of the target table: gateways that ask and report, and a clock that stands still
// until told. Chance is 0 unless set: no jitter upwards, and openings have 75 % of their length.
#pragma once

#include <chrono>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "ratelimitd/core/target_table.h"

namespace candor_test {

using namespace std::chrono_literals;

class Fleet {
 public:
  explicit Fleet(ratelimitd::TableSettings settings = {}, uint32_t life = 7)
      : table(std::move(settings), life) {}

  ratelimitd::Moment Now() const { return {now, chance}; }
  void Wait(std::chrono::nanoseconds step) { now += step; }

  ratelimitd::Verdict Ask(std::vector<ratelimitd::TargetName> targets,
                          std::string_view reporter = "gw",
                          ratelimitd::AdmitMode mode = ratelimitd::AdmitMode::kFirstAvailable) {
    ratelimitd::Verdict verdict;
    table.Admit({.reporter = reporter, .targets = targets, .mode = mode}, Now(), verdict);
    return verdict;
  }
  ratelimitd::Verdict Ask(std::string_view reporter = "gw") { return Ask({kTarget}, reporter); }
  // Of an attempt that may take this long.
  ratelimitd::Verdict Ask(ratelimitd::LeaseKind lease_kind, std::chrono::milliseconds timeout) {
    std::vector<ratelimitd::TargetName> targets = {kTarget};
    ratelimitd::Verdict verdict;
    table.Admit({.reporter = "gw",
                 .lease_kind = lease_kind,
                 .targets = targets,
                 .attempt_timeout = timeout},
                Now(), verdict);
    return verdict;
  }
  ratelimitd::Verdict Peek() { return Ask({kTarget}, "gw", ratelimitd::AdmitMode::kPeek); }

  ratelimitd::AttemptReport Draft(const ratelimitd::Verdict& grant, ratelimitd::OutcomeKind kind,
                                  std::string_view reporter = "gw") {
    tokens.push_back(grant.token);
    return {.reporter = reporter,
            .sequence_number = ++last_sequence,
            .token = tokens.back(),
            .kind = kind};
  }
  ratelimitd::AckStatus Report(const ratelimitd::AttemptReport& report) {
    return table.Report(report, Now());
  }
  ratelimitd::AckStatus Report(const ratelimitd::Verdict& grant, ratelimitd::OutcomeKind kind,
                               std::string_view reporter = "gw") {
    return Report(Draft(grant, kind, reporter));
  }
  ratelimitd::AckStatus ReportLimit(const ratelimitd::Verdict& grant,
                                    std::chrono::milliseconds figure) {
    auto report = Draft(grant, ratelimitd::OutcomeKind::kRateLimited);
    report.retry_after = figure;
    report.http_status = 429;
    return Report(report);
  }

  // One attempt that is granted and ends at once.
  ratelimitd::AckStatus Attempt(ratelimitd::OutcomeKind kind, std::string_view reporter = "gw") {
    return Report(Ask(reporter), kind, reporter);
  }
  // Five failures in a row, apart enough to count one by one.
  void Trip() {
    for (int i = 0; i < 5; ++i) {
      Attempt(ratelimitd::OutcomeKind::kUpstreamError);
      Wait(200ms);
    }
  }
  // Trips, then waits until one request may probe.
  void TripAndHalfOpen() {
    Trip();
    Wait(6s);
  }
  ratelimitd::HealthState State() { return table.ViewOne(kTarget, Now())->state; }
  ratelimitd::HealthState ProviderState() {
    return table.ViewOne({kTarget.provider, ""}, Now())->state;
  }

  static constexpr ratelimitd::TargetName kTarget{"openai", "gpt"};
  ratelimitd::TargetTable table;
  ratelimitd::MonotonicTime now{std::chrono::hours(1)};
  double chance = 0;
  uint64_t last_sequence = 0;
  std::deque<std::string> tokens;  // a report only refers to its token
};

}  // namespace candor_test
