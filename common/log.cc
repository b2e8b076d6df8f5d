#include "common/log.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/json_text.h"

namespace common {
namespace {

constexpr size_t kMaxFieldBytes = 4 * 1024;
constexpr int kMaxStallMs = 1'000;

std::string_view LevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "error";
}

void AppendTime(WallTime now, std::string& out) {
  using std::chrono::floor;
  const auto day = floor<std::chrono::days>(now);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss time(floor<std::chrono::milliseconds>(now - day));
  absl::StrAppendFormat(&out, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", static_cast<int>(date.year()),
                        static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                        time.hours().count(), time.minutes().count(), time.seconds().count(),
                        time.subseconds().count());
}

struct ValueAppender {
  std::string& out;

  void operator()(std::string_view text) const {
    AppendJsonString(TruncateUtf8(text, kMaxFieldBytes), out);
  }
  void operator()(int64_t number) const { absl::StrAppend(&out, number); }
  void operator()(double number) const {
    if (std::isfinite(number)) {
      absl::StrAppend(&out, number);
    } else {
      out += "null";
    }
  }
  void operator()(bool flag) const { out += flag ? "true" : "false"; }
};

bool HasRoom(int fd, int timeout_ms) {
  pollfd waited = {.fd = fd, .events = POLLOUT, .revents = 0};
  return poll(&waited, 1, timeout_ms) == 1 && (waited.revents & POLLOUT) != 0;
}

}  // namespace

void AppendLogLine(WallTime now, LogLevel level, std::string_view event,
                   std::initializer_list<LogField> fields, std::string& out) {
  out += "{\"time\":\"";
  AppendTime(now, out);
  out += "\",\"level\":\"";
  out += LevelName(level);
  out += "\",\"event\":";
  const ValueAppender append_value{out};
  append_value(event);
  for (const LogField& field : fields) {
    out += ',';
    AppendJsonString(field.name, out);
    out += ':';
    std::visit(append_value, field.value);
  }
  out += "}\n";
}

Log::Log(const Clock& clock, int fd, LogLevel minimum)
    : clock_(clock), fd_(fd), minimum_(minimum) {}

void Log::Write(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  if (!IsEnabled(level)) return;
  std::string line;
  AppendLogLine(clock_.Wall(), level, event, fields, line);
  WriteLines(line);
}

void Log::WriteLines(std::string_view lines) {
  if (lines.empty()) return;
  const std::lock_guard lock(mutex_);
  if (is_line_torn_ && !WriteAll("\n")) {
    ++lost_writes_;
    return;
  }
  if (!WriteAll(lines)) ++lost_writes_;
}

// Requires mutex_.
bool Log::WriteAll(std::string_view text) {
  while (!text.empty()) {
    if (!HasRoom(fd_, is_stalled_ ? 0 : kMaxStallMs)) {
      is_stalled_ = true;
      return false;
    }
    is_stalled_ = false;
    // A pipe that has room takes PIPE_BUF bytes without blocking, and no more for sure.
    const ssize_t count = write(fd_, text.data(), std::min<size_t>(text.size(), PIPE_BUF));
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (count <= 0) return false;
    is_line_torn_ = text[static_cast<size_t>(count) - 1] != '\n';
    text.remove_prefix(static_cast<size_t>(count));
  }
  return true;
}

}  // namespace common
