// A shared store in memory that can fail like a real one: away, with lost replies, flushed, or
// replaced by a copy that has missed the last writes. Not thread-safe.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/clock.h"
#include "ratelimitd/store/shared_state_store.h"

namespace candor_test {

// What all replicas' stores are connected to.
class SimulatedRedis {
 public:
  struct Document {
    std::string version;
    std::map<std::string, std::string> fields;
    ratelimitd::StoreTime expires_at{0};
  };
  using Documents = std::map<ratelimitd::DocumentKey, Document>;

  // `clock` must outlive it.
  explicit SimulatedRedis(const common::Clock& clock) : clock_(clock) {}

  ratelimitd::StoreTime Now() const {
    using ratelimitd::StoreTime;
    return std::chrono::duration_cast<StoreTime>(clock_.Wall().time_since_epoch()) + step;
  }
  void Expire() {
    std::erase_if(documents, [&](const auto& item) { return item.second.expires_at <= Now(); });
  }

  Documents documents;
  std::map<uint64_t, ratelimitd::StoreTime> hosts;  // when they were last told of
  std::set<std::string> providers;                  // that anybody has told of
  bool is_away = false;
  ratelimitd::StoreTime step{0};  // of its clock, against everybody else's

 private:
  const common::Clock& clock_;
};

class MemorySharedStore final : public ratelimitd::SharedStateStore {
 public:
  explicit MemorySharedStore(SimulatedRedis& redis) : redis_(redis) {}

  // Called before the next commit takes effect: others may act between.
  std::function<void()> before_next_commit;
  bool loses_next_reply = false;  // of a commit, which takes effect
  int loads = 0;
  int commits = 0;

  absl::StatusOr<ratelimitd::LoadResult> Load(
      std::span<const ratelimitd::DocumentRead> reads) override {
    if (redis_.is_away) return absl::UnavailableError("away");
    ++loads;
    ratelimitd::LoadResult result{redis_.Now(), {}};
    redis_.Expire();
    for (const auto& read : reads) result.documents.push_back(Read(read.key, read.known_version));
    return result;
  }

  absl::StatusOr<ratelimitd::CommitResult> Commit(
      std::span<const ratelimitd::DocumentWrite> writes) override {
    if (before_next_commit) std::exchange(before_next_commit, nullptr)();
    if (redis_.is_away) return absl::UnavailableError("away");
    ++commits;
    redis_.Expire();
    ratelimitd::CommitResult result{.is_committed = true, .current = {redis_.Now(), {}}};
    for (const auto& write : writes) {
      const auto known = redis_.documents.find(write.key);
      const std::string version =
          known == redis_.documents.end() ? std::string() : known->second.version;
      result.is_committed &= version == write.expected_version;
      result.current.documents.push_back(Read(write.key, write.expected_version));
    }
    if (!result.is_committed) return result;
    for (const auto& write : writes) Apply(write);
    if (std::exchange(loses_next_reply, false)) return absl::UnavailableError("reply lost");
    return ratelimitd::CommitResult{.is_committed = true, .current = {}};
  }

  absl::StatusOr<std::vector<uint64_t>> ShareHosts(std::span<const uint64_t> hosts) override {
    if (redis_.is_away) return absl::UnavailableError("away");
    for (const uint64_t host : hosts) redis_.hosts[host] = redis_.Now();
    std::vector<uint64_t> alive;
    std::erase_if(redis_.hosts, [&](const auto& item) {
      const auto age = redis_.Now() - item.second;
      return age > std::chrono::minutes(1) || age < ratelimitd::StoreTime(0);
    });
    for (const auto& [host, told_at] : redis_.hosts) alive.push_back(host);
    return alive;
  }

  absl::StatusOr<std::vector<std::string>> ShareProviders(
      std::span<const std::string> names) override {
    if (redis_.is_away) return absl::UnavailableError("away");
    redis_.providers.insert(names.begin(), names.end());
    return std::vector<std::string>(redis_.providers.begin(), redis_.providers.end());
  }

 private:
  ratelimitd::LoadedDocument Read(const ratelimitd::DocumentKey& key,
                                  const std::string& known_version) const {
    using State = ratelimitd::LoadedDocument::State;
    const auto found = redis_.documents.find(key);
    if (found == redis_.documents.end()) return {.state = State::kMissing};
    if (found->second.version == known_version) return {.state = State::kUnchanged};
    return {.state = State::kChanged,
            .version = found->second.version,
            .fields = {found->second.fields.begin(), found->second.fields.end()}};
  }

  void Apply(const ratelimitd::DocumentWrite& write) {
    SimulatedRedis::Document& document = redis_.documents[write.key];
    document.version = write.new_version;
    document.expires_at = redis_.Now() + write.lifetime;
    for (const auto& [name, bytes] : write.set_fields) document.fields[name] = bytes;
    for (const std::string& name : write.erased_fields) document.fields.erase(name);
  }

  SimulatedRedis& redis_;
};

}  // namespace candor_test
