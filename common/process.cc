#include "common/process.h"

#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/concat.h"
#include "common/file_text.h"

namespace common {
namespace {

constexpr size_t kMaxKernelFileBytes = 64 * 1024;
constexpr std::string_view kControlGroupRoot = "/sys/fs/cgroup";
constexpr int kMaxCpus = 4'096;

sigset_t ListenedSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGHUP);
  return signals;
}

std::string KernelFileText(const std::string& path) {
  return ReadFileText(path, kMaxKernelFileBytes).value_or("");
}

// CPUs that `quota` of every `period` amounts to, rounded up; kMaxCpus when it is no limit.
int CpusOfQuota(std::string_view quota, std::string_view period) {
  int64_t quota_us = 0;
  int64_t period_us = 0;
  const bool is_limit = absl::SimpleAtoi(std::string(quota), &quota_us) && quota_us > 0 &&
                        absl::SimpleAtoi(std::string(period), &period_us) && period_us > 0;
  if (!is_limit) return kMaxCpus;
  const int64_t cpus = quota_us / period_us + (quota_us % period_us == 0 ? 0 : 1);
  return static_cast<int>(std::min<int64_t>(cpus, kMaxCpus));
}

int CpuAffinity() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) return CPU_COUNT(&allowed);
  return static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
}

}  // namespace

absl::StatusOr<CommandLine> ParseCommandLine(int argc, const char* const* argv) {
  constexpr std::string_view kConfigPrefix = "--config=";
  CommandLine line;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--help") return CommandLine{.action = CommandLine::Action::kShowHelp};
    if (argument == "--version") return CommandLine{.action = CommandLine::Action::kShowVersion};
    if (argument == "--check") {
      line.action = CommandLine::Action::kCheck;
    } else if (argument.starts_with(kConfigPrefix)) {
      line.config_path = argument.substr(kConfigPrefix.size());
    } else if (argument == "--config" && i + 1 < argc) {
      line.config_path = argv[++i];
    } else if (argument == "--config") {
      return absl::InvalidArgumentError("--config needs the name of a file");
    } else if (argument == "--health" && i + 1 < argc) {
      return CommandLine{.action = CommandLine::Action::kAskHealth, .health_address = argv[i + 1]};
    } else if (argument == "--health") {
      return absl::InvalidArgumentError("--health needs the address of an admin page");
    } else {
      return absl::InvalidArgumentError(Concat("unknown option ", argument, "; try --help"));
    }
  }
  if (line.config_path.empty()) {
    return absl::InvalidArgumentError("--config FILE is missing; try --help");
  }
  return line;
}

std::vector<std::string> CpuControlGroups(std::string_view proc_self_cgroup) {
  std::vector<std::string> directories;
  // A line is "id:controllers:path"; version 2 has the id 0 and no controllers.
  for (const std::string& line : std::vector<std::string>(
           absl::StrSplit(std::string(proc_self_cgroup), '\n', absl::SkipEmpty()))) {
    const std::vector<std::string> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3) continue;
    const std::vector<std::string> controllers = absl::StrSplit(parts[1], ',');
    const bool is_cpu =
        std::find(controllers.begin(), controllers.end(), "cpu") != controllers.end();
    if (!is_cpu && !parts[1].empty()) continue;
    const std::string root = Concat(kControlGroupRoot, is_cpu ? "/cpu" : "");
    for (std::string path = parts[2]; path.size() > 1; path.resize(path.rfind('/'))) {
      if (!path.starts_with('/')) break;
      directories.push_back(Concat(root, path));
    }
    directories.push_back(root);
  }
  return directories;
}

int CpusWithinQuotas(int affinity, const std::vector<CpuQuotaTexts>& groups) {
  int cpus = affinity;
  for (const CpuQuotaTexts& group : groups) {
    const std::vector<std::string> max =
        absl::StrSplit(group.max, absl::ByAnyChar(" \n"), absl::SkipEmpty());
    if (max.size() == 2) cpus = std::min(cpus, CpusOfQuota(max[0], max[1]));
    cpus = std::min(cpus, CpusOfQuota(group.quota_us, group.period_us));
  }
  return std::max(cpus, 1);
}

int AvailableCpus() {
  std::vector<CpuQuotaTexts> groups;
  for (const std::string& directory : CpuControlGroups(KernelFileText("/proc/self/cgroup"))) {
    groups.push_back({.max = KernelFileText(directory + "/cpu.max"),
                      .quota_us = KernelFileText(directory + "/cpu.cfs_quota_us"),
                      .period_us = KernelFileText(directory + "/cpu.cfs_period_us")});
  }
  return CpusWithinQuotas(CpuAffinity(), groups);
}

void PrepareProcess() {
  const rlimit no_core = {.rlim_cur = 0, .rlim_max = 0};
  setrlimit(RLIMIT_CORE, &no_core);
  // The limit does not bind a kernel that pipes core dumps to a program (core(5)); this does.
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);

  rlimit descriptors = {};
  if (getrlimit(RLIMIT_NOFILE, &descriptors) == 0) {
    descriptors.rlim_cur = descriptors.rlim_max;
    setrlimit(RLIMIT_NOFILE, &descriptors);
  }
  std::signal(SIGPIPE, SIG_IGN);
}

void StopSignal::Raise() {
  {
    const std::lock_guard lock(mutex_);
    is_raised_ = true;
  }
  raised_.notify_all();
}

void StopSignal::Wait() {
  std::unique_lock lock(mutex_);
  raised_.wait(lock, [this] { return is_raised_; });
}

SignalListener::SignalListener(std::function<void()> on_stop, std::function<void()> on_reload)
    : on_stop_(std::move(on_stop)), on_reload_(std::move(on_reload)) {
  const sigset_t signals = ListenedSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  thread_ = std::thread([this] { Run(); });
}

SignalListener::~SignalListener() {
  is_ending_ = true;
  pthread_kill(thread_.native_handle(), SIGHUP);
  thread_.join();
}

void SignalListener::Run() {
  const sigset_t signals = ListenedSignals();
  bool is_stopping = false;
  while (true) {
    int signal_number = 0;
    if (sigwait(&signals, &signal_number) != 0) continue;
    if (is_ending_) return;
    if (signal_number == SIGHUP) {
      on_reload_();
    } else if (!is_stopping) {
      is_stopping = true;
      on_stop_();
    } else {
      _exit(1);
    }
  }
}

}  // namespace common
