// The shared state in a Redis (6.2 or newer) or Valkey: one hash per document, one atomic script
// per operation, the server's time as the clock.
//
// A thread of its own connects, asks the sentinels where the master is, and connects again after a
// failure, at most once a second. Meanwhile every operation fails at once, and one that gets no
// answer within the timeout costs the connection: a store that is away costs nobody more than that.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/clock.h"
#include "ratelimitd/store/redis_connection.h"
#include "ratelimitd/store/redis_settings.h"
#include "ratelimitd/store/shared_state_store.h"

namespace ratelimitd {

enum class StoreLink : uint8_t {
  kReached,      // connected, or no refusal for some seconds
  kUnreachable,  // not connected
  kRefused,      // the server answers, but refuses us, or an operation for instance without memory
};

class RedisStore final : public SharedStateStore {
 public:
  // Called when that begins, on the store's thread or on that of the operation, never by two at a
  // time. `why` is empty when reached; it has no credential.
  using OnLink = std::function<void(StoreLink link, const std::string& why)>;

  // `clock` must outlive it.
  RedisStore(RedisSettings settings, const common::Clock& clock, OnLink on_link);
  ~RedisStore() override;

  // Waits until it is connected; false: not in time.
  bool WaitForLink(std::chrono::milliseconds timeout);

  absl::StatusOr<LoadResult> Load(std::span<const DocumentRead> reads) override;
  absl::StatusOr<CommitResult> Commit(std::span<const DocumentWrite> writes) override;
  absl::StatusOr<std::vector<uint64_t>> ShareHosts(std::span<const uint64_t> hosts) override;
  absl::StatusOr<std::vector<std::string>> ShareProviders(
      std::span<const std::string> names) override;

 private:
  absl::StatusOr<std::vector<std::string>> Share(std::string_view what,
                                                 std::string_view lifetime_ms,
                                                 const std::vector<std::string>& told);
  struct Script {
    std::string_view text;
    std::string digest;  // of the text, as Redis names it
  };

  void Run();
  void TellOfConnecting(const absl::Status& status) const;
  absl::StatusOr<std::unique_ptr<RedisConnection>> Connect() const;
  // Makes sure that it is the master, and gives it the scripts.
  absl::Status Prepare(RedisConnection& connection, const SocketDeadline& deadline) const;
  absl::StatusOr<RedisAddress> FindMaster(const SocketDeadline& deadline) const;
  absl::StatusOr<RedisReply> RunScript(const Script& script,
                                       const std::vector<std::string_view>& words);
  void Drop(const absl::Status& why);
  // Of a script; with mutex_.
  void TakeAnswer(const absl::Status& status);
  std::string KeyOf(const DocumentKey& key) const;

  const RedisSettings settings_;
  const common::Clock& clock_;
  const OnLink on_link_;
  const Script load_;
  const Script commit_;
  const Script share_;

  std::mutex mutex_;
  std::condition_variable changed_;
  // Set by the thread, used and dropped by operations.
  std::unique_ptr<RedisConnection> connection_;  // guarded by mutex_
  // While it refuses: when it did so last. Guarded by mutex_.
  std::optional<common::MonotonicTime> refused_at_;
  bool is_stopping_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace ratelimitd
