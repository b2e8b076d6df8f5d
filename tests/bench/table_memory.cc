// Offers a million targets that nobody has heard of to a table that holds real refusals, and fails
// unless the table stays within the bound that target_table.h states and still refuses what it
// must. Then fills a table with targets that have a whole history. Prints what each took.
#include <malloc.h>

#include <chrono>
#include <iostream>
#include <string>

#include "absl/strings/str_format.h"
#include "ratelimitd/core/target_table.h"

namespace ratelimitd {
namespace {

using namespace std::chrono_literals;

constexpr int kRefused = 100;
constexpr int kOffered = 1'000'000;
constexpr int kWithHistory = 1000;
// As target_table.h says.
constexpr size_t kMaxBytesOfUnknown = 3 << 10;
constexpr size_t kMaxBytesWithHistory = 12 << 10;

size_t BytesInUse() {
  const auto info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

class Offer {
 public:
  // Whether it was admitted.
  bool Ask(const std::string& provider) {
    const TargetName target{provider, "model"};
    table_.Admit({.reporter = "gateway", .targets = {&target, 1}}, {now_, 0.5}, verdict_);
    return verdict_.granted_index == 0;
  }
  void Limit(const std::string& provider) {
    Ask(provider);
    table_.Report({.reporter = "gateway",
                   .token = verdict_.token,
                   .kind = OutcomeKind::kRateLimited,
                   .http_status = 429,
                   .provider_code = "rate_limit_exceeded",
                   .retry_after = 10min},
                  {now_, 0.5});
    table_.TakeConsequences(now_);
  }
  void Wait(milliseconds step) { now_ += step; }
  TableStats Stats() { return table_.Stats({now_, 0.5}); }

 private:
  TargetTable table_{TableSettings(), 7};
  Verdict verdict_;
  MonotonicTime now_{1h};
};

std::string Real(int i) { return "real-" + std::to_string(i); }

bool OfferUnknownTargets() {
  const size_t before = BytesInUse();
  Offer offer;
  for (int i = 0; i < kRefused; ++i) offer.Limit(Real(i));
  bool is_good = true;
  for (int i = 0; i < kOffered; ++i) is_good &= offer.Ask("unknown-" + std::to_string(i));
  const TableStats stats = offer.Stats();
  const size_t bytes = BytesInUse() - before;
  std::cout << absl::StreamFormat(
      "%d targets offered: %d kept with %d providers, %.1f MiB, %d bytes each with its provider\n",
      kOffered, stats.targets, stats.providers, static_cast<double>(bytes) / (1 << 20),
      bytes / stats.targets);
  const size_t most = TableSettings().max_targets;
  is_good &= stats.targets <= most && stats.providers <= most && bytes <= most * kMaxBytesOfUnknown;
  for (int i = 0; i < kRefused; ++i) is_good &= !offer.Ask(Real(i));
  return is_good;
}

bool FillWithHistory() {
  const size_t before = BytesInUse();
  Offer offer;
  for (size_t transition = 0; transition < Health::kMaxHistory; ++transition) {
    for (int i = 0; i < kWithHistory; ++i) offer.Limit(Real(i));
    offer.Wait(1h);
  }
  const size_t bytes = (BytesInUse() - before) / kWithHistory;
  std::cout << absl::StreamFormat("%d bytes each with its provider and a whole history\n", bytes);
  return bytes <= kMaxBytesWithHistory;
}

int Main() {
  const bool is_bounded = OfferUnknownTargets();
  const bool is_history_bounded = FillWithHistory();
  const bool is_good = is_bounded && is_history_bounded;
  std::cout << (is_good ? "within the bounds, and every real refusal is kept\n"
                        : "FAILED: beyond a bound, or a real refusal was forgotten\n");
  return is_good ? 0 : 1;
}

}  // namespace
}  // namespace ratelimitd

int main() { return ratelimitd::Main(); }
