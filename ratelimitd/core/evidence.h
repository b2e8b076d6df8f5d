// One report as the facts see it, and the order of events that makes late reports harmless.
//
// Every provider counts its events: each opening, closing, backoff, block and lent probe takes the
// next number. A token carries the number that was current at admission; a fact remembers the
// number at which it was set. Comparing the two tells, without any clock, whether an attempt began
// before or after the fact. Numbers rise through the life of the process.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "ratelimitd/core/attempt.h"

namespace ratelimitd {

using Order = uint64_t;

// When a fact was set.
struct Stamp {
  Order order = 0;
  MonotonicTime at;

  template <typename Archive>
  static void Exchange(Archive& archive, auto& stamp) {
    archive.Number(stamp.order);
    archive.Time(stamp.at);
  }
};

struct Evidence {
  OutcomeKind kind = OutcomeKind::kSuccess;
  MonotonicTime happened_at{};
  // Of the admission; nothing when the attempt was made without asking; 0 in a token from before a
  // restart, which is older than every stamp.
  std::optional<Order> order{};
  uint64_t reporter_id = 0;
  uint64_t host_id = 0;
  std::string_view reporter{};
  int http_status = 0;
  std::string_view provider_code{};

  // Whether the attempt is known to have been admitted after the fact was set.
  bool Follows(const Stamp& stamp) const { return order.has_value() && *order >= stamp.order; }

  // Whether the attempt was admitted (without a token: ended) before the fact was set.
  bool Predates(const Stamp& stamp) const {
    return order.has_value() ? *order < stamp.order : happened_at < stamp.at;
  }
};

// Now and chance, read once per event by the caller. `chance` is in [0, 1).
struct Moment {
  MonotonicTime now;
  double chance = 0;
};

// Why a fact holds, for people.
struct Cause {
  std::string why;       // one sentence
  std::string reporter;  // who reported it; empty when nobody did

  template <typename Archive>
  static void Exchange(Archive& archive, auto& cause) {
    archive.Text(cause.why, 512);
    archive.Text(cause.reporter, 128);
  }
};

// "HTTP 429, rate_limit_exceeded" or "timeout": what the provider did, in few words. Control
// characters of the provider's code are dropped, and at most 64 bytes of it are kept.
std::string DescribeEvidence(const Evidence& evidence);

// "20 s", "1.5 s", "15 min", "3 h": rounded, for sentences.
std::string DescribeLength(milliseconds length);

}  // namespace ratelimitd
