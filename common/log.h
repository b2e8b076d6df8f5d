// One JSON object per line on stderr. Thread-safe: lines never mix.
#pragma once

#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <mutex>
#include <string>
#include <string_view>
#include <variant>

#include "common/clock.h"

namespace common {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

struct LogField {
  std::string_view name;  // snake_case, with the unit where there is one
  std::variant<std::string_view, int64_t, double, bool> value;
};

// Appends {"time":"2026-01-02T03:04:05.678Z","level":"info","event":"...",...} and a newline.
// Invalid UTF-8 is replaced, control characters are escaped, text is cut at 4 KiB a field; a number
// that is not finite becomes null.
void AppendLogLine(WallTime now, LogLevel level, std::string_view event,
                   std::initializer_list<LogField> fields, std::string& out);

class Log {
 public:
  // `clock` must outlive it. Writes to file descriptor `fd`, which stays the caller's; lines below
  // `minimum` are dropped. A reader who has not made room for a second, or a write that fails,
  // loses lines, never the caller: from then on lines are lost at once until there is room again.
  Log(const Clock& clock, int fd, LogLevel minimum);
  void Write(LogLevel level, std::string_view event, std::initializer_list<LogField> fields = {});
  // Writes complete lines rendered by AppendLogLine.
  void WriteLines(std::string_view lines);
  bool IsEnabled(LogLevel level) const { return level >= minimum_; }
  // How many calls of Write and WriteLines could not write all they were given.
  uint64_t lost_writes() const { return lost_writes_; }

 private:
  bool WriteAll(std::string_view text);

  const Clock& clock_;
  int fd_;
  LogLevel minimum_;
  std::atomic<uint64_t> lost_writes_ = 0;
  std::mutex mutex_;
  bool is_stalled_ = false;    // guarded by mutex_
  bool is_line_torn_ = false;  // guarded by mutex_: the last line written has no end
};

}  // namespace common
