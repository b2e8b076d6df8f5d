// What a program needs of its process: command line, signals, CPUs, limits.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <thread>

#include "absl/status/statusor.h"

namespace common {

struct CommandLine {
  enum class Action { kRun, kCheck, kShowVersion, kShowHelp };
  Action action = Action::kRun;
  std::string config_path;
};

// Understands --config FILE (or --config=FILE), --check, --version, --help.
// InvalidArgument: unknown option, missing value, no --config where one is needed.
absl::StatusOr<CommandLine> ParseCommandLine(int argc, const char* const* argv);

// How many threads the process may keep busy: the smaller of its CPU affinity and the CPU quota of
// its cgroup (v2 or v1), rounded up, at least 1.
int AvailableCpus();

// No core dumps (they would hold credentials), as many descriptors as the hard limit allows,
// SIGPIPE ignored. Call first in main.
void PrepareProcess();

// Calls back on its own thread for SIGTERM and SIGINT (`on_stop`, a second signal exits at once
// with status 1) and SIGHUP (`on_reload`). Construct before any other thread starts: the signals
// are blocked in every thread started afterwards.
class SignalListener {
 public:
  SignalListener(std::function<void()> on_stop, std::function<void()> on_reload);
  ~SignalListener();

 private:
  void Run(std::function<void()> on_stop, std::function<void()> on_reload);

  std::atomic<bool> stopped_ = false;
  std::thread thread_;
};

// Calls `on_change` on its own thread when the content that `path` leads to has changed (also by a
// swapped symbolic link, as Kubernetes does with a ConfigMap). Looks every `interval`.
class FileWatcher {
 public:
  FileWatcher(std::string path, std::chrono::milliseconds interval,
              std::function<void()> on_change);
  ~FileWatcher();

 private:
  void Run();

  std::string path_;
  std::chrono::milliseconds interval_;
  std::function<void()> on_change_;
  int wake_fd_;
  std::thread thread_;
};

}  // namespace common
