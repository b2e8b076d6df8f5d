#include "ratelimitd/io/desk_job.h"

namespace ratelimitd {

DeskJob::DeskJob(pb::SessionRequest request, std::string reporter, LeaseKind lease_kind,
                 Metrics& metrics)
    : request_(std::move(request)),
      reporter_(std::move(reporter)),
      lease_kind_(lease_kind),
      metrics_(metrics) {}

void DeskJob::Collect(const TargetTable& table, std::vector<DocumentKey>& keys) const {
  for (const pb::ProviderCredential& credential : request_.credentials()) {
    keys.push_back({DocumentKind::kProvider, credential.provider()});
  }
  for (const pb::AttemptReport& report : request_.reports()) {
    table.CollectDocuments(ParseReport(report, reporter_), keys);
  }
  std::vector<TargetName> names;
  for (const pb::Ask& ask : request_.asks()) {
    table.CollectDocuments(ParseAsk(ask, reporter_, lease_kind_, names), keys);
  }
}

void DeskJob::Work(TargetTable& table, const NextMoment& next_moment) {
  tally_ = {};
  result_ = DecideMessage({request_, reporter_, lease_kind_}, table, next_moment, memory_, tally_);
}

void DeskJob::Confirm(TargetTable& table, const FleetOutcome& outcome, MonotonicTime now) {
  result_.is_degraded = outcome.is_degraded;
  result_.ticket = result_.is_promise ? outcome.ticket : 0;
  metrics_.Count(tally_);
  for (const pb::AttemptReport& report : request_.reports()) {
    table.ConfirmReport(reporter_, report.sequence_number(), now);
  }
}

}  // namespace ratelimitd
