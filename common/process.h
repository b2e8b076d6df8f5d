// What a program needs of its process: command line, signals, CPUs, limits.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"

namespace common {

struct CommandLine {
  enum class Action { kRun, kCheck, kAskHealth, kShowVersion, kShowHelp };
  Action action = Action::kRun;
  std::string config_path = {};
  std::string health_address = {};  // only kAskHealth
};

// Understands --config FILE (or --config=FILE), --check, --health ADDRESS, --version, --help.
// InvalidArgument: unknown option, missing value, no --config where one is needed.
absl::StatusOr<CommandLine> ParseCommandLine(int argc, const char* const* argv);

// What the kernel says about the CPU quota of one control group; empty where there is no such file.
struct CpuQuotaTexts {
  std::string max = {};        // version 2, cpu.max: "200000 100000" or "max 100000"
  std::string quota_us = {};   // version 1, cpu.cfs_quota_us: "-1" for none
  std::string period_us = {};  // version 1, cpu.cfs_period_us
};

// Directories of the control groups that may limit the CPUs of a process, given its
// /proc/self/cgroup: its own group and those above, in version 2 and in version 1.
std::vector<std::string> CpuControlGroups(std::string_view proc_self_cgroup);

// The smaller of `affinity` and every quota, rounded up, at least 1. What cannot be read as a quota
// is none.
int CpusWithinQuotas(int affinity, const std::vector<CpuQuotaTexts>& groups);

// How many threads the process may keep busy: the smaller of its CPU affinity and the CPU quota of
// its control groups (v2 or v1), rounded up, at least 1.
int AvailableCpus();

// No core dumps (they would hold credentials), as many descriptors as the hard limit allows,
// SIGPIPE ignored. Call first in main.
void PrepareProcess();

// One thread waits until another says that the program is to stop. Thread-safe.
class StopSignal {
 public:
  void Raise();
  // Returns at once when it has been raised before.
  void Wait();

 private:
  std::mutex mutex_;
  std::condition_variable raised_;
  bool is_raised_ = false;  // guarded by mutex_
};

// Calls back on its own thread for SIGTERM and SIGINT (`on_stop`, once; a second signal exits at
// once with status 1) and SIGHUP (`on_reload`). The callbacks return quickly: no signal is seen
// before. Construct before any other thread starts: the signals are blocked in every thread started
// afterwards.
class SignalListener {
 public:
  SignalListener(std::function<void()> on_stop, std::function<void()> on_reload);
  // Waits for a callback that is running.
  ~SignalListener();

 private:
  void Run();

  std::function<void()> on_stop_;
  std::function<void()> on_reload_;
  std::atomic<bool> is_ending_ = false;
  std::thread thread_;
};

}  // namespace common
