// The auditor's judgement of what lasts: sessions, restarts, memory.
#include <algorithm>

#include "common/concat.h"
#include "tests/simulation/auditor.h"

namespace simulation {
namespace {

using namespace std::chrono_literals;
using Phase = Look::Phase;

constexpr milliseconds kRounding = 2ms;

// Rule 8: when something that had `remaining` left at storing may end.
struct Bounds {
  MonotonicTime floor, ceiling;
};

Bounds BoundsOf(milliseconds remaining, const Survivor& survivor, MonotonicTime now) {
  if (remaining <= 0ms) return {};
  const nanoseconds elapsed = now - survivor.stored_at;
  const nanoseconds ran_ahead = std::max<nanoseconds>(survivor.clock_error, 0ns);
  const nanoseconds fell_behind = std::max<nanoseconds>(-survivor.clock_error, 0ns);
  const nanoseconds least = remaining - elapsed - ran_ahead - kRounding;
  const nanoseconds most =
      std::min<nanoseconds>(remaining, remaining - elapsed + fell_behind) + kRounding;
  return {now + least, now + most};
}

}  // namespace

void Auditor::OnLifeEnded() {
  witness_ = nullptr;
  hosts_.Clear();
  handled_.clear();
  for (auto& [name, key] : keys_) key->block_probe.reset();
}

void Auditor::OnLifeBegan(Witness& witness, Store store, const std::vector<Survivor>& survivors) {
  witness_ = &witness;
  process_ = ++life_;
  ++turn_;
  rulings_.OnRestart(events_.now());
  limits_.OnRestart();
  trace_.Note("life", {life_, static_cast<int64_t>(survivors.size())});
  for (auto& [name, known] : keys_) {
    const auto found = std::find_if(survivors.begin(), survivors.end(),
                                    [&](const Survivor& s) { return s.key == name; });
    JudgeSurvivor(name, *known, store, found == survivors.end() ? nullptr : &*found);
  }
}

void Auditor::JudgeSurvivor(const common::Target& key, Key& known, Store store,
                            const Survivor* survivor) {
  const MonotonicTime now = events_.now();
  const Survivor nothing;
  const ratelimitd::HealthRecord& record = (survivor == nullptr ? nothing : *survivor).record;
  if (store == Store::kWhole) {
    // What was acknowledged and not ended since is in the store.
    const MonotonicTime stored_at = survivor == nullptr ? now : survivor->stored_at;
    const MonotonicTime backoff = std::min(known.acknowledged_backoff, known.backoff.floor());
    if (backoff > now && stored_at + record.backoff_remaining < backoff - kRounding) {
      Fail("I10", common::Concat(key.provider, "/", key.model,
                                 ": an acknowledged limit is not in the store"));
    }
    const bool is_still_open =
        known.last.phase() == Phase::kOpen && known.last.until == known.acknowledged_opening;
    if (is_still_open && known.last.until > now &&
        record.breaker.phase != ratelimitd::Breaker::Phase::kOpen) {
      Fail("I10", common::Concat(key.provider, "/", key.model,
                                 ": an acknowledged opening is not in the store"));
    }
  }
  known.acknowledged_backoff = known.acknowledged_opening = MonotonicTime();
  NoteNews(known);
  known.returns = 0;
  known.spread_deadline = MonotonicTime();
  const Look look = witness_->LookAt(key).value_or(Look());
  known.last = look;
  known.block.Clear();
  known.backoff = BackoffBounds();
  known.breaker.Restore(Settings(key).breaker, record.breaker, look, now, turn_);
  if (survivor == nullptr) {
    const bool is_new = look.state == ratelimitd::HealthState::kHealthy;
    if (!is_new)
      Fail("I10", common::Concat(key.provider, "/", key.model, " refuses and nothing was stored"));
    return;
  }
  const Bounds backoff = BoundsOf(record.backoff_remaining, *survivor, now);
  known.backoff.Restore(backoff.floor, backoff.ceiling, now, turn_);
  const Bounds breaker = BoundsOf(record.breaker.remaining, *survivor, now);
  const bool was_open = record.breaker.phase == ratelimitd::Breaker::Phase::kOpen;
  if (was_open && breaker.floor > now && look.phase() != Phase::kOpen && !look.IsBlocked()) {
    Fail("I10", common::Concat(key.provider, "/", key.model, ": an opening was lost, state ",
                               ratelimitd::HealthStateName(look.state)));
  }
  if (look.phase() == Phase::kOpen &&
      (look.until < breaker.floor || look.until > breaker.ceiling)) {
    Fail("I10", common::Concat("an opening ends ", (look.until - breaker.ceiling) / 1ms,
                               " ms after what the store allows, or ",
                               (breaker.floor - look.until) / 1ms, " ms before"));
  }
  const Bounds block = BoundsOf(record.block.remaining, *survivor, now);
  const Bounds probe = BoundsOf(record.block.until_probe, *survivor, now);
  const bool was_blocked = record.block.kind != ratelimitd::Block::Kind::kNone;
  if (was_blocked && block.floor > now && !look.IsBlocked()) {
    Fail("I10", common::Concat(key.provider, ": a block was lost"));
  }
  if (look.IsBlocked() && !was_blocked) Fail("I10", "a block out of nothing");
  if (!look.IsBlocked()) return;
  known.block.Restore(block.floor, std::max(block.ceiling, now), probe.floor,
                      std::max(probe.ceiling, now), now, turn_);
  if (look.until > std::max(block.ceiling, now))
    Fail("I10", "a block lasts longer than what was stored");
}

void Auditor::OnHello(const HelloFacts& hello, const std::function<void()>& handle) {
  ++turn_;
  const MonotonicTime now = events_.now();
  std::map<common::Target, Look> before;
  for (const auto& [key, known] : keys_) before[key] = Catch(key);
  handle();
  if (!hello.host.empty() && !is_fleet_) {
    hosts_.OnSession(Here(hello.reporter), hello.host, now);
  }
  hosts_.OnWord(Here(hello.reporter), now);
  trace_.Note("hello", {static_cast<int64_t>(hello.memories.size()),
                        static_cast<int64_t>(hello.changed_credentials.size())});
  for (const auto& [key, known] : keys_) {
    if (IsOvertaken(key)) continue;
    const bool is_credential = std::count(hello.changed_credentials.begin(),
                                          hello.changed_credentials.end(), key.provider) > 0;
    // A block that was lifted may have made room at once.
    const bool may_be_lifted = is_credential && known->block.is_auth();
    if (may_be_lifted && !witness_->LookAt(key)) known->last = Look();
    const Look after = LookAgain(key, *known).value_or(Look());
    if (is_in_doubt_) {
      for (const HelloFacts::Memory& memory : hello.memories) {
        if (memory.target == key) known->backoff.OnMemory(now + memory.remaining, now, turn_);
      }
      known->last = after;
      continue;
    }
    MonotonicTime remembered, remembered_block;
    for (const HelloFacts::Memory& memory : hello.memories) {
      if (memory.target != key && ProviderOf(memory.target) != key) continue;
      NoteNews(*known);
      remembered = std::max(remembered, now + memory.remaining);
      if (memory.reason == ratelimitd::RefusalReason::kQuotaExhausted ||
          memory.reason == ratelimitd::RefusalReason::kAuthFailed) {
        remembered_block = std::max(remembered_block, now + memory.remaining);
      }
      if (memory.reason == ratelimitd::RefusalReason::kRateLimited && memory.target == key) {
        known->backoff.OnMemory(now + memory.remaining, now, turn_);
      }
    }
    if (is_credential) NoteNews(*known);
    if (before[key].IsBlocked() && !after.IsBlocked()) {
      if (!is_credential || !known->block.is_auth())
        Fail("I5", "a hello unblocked " + key.provider);
      known->block.Clear();
      known->block_probe.reset();
      known->breaker.OnUnblocked(Settings(key).breaker, ChangeFrom(before[key], after));
    }
    if (after.IsBlocked() && remembered_block > now) {
      known->block.OnMemory(
          remembered_block,
          before[key].IsBlocked() ? BlockBounds::Blocked::kYes : BlockBounds::Blocked::kNo, now,
          turn_);
    }
    const bool is_opened = before[key].phase() == Phase::kServing && after.phase() == Phase::kOpen;
    const bool is_longer = after.phase() == Phase::kOpen && before[key].phase() == Phase::kOpen &&
                           after.until != before[key].until;
    if ((is_opened || is_longer) && after.until > remembered + kRounding) {
      Fail("I5", "a hello opened " + key.provider + " longer than the gateway remembered");
    }
    known->breaker.OnMemory(ChangeFrom(before[key], after));
    known->last = after;
  }
}

void Auditor::OnSessionEnded(const std::string& reporter, const std::function<void()>& handle) {
  ++turn_;
  // Leases that are over by now end before the session does.
  for (const auto& [key, known] : keys_) Catch(key);
  handle();
  trace_.Note("goodbye", {});
  if (!is_fleet_ && !hosts_.OnSessionEnded(Here(reporter), events_.now())) return;
  if (is_in_doubt_) return CutProbesInDoubt(reporter);
  for (auto& [key, known] : keys_) {
    const MonotonicTime lease_end = events_.now() + Settings(key).breaker.probe_lease;
    known->breaker.OnSessionEnded(reporter, lease_end);
    if (known->block_probe && known->block_probe->second == reporter) {
      known->block_probe_until = std::min(known->block_probe_until, lease_end);
    }
  }
}

void Auditor::CheckMemory() {
  if (witness_ == nullptr) return;
  // Counting takes what time has brought, as every look does.
  if (!is_fleet_) {
    for (const auto& [key, known] : keys_) Catch(key);
  }
  const ratelimitd::TableStats stats = witness_->Stats();
  const size_t bound = scenario_.settings.max_targets;
  if (stats.targets > bound || stats.providers > bound ||
      stats.reporters > scenario_.settings.max_reporters) {
    Fail("I11", common::Concat(stats.targets, " targets, ", stats.providers, " providers, ",
                               stats.reporters, " reporters"));
  }
}

}  // namespace simulation
