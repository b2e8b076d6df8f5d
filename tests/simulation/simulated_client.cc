#include "tests/simulation/simulated_client.h"

#include <algorithm>

namespace simulation {
namespace {

using namespace std::chrono_literals;
using ratelimitd::DocumentKey;
using ratelimitd::DocumentKind;
using ratelimitd::Moment;
using ratelimitd::TargetName;
using ratelimitd::TargetTable;

constexpr char kReporter[] = "gateway of a client";
constexpr char kClient[] = "client";
constexpr TargetName kTarget{kLimitedProvider, "m"};
// Of what was asked, and lost on the way.
constexpr double kNeverReported = 0.1;

std::vector<DocumentKey> Documents() {
  return {{DocumentKind::kProvider, kLimitedProvider}, {DocumentKind::kClient, kClient}};
}

}  // namespace

void SimulatedClient::Ask() {
  const std::vector<int> processes = service_.Processes();
  if (processes.empty()) return;
  const int process = random_.OneOf(processes);
  const Request request{.number = ++requests_, .token = {}, .tokens = random_.Between(1, 40) * 10};
  const milliseconds timeout(random_.Between(1'000, 20'000));
  const ratelimitd::Ask ask{.reporter = kReporter,
                            .targets = {&kTarget, 1},
                            .client_name = kClient,
                            .cost_tokens = request.tokens,
                            .attempt_timeout = timeout};
  TellLimits(process);
  ratelimitd::Verdict verdict;
  const Footing footing = service_.Work(
      process, Documents(),
      [&](TargetTable& table, const Moment& moment) { table.Admit(ask, moment, verdict); });
  const milliseconds lease = std::min(timeout, scenario_.settings.defaults.breaker.probe_lease);
  auditor_.OnClientsAnswer({process, footing}, kReporter,
                           {request.number, request.tokens, events_.now() + lease}, verdict);
  if (verdict.granted_index < 0 || random_.Happens(kNeverReported)) return;
  ReportLater({request.number, verdict.token, request.tokens});
}

// As in a hello.
void SimulatedClient::TellLimits(int process) {
  service_.Work(process, {}, [&](TargetTable& table, const Moment& moment) {
    table.LearnClientLimits(kClient, scenario_.client_limits, moment.now);
  });
}

void SimulatedClient::ReportLater(const Request& request) {
  const bool has_used = random_.Happens(0.8);
  const auto kind = has_used ? OutcomeKind::kSuccess : OutcomeKind::kNotSent;
  const int64_t used = has_used ? request.tokens * random_.Between(1, 20) / 10 : 0;
  const auto report = [=, this] { Report(request, kind, used); };
  const nanoseconds wait = random_.Interval(3s);
  if (random_.Happens(0.3)) {
    events_.After(wait / 2, [=, this] { Report(request, OutcomeKind::kStreamStarted, 0); });
  }
  events_.After(wait, report);
  if (random_.Happens(0.2)) events_.After(wait + random_.Interval(2s), report);
}

void SimulatedClient::Report(const Request& request, OutcomeKind kind, int64_t tokens_used) {
  const std::vector<int> processes = service_.Processes();
  if (processes.empty()) return;
  const int process = random_.OneOf(processes);
  TellLimits(process);
  ratelimitd::AttemptReport report{.reporter = kReporter,
                                   .sequence_number = 2 * request.number,
                                   .token = request.token,
                                   .target = kTarget,
                                   .kind = kind,
                                   .tokens_used = tokens_used};
  if (kind == OutcomeKind::kStreamStarted) --report.sequence_number;
  const Footing footing = service_.Work(
      process, Documents(),
      [&](TargetTable& table, const Moment& moment) { table.Report(report, moment); });
  if (kind == OutcomeKind::kStreamStarted) return auditor_.OnStranger(process, kReporter);
  auditor_.OnClientsReport({process, footing}, kReporter, request.number,
                           ratelimitd::TokensBeyondEstimate(report, request.tokens));
}

}  // namespace simulation
