#include "ratelimitd/io/admission_desk.h"

#include <algorithm>
#include <utility>

#include "ratelimitd/io/desk_job.h"
#include "ratelimitd/io/fleet_worker.h"
#include "ratelimitd/io/rpc_error.h"

namespace ratelimitd {
namespace {

// Whether it was the budget that refused a further attempt: where it did, it did so for every
// target that was not itself refused for longer.
bool IsByRetryBudget(const Verdict& verdict) {
  return std::any_of(verdict.decisions.begin(), verdict.decisions.end(),
                     [](const TargetDecision& decision) {
                       return decision.reason == RefusalReason::kRetryBudget;
                     });
}

void Tally(const Verdict& verdict, bool is_continuation, AdmissionTally& tally) {
  if (is_continuation && verdict.granted_index >= 0) ++tally.retries_granted;
  if (is_continuation && IsByRetryBudget(verdict)) ++tally.retries_refused;
  if (verdict.granted_index < 0) {
    ++tally.refused[static_cast<size_t>(verdict.decisions.front().reason)];
    return;
  }
  const TargetDecision& granted = verdict.decisions[static_cast<size_t>(verdict.granted_index)];
  ++(granted.decision == Decision::kAdmitProbe ? tally.probes : tally.admitted);
  if (granted.overruled != RefusalReason::kNone) {
    ++tally.overruled[static_cast<size_t>(granted.overruled)];
  }
}

// Whether an acknowledgement promises that something survives a crash.
bool IsPromise(OutcomeKind kind, AckStatus status) {
  switch (kind) {
    case OutcomeKind::kSuccess:
    case OutcomeKind::kStreamStarted:
    case OutcomeKind::kModelNotFound:
    case OutcomeKind::kCallerError:
    case OutcomeKind::kCancelled:
    case OutcomeKind::kNotSent:
      return false;
    default:
      return status != AckStatus::kStale;
  }
}

}  // namespace

DeskResult DecideMessage(const DeskMessage& message, TargetTable& table,
                         const std::function<Moment()>& next_moment, DeskMemory& memory,
                         AdmissionTally& tally) {
  const pb::SessionRequest& request = message.request;
  const auto asks = static_cast<size_t>(request.asks_size());
  if (memory.verdicts.size() < asks) memory.verdicts.resize(asks);
  DeskResult result;
  for (const pb::ClientLimits& limits : request.client_limits()) {
    table.LearnClientLimits(limits.client_name(), ParseClientLimits(limits), next_moment().now);
  }
  for (const pb::ProviderCredential& credential : request.credentials()) {
    table.LearnCredential(credential.provider(), credential.fingerprint(), next_moment());
  }
  for (const pb::AttemptReport& report_message : request.reports()) {
    const AttemptReport report = ParseReport(report_message, message.reporter);
    const AckStatus status = table.Report(report, next_moment());
    ++tally.reports[static_cast<size_t>(report.kind)][static_cast<size_t>(status)];
    result.is_promise |= IsPromise(report.kind, status);
    result.acks.push_back({report.sequence_number, status});
  }
  for (size_t i = 0; i < asks; ++i) {
    const Ask ask = ParseAsk(request.asks(static_cast<int>(i)), message.reporter,
                             message.lease_kind, memory.names);
    table.Admit(ask, next_moment(), memory.verdicts[i]);
    Tally(memory.verdicts[i], ask.is_continuation, tally);
  }
  return result;
}

AdmissionDesk::AdmissionDesk(SharedTable& table, Metrics& metrics, DurableWaiters& waiters,
                             FleetQueue* fleet)
    : table_(table), metrics_(metrics), waiters_(waiters), fleet_(fleet) {}

grpc::Status AdmissionDesk::BeginSession(const pb::SessionHello& hello) {
  if (grpc::Status status = CheckHello(hello); !status.ok()) return status;
  bool has_room = false;
  table_.Update([&](TargetTable& table, auto next_moment) {
    has_room = table.BeginSession(hello.reporter(), hello.host(), next_moment().now);
    if (!has_room) return;
    for (const pb::ClientLimits& limits : hello.client_limits()) {
      table.LearnClientLimits(limits.client_name(), ParseClientLimits(limits), next_moment().now);
    }
    if (IsInFleet()) return;
    for (const pb::KnownRefusal& refusal : hello.known_refusals()) {
      table.Relearn(hello.reporter(), ParseKnownRefusal(refusal), next_moment());
    }
    for (const pb::ProviderCredential& credential : hello.credentials()) {
      table.LearnCredential(credential.provider(), credential.fingerprint(), next_moment());
    }
  });
  if (!has_room) {
    return MakeRpcError(grpc::StatusCode::RESOURCE_EXHAUSTED, "TOO_MANY_SESSIONS",
                        "too many reporters have a session here; raise bounds.reporters",
                        kRoomInAWhile);
  }
  metrics_.sessions().Increment();
  if (IsInFleet()) RelearnInFleet(hello);
  return grpc::Status::OK;
}

void AdmissionDesk::EndSession(const std::string& reporter) {
  metrics_.sessions().Decrement();
  if (IsInFleet()) return EndSessionInFleet(reporter);
  table_.Update(
      [&](TargetTable& table, auto next_moment) { table.EndSession(reporter, next_moment().now); });
}

DeskResult AdmissionDesk::Handle(const pb::SessionRequest& request, const std::string& reporter,
                                 DeskMemory& memory) {
  DeskResult result;
  AdmissionTally tally;
  const common::MonotonicTime began = table_.clock().Monotonic();
  const uint64_t ticket = table_.Update([&](TargetTable& table, auto next_moment) {
    result = DecideMessage({request, reporter}, table, next_moment, memory, tally);
  });
  if (result.is_promise) result.ticket = ticket;
  if (request.asks_size() > 0) {
    const std::chrono::duration<double> took = table_.clock().Monotonic() - began;
    metrics_.ObserveDecision(took.count() / static_cast<double>(request.asks_size()));
  }
  metrics_.Count(tally);
  return result;
}

void AdmissionDesk::SubmitJob(pb::SessionRequest request, const std::string& reporter,
                              LeaseKind lease_kind, Done done) {
  auto job = std::make_unique<DeskJob>(std::move(request), reporter, lease_kind, metrics_);
  const DeskJob& observed = *job;
  fleet_->Submit({std::move(job), [&observed, done = std::move(done)] { done(observed); }});
}

void AdmissionDesk::Submit(pb::SessionRequest request, const std::string& reporter, Done done) {
  SubmitJob(std::move(request), reporter, LeaseKind::kSession, std::move(done));
}

void AdmissionDesk::RelearnInFleet(const pb::SessionHello& hello) {
  std::vector<DocumentKey> keys;
  for (const pb::KnownRefusal& refusal : hello.known_refusals()) {
    keys.push_back({DocumentKind::kProvider, refusal.target().provider()});
  }
  for (const pb::ProviderCredential& credential : hello.credentials()) {
    keys.push_back({DocumentKind::kProvider, credential.provider()});
  }
  if (keys.empty()) return;
  auto work = [hello](TargetTable& table, const NextMoment& next_moment) {
    for (const pb::KnownRefusal& refusal : hello.known_refusals()) {
      table.Relearn(hello.reporter(), ParseKnownRefusal(refusal), next_moment());
    }
    for (const pb::ProviderCredential& credential : hello.credentials()) {
      table.LearnCredential(credential.provider(), credential.fingerprint(), next_moment());
    }
  };
  fleet_->Submit({std::make_unique<DocumentsJob>(std::move(keys), std::move(work))});
}

void AdmissionDesk::EndSessionInFleet(const std::string& reporter) {
  uint64_t ended = 0;
  std::vector<DocumentKey> keys;
  table_.Update([&](TargetTable& table, auto next_moment) {
    ended = table.EndReporter(reporter, next_moment().now);
    if (ended != 0) keys = table.DocumentsWithLeases(ended);
  });
  if (keys.empty()) return;
  auto work = [ended](TargetTable& table, const NextMoment& next_moment) {
    table.CutLeases(ended, next_moment().now);
  };
  fleet_->Submit({std::make_unique<DocumentsJob>(std::move(keys), std::move(work))});
}

void AdmissionDesk::SubmitAdmit(const pb::AdmitRequest& request, pb::AdmitResponse& response,
                                Finish finish) {
  if (grpc::Status status = CheckAdmit(request); !status.ok()) return finish(status);
  if (request.has_client_limits()) {
    table_.Update([&](TargetTable& table, auto next_moment) {
      table.LearnClientLimits(request.ask().client_name(),
                              ParseClientLimits(request.client_limits()), next_moment().now);
    });
  }
  pb::SessionRequest message;
  *message.add_asks() = request.ask();
  SubmitJob(std::move(message), request.reporter(), LeaseKind::kFixed,
            [&response, finish = std::move(finish)](const DeskJob& job) {
              pb::Verdict& verdict = *response.mutable_verdict();
              BuildVerdict(job.memory().verdicts[0], job.request().asks(0).correlation_id(),
                           verdict);
              verdict.set_degraded(job.result().is_degraded);
              finish(grpc::Status::OK);
            });
}

void AdmissionDesk::SubmitReport(const pb::ReportRequest& request, pb::ReportResponse& response,
                                 Finish finish) {
  grpc::Status status = CheckReporter(request.reporter());
  if (status.ok()) status = CheckReport(request.report());
  if (!status.ok()) return finish(status);
  pb::SessionRequest message;
  *message.add_reports() = request.report();
  SubmitJob(std::move(message), request.reporter(), LeaseKind::kFixed,
            [this, &response, finish = std::move(finish)](const DeskJob& job) {
              const Acknowledgement ack = job.result().acks[0];
              BuildAck(ack.sequence_number, ack.status, *response.mutable_ack());
              WhenDurable(job.result().ticket, [finish](Durability how) {
                finish(how == Durability::kDurable ? grpc::Status::OK : DrainingError());
              });
            });
}

grpc::Status AdmissionDesk::Admit(const pb::AdmitRequest& request, pb::AdmitResponse& response) {
  if (grpc::Status status = CheckAdmit(request); !status.ok()) return status;
  std::vector<TargetName> names;
  Verdict verdict;
  table_.Update([&](TargetTable& table, auto next_moment) {
    if (request.has_client_limits()) {
      table.LearnClientLimits(request.ask().client_name(),
                              ParseClientLimits(request.client_limits()), next_moment().now);
    }
    const Ask ask = ParseAsk(request.ask(), request.reporter(), LeaseKind::kFixed, names);
    table.Admit(ask, next_moment(), verdict);
  });
  AdmissionTally tally;
  Tally(verdict, request.ask().continuation(), tally);
  metrics_.Count(tally);
  BuildVerdict(verdict, request.ask().correlation_id(), *response.mutable_verdict());
  return grpc::Status::OK;
}

grpc::Status AdmissionDesk::Report(const pb::ReportRequest& request, pb::ReportResponse& response,
                                   uint64_t& ticket) {
  if (grpc::Status status = CheckReporter(request.reporter()); !status.ok()) return status;
  if (grpc::Status status = CheckReport(request.report()); !status.ok()) return status;
  const AttemptReport report = ParseReport(request.report(), request.reporter());
  AckStatus ack = AckStatus::kStale;
  const uint64_t caused = table_.Update(
      [&](TargetTable& table, auto next_moment) { ack = table.Report(report, next_moment()); });
  ticket = IsPromise(report.kind, ack) ? caused : 0;
  AdmissionTally tally;
  ++tally.reports[static_cast<size_t>(report.kind)][static_cast<size_t>(ack)];
  metrics_.Count(tally);
  BuildAck(report.sequence_number, ack, *response.mutable_ack());
  return grpc::Status::OK;
}

}  // namespace ratelimitd
