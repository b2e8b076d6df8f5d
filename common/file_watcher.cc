#include "common/file_watcher.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cassert>
#include <utility>

#include "common/file_text.h"

namespace common {
namespace {

constexpr size_t kMaxWatchedBytes = 4 * 1024 * 1024;

// Of a file that cannot be read, that of an empty one.
size_t Hash(const absl::StatusOr<std::string>& content) {
  return std::hash<std::string>()(content.value_or(""));
}

}  // namespace

FileWatcher::FileWatcher(std::vector<std::string> paths, std::chrono::milliseconds interval,
                         std::function<void()> on_change)
    : paths_(std::move(paths)),
      interval_(interval),
      on_change_(std::move(on_change)),
      wake_fd_(eventfd(0, EFD_CLOEXEC)) {
  assert(wake_fd_ >= 0);
  StartOver();
  thread_ = std::thread([this] { Run(); });
}

FileWatcher::~FileWatcher() {
  eventfd_write(wake_fd_, 1);
  thread_.join();
  close(wake_fd_);
}

absl::StatusOr<std::string> FileWatcher::Read(const std::string& path, size_t max_bytes) {
  absl::StatusOr<std::string> content = ReadFileText(path, max_bytes);
  const std::lock_guard lock(mutex_);
  seen_[path] = Hash(content);
  return content;
}

void FileWatcher::StartOver() {
  const std::lock_guard lock(mutex_);
  seen_.clear();
  for (const std::string& path : paths_) seen_[path] = Hash(ReadFileText(path, kMaxWatchedBytes));
}

void FileWatcher::Run() {
  pollfd wake = {.fd = wake_fd_, .events = POLLIN, .revents = 0};
  while (poll(&wake, 1, static_cast<int>(interval_.count())) <= 0) {
    if (HasChanged()) on_change_();
  }
}

bool FileWatcher::HasChanged() {
  const std::lock_guard lock(mutex_);
  bool has_changed = false;
  for (auto& [path, hash] : seen_) {
    const absl::StatusOr<std::string> content = ReadFileText(path, kMaxWatchedBytes);
    if (!content.ok() || Hash(content) == hash) continue;
    hash = Hash(content);
    has_changed = true;
  }
  return has_changed;
}

}  // namespace common
