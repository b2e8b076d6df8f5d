#include "tests/simulation/simulated_operator.h"

namespace simulation {
namespace {

using namespace std::chrono_literals;
using ratelimitd::Moment;
using ratelimitd::OverrideMode;
using ratelimitd::TargetName;
using ratelimitd::TargetTable;
using Fact = RulingWatch::Fact;
using Reach = RulingWatch::Reach;

constexpr char kReporter[] = "operator";
constexpr TargetName kProvider{"operated", ""};
constexpr TargetName kTarget{"operated", "m"};

ratelimitd::AttemptReport MakeLimit(Fact fact, milliseconds figure) {
  ratelimitd::AttemptReport report{.reporter = kReporter, .target = kTarget};
  report.kind = fact == Fact::kBlock ? OutcomeKind::kQuotaExhausted : OutcomeKind::kRateLimited;
  report.limit_scope = fact == Fact::kOfProvider ? ratelimitd::LimitScope::kProvider
                                                 : ratelimitd::LimitScope::kTarget;
  report.retry_after = figure;
  return report;
}

std::vector<ratelimitd::DocumentKey> Documents() {
  return {{ratelimitd::DocumentKind::kProvider, std::string(kProvider.provider)}};
}

}  // namespace

void SimulatedOperator::Act(Random& random) {
  const std::vector<int> processes = service_.Processes();
  if (processes.empty()) return;
  const int process = random.OneOf(processes);
  const double what = random.Share();
  if (what < 0.35) return Override(process, random);
  if (what < 0.6) return Reset(process, random);
  ReportLimit(process, random);
}

void SimulatedOperator::Override(int process, Random& random) {
  const auto mode = static_cast<OverrideMode>(random.Between(0, ratelimitd::kOverrideModes - 1));
  const milliseconds length =
      mode == OverrideMode::kNone ? 0ms : milliseconds(random.Between(1'000, 60'000));
  bool is_done = false;
  const auto footing =
      service_.Work(process, Documents(), [&](TargetTable& table, const Moment& moment) {
        is_done = table.Override({.name = kTarget,
                                  .mode = mode,
                                  .length = length,
                                  .cause = {"An operator says so.", "operator"},
                                  .may_be_unknown = true},
                                 moment);
      });
  if (is_done) auditor_.OnOverride({process, footing}, mode, length);
}

void SimulatedOperator::Reset(int process, Random& random) {
  const bool is_provider = random.Happens(0.5);
  bool is_done = false;
  const auto footing =
      service_.Work(process, Documents(), [&](TargetTable& table, const Moment& moment) {
        is_done = table.Reset({is_provider ? kProvider : kTarget, {"Reset.", "operator"}}, moment);
      });
  const Reach reach = is_provider ? Reach::kProvider : Reach::kTarget;
  if (is_done) auditor_.OnReset({process, footing}, reach);
}

void SimulatedOperator::ReportLimit(int process, Random& random) {
  const auto fact = static_cast<Fact>(random.Between(0, 2));
  const milliseconds figure(random.Between(2'000, 600'000));
  AckStatus ack = AckStatus::kStale;
  const auto footing =
      service_.Work(process, Documents(), [&](TargetTable& table, const Moment& moment) {
        ack = table.Report(MakeLimit(fact, figure), moment);
      });
  auditor_.OnLimit({process, footing}, kReporter, ack, fact, figure);
}

void SimulatedOperator::AskAll() {
  const TargetName targets[] = {kTarget};
  for (const int process : service_.Processes()) {
    Verdict verdict;
    const auto footing =
        service_.Work(process, Documents(), [&](TargetTable& table, const Moment& moment) {
          table.Admit(
              {.reporter = "operator", .targets = targets, .mode = ratelimitd::AdmitMode::kPeek},
              moment, verdict);
        });
    auditor_.OnAnswer({process, footing}, verdict.decisions.front());
  }
}

}  // namespace simulation
