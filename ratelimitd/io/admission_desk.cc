#include "ratelimitd/io/admission_desk.h"

#include "ratelimitd/io/rpc_error.h"

namespace ratelimitd {
namespace {

void Tally(const Verdict& verdict, AdmissionTally& tally) {
  if (verdict.granted_index < 0) {
    ++tally.refused[static_cast<size_t>(verdict.decisions.front().reason)];
  } else if (verdict.decisions[static_cast<size_t>(verdict.granted_index)].decision ==
             Decision::kAdmitProbe) {
    ++tally.probes;
  } else {
    ++tally.admitted;
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

AdmissionDesk::AdmissionDesk(SharedTable& table, Metrics& metrics, DurableWaiters& waiters)
    : table_(table), metrics_(metrics), waiters_(waiters) {}

grpc::Status AdmissionDesk::BeginSession(const pb::SessionHello& hello) {
  if (grpc::Status status = CheckHello(hello); !status.ok()) return status;
  bool has_room = false;
  table_.Update([&](TargetTable& table, auto next_moment) {
    has_room = table.BeginSession(hello.reporter(), hello.host(), next_moment().now);
    if (!has_room) return;
    for (const pb::KnownRefusal& refusal : hello.known_refusals()) {
      table.Relearn(hello.reporter(), ParseKnownRefusal(refusal), next_moment());
    }
    for (const pb::ClientLimits& limits : hello.client_limits()) {
      table.LearnClientLimits(limits.client_name(), ParseClientLimits(limits), next_moment().now);
    }
    for (const pb::ProviderCredential& credential : hello.credentials()) {
      table.LearnCredential(credential.provider(), credential.fingerprint(), next_moment());
    }
  });
  if (!has_room) {
    return MakeRpcError(grpc::StatusCode::RESOURCE_EXHAUSTED, "TOO_MANY_SESSIONS",
                        "too many reporters have a session here");
  }
  metrics_.sessions().Increment();
  return grpc::Status::OK;
}

void AdmissionDesk::EndSession(const std::string& reporter) {
  metrics_.sessions().Decrement();
  table_.Update(
      [&](TargetTable& table, auto next_moment) { table.EndSession(reporter, next_moment().now); });
}

DeskResult AdmissionDesk::Handle(const pb::SessionRequest& request, const std::string& reporter,
                                 DeskMemory& memory) {
  const auto asks = static_cast<size_t>(request.asks_size());
  if (memory.verdicts.size() < asks) memory.verdicts.resize(asks);
  DeskResult result;
  AdmissionTally tally;
  bool is_promise = false;
  const common::MonotonicTime began = table_.clock().Monotonic();
  const uint64_t ticket = table_.Update([&](TargetTable& table, auto next_moment) {
    for (const pb::ProviderCredential& credential : request.credentials()) {
      table.LearnCredential(credential.provider(), credential.fingerprint(), next_moment());
    }
    for (const pb::AttemptReport& message : request.reports()) {
      const AttemptReport report = ParseReport(message, reporter);
      const AckStatus status = table.Report(report, next_moment());
      ++tally.reports[static_cast<size_t>(report.kind)][static_cast<size_t>(status)];
      is_promise |= IsPromise(report.kind, status);
      result.acks.push_back({report.sequence_number, status});
    }
    for (size_t i = 0; i < asks; ++i) {
      const Ask ask =
          ParseAsk(request.asks(static_cast<int>(i)), reporter, LeaseKind::kSession, memory.names);
      table.Admit(ask, next_moment(), memory.verdicts[i]);
      Tally(memory.verdicts[i], tally);
    }
  });
  if (is_promise) result.ticket = ticket;
  if (asks > 0) {
    const std::chrono::duration<double> took = table_.clock().Monotonic() - began;
    metrics_.ObserveDecision(took.count() / static_cast<double>(asks));
  }
  metrics_.Count(tally);
  return result;
}

grpc::Status AdmissionDesk::Admit(const pb::AdmitRequest& request, pb::AdmitResponse& response) {
  if (grpc::Status status = CheckReporter(request.reporter()); !status.ok()) return status;
  if (grpc::Status status = CheckAsk(request.ask()); !status.ok()) return status;
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
  Tally(verdict, tally);
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
