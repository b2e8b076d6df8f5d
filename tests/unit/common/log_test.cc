#include "common/log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <thread>
#include <vector>

#include "tests/support/fake_clock.h"

namespace common {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Both ends of a pipe; closes them.
struct Pipe {
  Pipe() { EXPECT_EQ(pipe2(fds, O_CLOEXEC), 0); }
  ~Pipe() {
    close(fds[0]);
    if (fds[1] >= 0) close(fds[1]);
  }
  // What has been written so far; at most 1 MiB.
  std::string Drain() {
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    std::string text(1 << 20, '\0');
    const ssize_t count = read(fds[0], text.data(), text.size());
    text.resize(count < 0 ? 0 : static_cast<size_t>(count));
    return text;
  }
  int fds[2];
};

TEST(LogTest, ALineIsOneJsonObject) {
  struct Case {
    std::string_view name;
    LogField field;
    std::string_view want;
  };
  const Case cases[] = {
      {"text", {"name", "a\"b\n"}, R"("name":"a\"b\n")"},
      {"invalid UTF-8", {"name", "\xFF"}, "\"name\":\"\xEF\xBF\xBD\""},
      {"whole number", {"count", int64_t{-42}}, R"("count":-42)"},
      {"number", {"duration_ms", 1.5}, R"("duration_ms":1.5)"},
      {"not a number", {"duration_ms", std::nan("")}, R"("duration_ms":null)"},
      {"infinite", {"duration_ms", HUGE_VAL}, R"("duration_ms":null)"},
      {"flag", {"ok", true}, R"("ok":true)"},
  };
  const WallTime now{seconds(1'767'322'985) + milliseconds(7)};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    std::string line;
    AppendLogLine(now, LogLevel::kInfo, "started", {c.field}, line);
    EXPECT_EQ(line, R"({"time":"2026-01-02T03:03:05.007Z","level":"info","event":"started",)" +
                        std::string(c.want) + "}\n");
  }
}

TEST(LogTest, LongTextIsCutBetweenCharacters) {
  std::string text = "a";
  for (int i = 0; i < 4'000; ++i) text += "é";
  std::string line;
  AppendLogLine(WallTime(), LogLevel::kError, "e", {{"text", text}}, line);
  const std::string want = R"("text":")" + text.substr(0, 4'095) + "\"}\n";
  EXPECT_TRUE(line.ends_with(want)) << line.size();
}

TEST(LogTest, LinesBelowTheMinimumAreDropped) {
  candor_test::FakeClock clock;
  Pipe pipe;
  Log log(clock, pipe.fds[1], LogLevel::kWarning);
  EXPECT_FALSE(log.IsEnabled(LogLevel::kInfo));
  log.Write(LogLevel::kInfo, "quiet");
  log.Write(LogLevel::kWarning, "loud");
  const std::string text = pipe.Drain();
  EXPECT_EQ(text.find("quiet"), std::string::npos);
  EXPECT_NE(text.find("\"event\":\"loud\"}\n"), std::string::npos);
}

TEST(LogTest, LinesOfManyThreadsDoNotMix) {
  candor_test::FakeClock clock;
  Pipe pipe;
  fcntl(pipe.fds[1], F_SETPIPE_SZ, 1 << 20);
  Log log(clock, pipe.fds[1], LogLevel::kInfo);
  const std::string payload(3'000, 'x');
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 20; ++j) {
        log.Write(LogLevel::kInfo, "e", {{"a", payload}, {"b", payload}});
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  std::string want;
  AppendLogLine(clock.Wall(), LogLevel::kInfo, "e", {{"a", payload}, {"b", payload}}, want);
  const std::string text = pipe.Drain();
  ASSERT_EQ(text.size(), want.size() * 80);
  for (size_t at = 0; at < text.size(); at += want.size()) {
    ASSERT_EQ(text.substr(at, want.size()), want);
  }
}

TEST(LogTest, AReaderWhoStopsLosesLinesAndGetsTheNextOneWhole) {
  candor_test::FakeClock clock;
  Pipe pipe;
  Log log(clock, pipe.fds[1], LogLevel::kInfo);
  const std::string payload(4'000, 'x');
  while (log.lost_writes() < 3) log.Write(LogLevel::kInfo, "e", {{"a", payload}, {"b", payload}});
  pipe.Drain();
  log.Write(LogLevel::kInfo, "after");
  std::string want;
  AppendLogLine(clock.Wall(), LogLevel::kInfo, "after", {}, want);
  const std::string text = pipe.Drain();
  EXPECT_TRUE(text == want || text == "\n" + want) << text;
}

TEST(LogTest, AClosedReaderLosesTheLineOnly) {
  signal(SIGPIPE, SIG_IGN);
  candor_test::FakeClock clock;
  Pipe pipe;
  Log log(clock, pipe.fds[1], LogLevel::kInfo);
  close(pipe.fds[0]);
  log.Write(LogLevel::kInfo, "lost");
  EXPECT_EQ(log.lost_writes(), 1u);
  pipe.fds[0] = dup(pipe.fds[1]);
}

}  // namespace
}  // namespace common
