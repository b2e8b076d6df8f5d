// One JSON object per line on stderr. Thread-safe: a line is one write(2), lines never mix.
#pragma once

#include <cstdint>
#include <initializer_list>
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
// Invalid UTF-8 is replaced, control characters are escaped, text is cut at 4 KiB a field.
void AppendLogLine(WallTime now, LogLevel level, std::string_view event,
                   std::initializer_list<LogField> fields, std::string& out);

class Log {
 public:
  // `clock` must outlive it. Writes to file descriptor `fd`; lines below `minimum` are dropped. A
  // write that would block for more than a second or fails loses the line, never the caller.
  Log(const Clock& clock, int fd, LogLevel minimum);
  void Write(LogLevel level, std::string_view event, std::initializer_list<LogField> fields = {});
  // Writes complete lines rendered by AppendLogLine.
  void WriteLines(std::string_view lines);
  bool IsEnabled(LogLevel level) const { return level >= minimum_; }

 private:
  const Clock& clock_;
  int fd_;
  LogLevel minimum_;
};

}  // namespace common
