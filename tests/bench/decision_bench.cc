// What the table takes for one decision. The contract's bar is 2 microseconds.
#include <benchmark/benchmark.h>

#include <chrono>
#include <string>
#include <vector>

#include "ratelimitd/core/target_table.h"

namespace ratelimitd {
namespace {

using namespace std::chrono_literals;

constexpr int kTargets = 10'000;

// A table that is half full, with one gateway that asks for all of it in turn.
class Bench {
 public:
  explicit Bench(TableSettings settings = {}) : table_(std::move(settings), 7) {
    for (int i = 0; i < kTargets; ++i) {
      providers_.push_back("provider-" + std::to_string(i / 10));
      models_.push_back("model-" + std::to_string(i % 10));
    }
    for (int i = 0; i < kTargets; ++i) Ask(1);
  }

  // The next `targets` in turn.
  const Verdict& Ask(int targets, std::string_view client = {}) {
    names_.clear();
    for (int i = 0; i < targets; ++i) {
      const size_t next = next_++ % kTargets;
      names_.push_back({providers_[next], models_[next]});
    }
    now_ += 10us;
    table_.Admit({.reporter = "gateway-1:0",
                  .lease_kind = LeaseKind::kSession,
                  .targets = names_,
                  .client_name = client,
                  .attempt_timeout = 60s},
                 {now_, 0.5}, verdict_);
    return verdict_;
  }
  AckStatus Report(const Verdict& grant, OutcomeKind kind) {
    return table_.Report({.reporter = "gateway-1:0",
                          .sequence_number = ++sequence_,
                          .token = grant.token,
                          .kind = kind},
                         {now_, 0.5});
  }
  // Every target refuses from now on.
  void LimitAll() {
    for (int i = 0; i < kTargets; ++i) {
      const std::string token = Ask(1).token;
      table_.Report({.reporter = "gateway-1:0",
                     .sequence_number = ++sequence_,
                     .token = token,
                     .kind = OutcomeKind::kRateLimited,
                     .retry_after = 15min},
                    {now_, 0.5});
    }
    table_.TakeConsequences(now_);
  }
  void LimitClient() { table_.LearnClientLimits("team", {1'000'000'000, 1'000'000'000, 0}, now_); }

 private:
  TargetTable table_;
  std::vector<std::string> providers_, models_;
  std::vector<TargetName> names_;
  Verdict verdict_;
  MonotonicTime now_{1h};
  size_t next_ = 0;
  uint64_t sequence_ = 0;
};

void GrantOfOneTarget(benchmark::State& state) {
  Bench bench;
  for (auto _ : state) benchmark::DoNotOptimize(bench.Ask(1).granted_index);
}
BENCHMARK(GrantOfOneTarget);

void GrantAndReportOfItsSuccess(benchmark::State& state) {
  Bench bench;
  for (auto _ : state) {
    benchmark::DoNotOptimize(bench.Report(bench.Ask(1), OutcomeKind::kSuccess));
  }
}
BENCHMARK(GrantAndReportOfItsSuccess);

void GrantUnderAClientsLimits(benchmark::State& state) {
  Bench bench;
  bench.LimitClient();
  for (auto _ : state) benchmark::DoNotOptimize(bench.Ask(1, "team").granted_index);
}
BENCHMARK(GrantUnderAClientsLimits);

void RefusalOfOneTarget(benchmark::State& state) {
  Bench bench;
  bench.LimitAll();
  for (auto _ : state) benchmark::DoNotOptimize(bench.Ask(1).granted_index);
}
BENCHMARK(RefusalOfOneTarget);

void RefusalOfThreeTargets(benchmark::State& state) {
  Bench bench;
  bench.LimitAll();
  for (auto _ : state) benchmark::DoNotOptimize(bench.Ask(3).granted_index);
}
BENCHMARK(RefusalOfThreeTargets);

}  // namespace
}  // namespace ratelimitd
