// The fact "the account cannot be used": money or quota is gone, or the credential is refused. Set
// on a provider; ends by a probe that succeeds after its time, or by a changed credential. A long
// block lets one probe an hour through, in case the operator has paid. Not thread-safe.
#pragma once

#include <optional>

#include "ratelimitd/core/breaker.h"
#include "ratelimitd/core/evidence.h"
#include "ratelimitd/core/settings.h"

namespace ratelimitd {

class Block {
 public:
  enum class Kind : uint8_t { kNone, kQuota, kAuth };

  struct Record {
    Kind kind = Kind::kNone;
    milliseconds remaining{0};
    milliseconds until_probe{0};
    milliseconds elapsed{0};  // since it was set; after a restart 0
    int count = 0;
  };

  // QUOTA_EXHAUSTED or AUTH_FAILED arrived. `reset` is the provider's stated wait until its quota
  // returns (at most 35 days are believed). Reports of attempts admitted before the block was set,
  // or made without asking while it lasts, belong to the same event. Returns whether the block was
  // set or its end moved.
  bool Set(const BlockSettings& settings, const Evidence& evidence,
           std::optional<milliseconds> reset, const Moment& moment, Order order);

  // A success arrived. Returns whether it lifted the block.
  bool ClearBy(const Evidence& success, Order& order, MonotonicTime now);
  // The gateways use another credential. Returns whether that lifted the block.
  bool ClearByCredential(Order& order, MonotonicTime now);

  // Whether a request may pass: kAdmit, kAdmitProbe or kReject.
  Breaker::View Look(MonotonicTime now) const;
  void Admit(const ProbeLease& lease);
  // A report arrived under this number: if it was the probe's, the permit is free again, and the
  // hour too when nothing was sent.
  void FreeProbe(Order order, OutcomeKind kind, MonotonicTime now);
  void GiveUpLostProbe(MonotonicTime now);
  void OnSessionEnded(uint64_t reporter_id, MonotonicTime lease_end);

  Record ToRecord(MonotonicTime now) const;
  void Restore(const Record& record, MonotonicTime now, Cause cause, Order stamp_order);
  // At least until `until`: a gateway's memory. Returns whether anything changed.
  bool RaiseTo(Kind kind, MonotonicTime until, MonotonicTime now, Cause cause, Order order);
  // At least as long as recorded: another replica's knowledge. Returns whether anything changed.
  bool Reassert(const Record& record, MonotonicTime now, Cause cause, Order order);

  bool IsSet() const { return kind_ != Kind::kNone; }
  // Whether it still refuses everybody but the hourly probe; later it asks for one probe.
  bool IsInForce(MonotonicTime now) const { return IsSet() && now < until_; }
  Kind kind() const { return kind_; }
  MonotonicTime until() const { return until_; }
  const Stamp& stamp() const { return stamp_; }
  const Cause& cause() const { return cause_; }
  bool HasLeaseOf(uint64_t reporter_id) const {
    return probe_ && probe_->reporter_id == reporter_id;
  }
  int probes_out() const { return probe_.has_value() ? 1 : 0; }

  template <typename Archive>
  static void Exchange(Archive& archive, auto& block) {
    archive.Choice(block.kind_, Kind::kAuth);
    archive.Time(block.until_);
    archive.Time(block.next_probe_);
    archive.Number(block.count_, kHighestCount);
    archive.Flag(block.is_hearsay_);
    Stamp::Exchange(archive, block.stamp_);
    archive.Maybe(block.probe_, [&](auto& probe) { ProbeLease::Exchange(archive, probe); });
    Cause::Exchange(archive, block.cause_);
  }

 private:
  static constexpr uint64_t kHighestCount = 1000;

  void Clear(Order& order, MonotonicTime now);
  milliseconds Length(const BlockSettings& settings, Kind kind,
                      std::optional<milliseconds> reset) const;

  Kind kind_ = Kind::kNone;
  MonotonicTime until_;
  MonotonicTime next_probe_;
  int count_ = 0;            // blocks in a row without a success between them
  bool is_hearsay_ = false;  // a gateway's memory, which is shorter than what a report would say
  Stamp stamp_;
  std::optional<ProbeLease> probe_;
  Cause cause_;
};

}  // namespace ratelimitd
