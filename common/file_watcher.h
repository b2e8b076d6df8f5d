// Notices when a file that a program has read changes: its configuration, the secrets, keys and
// certificates that this names. Thread-safe.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"

namespace common {

// Calls `on_change` on its own thread when the content that a watched path leads to has changed
// (also by a swapped symbolic link, as Kubernetes does with a ConfigMap or Secret). Looks every
// `interval`; files that change together are one change. A file that cannot be read for a while has
// not changed; one above 4 MiB is not watched.
class FileWatcher {
 public:
  // Watches `paths`. Construct before reading them for the first time, so that no change is missed.
  FileWatcher(std::vector<std::string> paths, std::chrono::milliseconds interval,
              std::function<void()> on_change);
  // Waits for a callback that is running.
  ~FileWatcher();

  // What one more file holds; fails as ReadFileText. A change of what was read is noticed from now
  // on, and so is a file that could not be read and now can.
  absl::StatusOr<std::string> Read(const std::string& path, size_t max_bytes);

  // Forgets the files of Read. To be called before everything is read again, also by `on_change`.
  void StartOver();

 private:
  void Run();
  bool HasChanged();

  const std::vector<std::string> paths_;
  const std::chrono::milliseconds interval_;
  const std::function<void()> on_change_;
  std::mutex mutex_;
  // What the files held, as hashes: it may be secret. Guarded by mutex_.
  std::map<std::string, size_t> seen_;
  int wake_fd_;
  std::thread thread_;
};

}  // namespace common
