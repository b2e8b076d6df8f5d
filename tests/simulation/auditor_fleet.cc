// The auditor's judgement of a fleet: one state that all replicas share, and times of doubt, in
// which each of them is judged by what it has learned itself.
#include <algorithm>
#include <utility>

#include "common/concat.h"
#include "tests/simulation/auditor.h"

namespace simulation {
namespace {

using namespace std::chrono_literals;
using Phase = Look::Phase;
using ratelimitd::Decision;

constexpr milliseconds kRounding = 2ms;
// No probe is out longer.
constexpr milliseconds kLongestAttempt = 5min;
// A failover may take this much back.
constexpr milliseconds kLastSecond = 1100ms;
// Fewer than the reports that a provider's document remembers.
constexpr int kSurelyRemembered = 200;

}  // namespace

void Auditor::OnFleetBegan(Witness& fleet) {
  is_fleet_ = true;
  fleet_ = &fleet;
  ++life_;
  ++turn_;
}

void Auditor::BeginHearing(Witness& witness, int process, Footing footing, Knowledge knowledge) {
  witness_ = &witness;
  process_ = process;
  knowledge_ = std::move(knowledge);
  is_alone_ = footing == Footing::kAlone;
  if (is_alone_) return;
  // It has read what others have made of its probes.
  for (auto& [whose, own] : own_) {
    if (whose.first == process) own.probes.clear();
  }
}

void Auditor::EndHearing() {
  witness_ = processes_.empty() ? nullptr : fleet_;
  process_ = 0;
  knowledge_ = {};
}

void Auditor::OnGreeted(int process, const std::string& reporter, const std::string& host) {
  hosts_.OnSession({process, reporter}, host, events_.now());
}

bool Auditor::OnFarewell(int process, const std::string& reporter) {
  return hosts_.OnSessionEnded({process, reporter}, events_.now());
}

void Auditor::OnProcessBegan(int process) {
  trace_.Note("process", {process});
  processes_.insert(process);
  witness_ = fleet_;
}

void Auditor::OnProcessEnded(int process) {
  trace_.Note("death", {process});
  processes_.erase(process);
  rulings_.OnProcessEnded(process);
  if (processes_.empty()) witness_ = nullptr;
  hosts_.Forget(process, events_.now(), kNewsTakes);
  std::erase_if(own_, [process](const auto& item) { return item.first.first == process; });
  for (auto& [name, key] : keys_) key->breaker.OnCountsLost(events_.now());
}

void Auditor::OnUnheard(const std::string& reporter, uint64_t sequence_number) {
  ++turn_;
  hosts_.OnWord(Here(reporter), events_.now());
  const ReportName name(reporter, sequence_number);
  Written& written = written_.at(name);
  if (handled_.insert(name).second) {
    written.handled_first = turn_;
    written.provider_reports = ++provider_reports_[written.told.target.provider];
    written.told.happened_at = events_.now();
  }
  written.handled_by.insert(process_);
  trace_.Note("unheard", {numbers_[written.told.target]});
}

BreakerWatch::Quorum Auditor::QuorumFor(const ratelimitd::BreakerSettings& settings) const {
  const auto alive = hosts_.Count(events_.now(), is_fleet_ ? kNewsTakes : 0ms);
  return {std::min(settings.quorum, alive.least), std::min(settings.quorum, alive.most)};
}

// Successes that reach two replicas are counted by both, and so is what has been forgotten. What is
// neutral does nothing a second time either.
bool Auditor::MayCountAgain(const Written& written) const {
  if (!is_fleet_) return false;
  if (IsSuccess(written.told.kind) || written.told.may_be_forgotten) return true;
  const auto known = provider_reports_.find(written.told.target.provider);
  return known->second - written.provider_reports > kSurelyRemembered;
}

void Auditor::NoteNews(Key& key) {
  key.news = turn_;
  key.news_by[process_] = turn_;
}

bool Auditor::IsOvertaken(const common::Target& target) {
  if (!is_fleet_ || is_in_doubt_ || process_ == 0 ||
      knowledge_.up_to_date.contains(target.provider))
    return false;
  const Turn read_at = knowledge_.read_at.at(target.provider);
  const auto is_news = [&](const auto& news) {
    return news.first != process_ && news.second > read_at;
  };
  const auto has_news = [&](const common::Target& key) {
    const auto& news_by = Find(key)->news_by;
    return std::any_of(news_by.begin(), news_by.end(), is_news);
  };
  return has_news(target) || has_news(ProviderOf(target));
}

void Auditor::JudgeOvertakenReport(const common::Target& key, const Told& told) {
  Key& known = *Find(key);
  Told unsure = told;
  unsure.may_be_forgotten = true;
  known.breaker.OnUnjudgedReport(unsure, events_.now());
  if (IsSuccess(told.kind)) known.backoff.OnSuccess(unsure, life_, events_.now());
}

void Auditor::JudgeOvertakenGrant(const common::Target& key) {
  Find(key)->breaker.OnUnjudgedGrant(events_.now());
}

void Auditor::NoteFloor(Key& key, MonotonicTime floor_before) {
  if (key.backoff.floor() == floor_before) return;
  key.floor_owner = process_;
  key.floor_stored_at.reset();
  if (!is_in_doubt_) key.floor_stored_at = events_.now();
}

void Auditor::BeginDoubt(Loss loss) {
  trace_.Note("doubt", {static_cast<int>(loss)});
  is_in_doubt_ = true;
  const MonotonicTime now = events_.now();
  if (loss == Loss::kLastSecond || loss == Loss::kEverything) {
    const MonotonicTime since = loss == Loss::kEverything ? MonotonicTime() : now - kLastSecond;
    rulings_.OnLoss(since);
    limits_.OnLoss(since);
  }
  if (loss == Loss::kClock) rulings_.OnClockStep(now);
  for (auto& [name, key] : keys_) {
    const bool is_young = key->floor_stored_at && now - *key->floor_stored_at < kLastSecond;
    if (loss == Loss::kEverything || (loss == Loss::kLastSecond && is_young)) {
      key->floor_stored_at.reset();
    }
    if (loss != Loss::kClock) continue;
    key->backoff.OnClockStep(Settings(name).backoff, now);
    key->breaker.OnClockStep(now);
  }
  if (loss == Loss::kClock) own_.clear();
}

void Auditor::EndDoubt() {
  ++turn_;
  doubted_until_ = turn_;
  is_in_doubt_ = false;
  const MonotonicTime now = events_.now();
  trace_.Note("certainty", {});
  hosts_.ForgetNews(now);
  rulings_.OnCertainty(now);
  for (auto& [name, key] : keys_) {
    const Look look = fleet_->LookAt(name).value_or(Look());
    for (const auto& [whose, own] : own_) {
      const bool is_forgotten = whose.second == name && own.opening_until > now + kRounding &&
                                look.phase() == Phase::kServing;
      if (is_forgotten) {
        Fail("I9", common::Concat(name.provider, "/", name.model,
                                  ": what one replica has learned alone does not hold for all"));
      }
    }
    const bool is_kept = key->floor_stored_at || processes_.contains(key->floor_owner);
    key->backoff.LoseTrack(
        is_kept ? BackoffBounds::Floor::kHolds : BackoffBounds::Floor::kMayBeLost, now, turn_);
    if (is_kept) key->floor_stored_at = now;
    key->breaker.LoseTrack(Settings(name).breaker, look, now, turn_);
    key->block.Clear();
    if (look.IsBlocked()) key->block.LoseTrack(now, turn_);
    key->block_probe.reset();
    key->unknown_block_probe_until = now + kLongestAttempt;
    key->news = turn_;
    key->returns = 0;
    key->spread_deadline = MonotonicTime();
    key->last = look;
  }
  own_.clear();
}

void Auditor::NoteOpening(const common::Target& key, const Look& before, const Look& after) {
  const bool is_open = after.phase() == Phase::kOpen;
  Own& own = own_[{process_, key}];
  if (!is_open) own.opening_until = MonotonicTime();
  if (is_open && before.phase() != Phase::kOpen) own.opening_until = after.until;
  const bool is_closed = before.phase() != Phase::kServing && after.phase() == Phase::kServing;
  if (!is_closed) return;
  for (auto& [whose, other] : own_) {
    if (whose.second == key) other.opening_until = MonotonicTime();
  }
}

void Auditor::CutProbesInDoubt(const std::string& reporter) {
  for (auto& [whose, own] : own_) {
    if (whose.first != process_) continue;
    const MonotonicTime lease_end = events_.now() + Settings(whose.second).breaker.probe_lease;
    for (Own::Probe& probe : own.probes) {
      if (probe.reporter == reporter) probe.until = std::min(probe.until, lease_end);
    }
  }
}

void Auditor::JudgeReportInDoubt(const common::Target& key, const Told& told, AckStatus ack) {
  const MonotonicTime now = events_.now();
  Key& known = *Find(key);
  const Look before = known.last;
  const Look after = LookAgain(key, known).value_or(Look());
  known.last = after;
  NoteNews(known);
  if (ack == AckStatus::kDuplicate) return;
  for (auto& [whose, own] : own_) {
    std::erase_if(own.probes, [&](const auto& probe) { return probe.grant == told.grant; });
  }
  // Replicas that are apart give the same numbers: the report of what one admitted may free
  // another's probe.
  const bool is_probe = told.grant != nullptr && told.grant->is_probe;
  const bool is_of_another = told.grant != nullptr && told.grant->process != process_;
  if (after.phase() != Phase::kHalfOpen || is_probe || is_of_another) {
    own_[{process_, key}].probes.clear();
  }
  NoteOpening(key, before, after);
  known.breaker.OnUnjudgedReport(told, now);
  Told unsure = told;
  unsure.may_be_forgotten = true;
  const bool is_provider_wide = told.scope == ratelimitd::LimitScope::kProvider;
  if (told.kind == OutcomeKind::kRateLimited && is_provider_wide == key.model.empty()) {
    const auto heard =
        ack == AckStatus::kApplied ? BackoffBounds::Heard::kYes : BackoffBounds::Heard::kNo;
    const MonotonicTime floor_before = known.backoff.floor();
    known.backoff.OnLimit(Settings(key).backoff, unsure, life_, heard, now, turn_);
    NoteFloor(known, floor_before);
    if (known.backoff.floor() != floor_before) {
      own_[{process_, key}].floor = known.backoff.floor();
    }
  }
  if (!IsSuccess(told.kind)) return;
  known.backoff.OnSuccess(unsure, life_, now);
  for (auto& [whose, own] : own_) {
    if (whose.second == key) own.floor = MonotonicTime();
  }
}

void Auditor::JudgeGrantInDoubt(const AskFacts& ask, const common::Target& key,
                                const std::shared_ptr<const Grant>& grant) {
  const MonotonicTime now = events_.now();
  Key& known = *Find(key);
  Own& own = own_[{process_, key}];
  if (own.floor > now) {
    Fail("I2", common::Concat(key.provider, "/", key.model,
                              ": a replica admitted before the end of a backoff that it has "
                              "learned itself"));
  }
  const Look before = known.last;
  const Look after = LookAgain(key, known).value_or(Look());
  known.last = after;
  NoteNews(known);
  NoteOpening(key, before, after);
  known.breaker.OnUnjudgedGrant(now);
  std::erase_if(own.probes, [&](const auto& probe) { return probe.until <= now; });
  if (after.phase() != Phase::kHalfOpen) {
    own.probes.clear();
    return;
  }
  if (!grant->is_probe) Fail("I1", "half-open, and admitted without being a probe");
  if (!is_alone_ || Settings(key).breaker.probes > 1) return;
  if (!own.probes.empty()) Fail("I1", "a replica on its own lent a second probe");
  own.probes.push_back({grant, ask.reporter, ask.lease_end});
}

}  // namespace simulation
