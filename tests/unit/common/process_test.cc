#include "common/process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <semaphore>

namespace common {
namespace {

using Action = CommandLine::Action;
using ::testing::ElementsAre;
using ::testing::ExitedWithCode;

TEST(CommandLineTest, OptionsAreUnderstoodOrRefused) {
  struct Case {
    std::string_view name;
    std::vector<const char*> arguments;
    std::string_view want_error;
    Action want_action = Action::kRun;
    std::string_view want_path = {};
    std::string_view want_address = {};
  };
  const Case cases[] = {
      {"run", {"--config", "a.yaml"}, "", Action::kRun, "a.yaml"},
      {"one word", {"--config=a.yaml"}, "", Action::kRun, "a.yaml"},
      {"check", {"--check", "--config", "a.yaml"}, "", Action::kCheck, "a.yaml"},
      {"health", {"--health", "a:1"}, "", Action::kAskHealth, "", "a:1"},
      {"health of nobody", {"--health"}, "--health needs the address of an admin page"},
      {"version", {"--version"}, "", Action::kShowVersion},
      {"help", {"--help", "--config"}, "", Action::kShowHelp},
      {"nothing", {}, "--config FILE is missing; try --help"},
      {"check of nothing", {"--check"}, "--config FILE is missing; try --help"},
      {"empty name", {"--config="}, "--config FILE is missing; try --help"},
      {"no name", {"--config"}, "--config needs the name of a file"},
      {"unknown", {"--confg", "a"}, "unknown option --confg; try --help"},
      {"stray word", {"a.yaml"}, "unknown option a.yaml; try --help"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    std::vector<const char*> argv = {"program"};
    argv.insert(argv.end(), c.arguments.begin(), c.arguments.end());
    const absl::StatusOr<CommandLine> line =
        ParseCommandLine(static_cast<int>(argv.size()), argv.data());
    EXPECT_EQ(std::string(line.status().message()), c.want_error);
    if (!line.ok()) continue;
    EXPECT_EQ(line->action, c.want_action);
    EXPECT_EQ(line->config_path, c.want_path);
    EXPECT_EQ(line->health_address, c.want_address);
  }
}

TEST(AvailableCpusTest, ControlGroupsAreThoseOfTheCpuAndAllAbove) {
  EXPECT_THAT(
      CpuControlGroups("0::/a.slice/b:c.scope\n"),
      ElementsAre("/sys/fs/cgroup/a.slice/b:c.scope", "/sys/fs/cgroup/a.slice", "/sys/fs/cgroup"));
  EXPECT_THAT(CpuControlGroups("0::/\n"), ElementsAre("/sys/fs/cgroup"));
  EXPECT_THAT(CpuControlGroups("9:memory:/x\n4:cpu,cpuacct:/docker/1\n2:cpuset:/y\n"),
              ElementsAre("/sys/fs/cgroup/cpu/docker/1", "/sys/fs/cgroup/cpu/docker",
                          "/sys/fs/cgroup/cpu"));
  EXPECT_THAT(CpuControlGroups(""), ElementsAre());
  EXPECT_THAT(CpuControlGroups("nonsense\n0:\n"), ElementsAre());
  EXPECT_THAT(CpuControlGroups("0::relative"), ElementsAre("/sys/fs/cgroup"));
}

TEST(AvailableCpusTest, TheSmallestQuotaCountsRoundedUp) {
  struct Case {
    std::string_view name;
    int affinity;
    std::vector<CpuQuotaTexts> groups;
    int want;
  };
  const Case cases[] = {
      {"no group", 8, {}, 8},
      {"no quota", 8, {{.max = "max 100000\n"}}, 8},
      {"whole", 8, {{.max = "200000 100000\n"}}, 2},
      {"rounded up", 8, {{.max = "150000 100000\n"}}, 2},
      {"less than one", 8, {{.max = "10000 100000\n"}}, 1},
      {"more than affinity", 2, {{.max = "800000 100000\n"}}, 2},
      {"a group above is smaller", 8, {{.max = "400000 100000"}, {.max = "300000 100000"}}, 3},
      {"version 1", 8, {{.quota_us = "250000\n", .period_us = "100000\n"}}, 3},
      {"version 1 without", 8, {{.quota_us = "-1\n", .period_us = "100000\n"}}, 8},
      {"period zero", 8, {{.max = "100000 0"}}, 8},
      {"nonsense", 8, {{.max = "a b c"}, {.max = "a b"}, {.quota_us = "x"}}, 8},
      {"huge", 8, {{.max = "9223372036854775807 1"}}, 8},
      {"no affinity", 0, {}, 1},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(CpusWithinQuotas(c.affinity, c.groups), c.want);
  }
}

TEST(AvailableCpusTest, ThisMachineHasAtLeastOne) { EXPECT_GE(AvailableCpus(), 1); }

TEST(PrepareProcessTest, CoreDumpsAreOffAndDescriptorsPlenty) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        PrepareProcess();
        rlimit core = {};
        rlimit descriptors = {};
        getrlimit(RLIMIT_CORE, &core);
        getrlimit(RLIMIT_NOFILE, &descriptors);
        raise(SIGPIPE);
        _exit(core.rlim_cur == 0 && descriptors.rlim_cur == descriptors.rlim_max ? 0 : 1);
      },
      ExitedWithCode(0), "");
}

// Signals are a matter of the whole process, so each case has a process of its own.
class SignalListenerTest : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(SignalListenerTest, EachSignalCallsItsFunction) {
  EXPECT_EXIT(
      {
        std::binary_semaphore stopped(0);
        std::counting_semaphore<> reloaded(0);
        {
          SignalListener listener([&] { stopped.release(); }, [&] { reloaded.release(); });
          kill(getpid(), SIGHUP);
          reloaded.acquire();
          kill(getpid(), SIGHUP);
          reloaded.acquire();
          kill(getpid(), SIGTERM);
          stopped.acquire();
        }
        _exit(reloaded.try_acquire() ? 1 : 0);
      },
      ExitedWithCode(0), "");
}

TEST_F(SignalListenerTest, TheSecondStopExitsAtOnce) {
  EXPECT_EXIT(
      {
        std::binary_semaphore stopped(0);
        SignalListener listener([&] { stopped.release(); }, [] {});
        kill(getpid(), SIGINT);
        stopped.acquire();
        kill(getpid(), SIGTERM);
        while (true) pause();
      },
      ExitedWithCode(1), "");
}

}  // namespace
}  // namespace common
