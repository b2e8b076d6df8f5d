// What a configuration file takes from outside: environment variables and mounted secrets.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace common {

class FileWatcher;

struct ConfigEnvironment {
  // Value of an environment variable, or nothing.
  std::function<std::optional<std::string>(const std::string& name)> variable;
  // Content of a file (a mounted secret, a certificate), at most 1 MiB, or the error.
  std::function<absl::StatusOr<std::string>(const std::string& path)> file;
};

// The process's own environment and file system.
ConfigEnvironment SystemConfigEnvironment();

// The same; files that are read through it are watched from then on. `watcher` must outlive it.
ConfigEnvironment WatchedConfigEnvironment(FileWatcher& watcher);

struct ExpandedText {
  std::string text;
  bool has_variable = false;  // whether anything came from outside
};

// Replaces ${NAME} and ${NAME:-text} (the text, taken literally, when NAME is not set) by the
// variable's value, and "$$" by a dollar sign. Any other dollar sign stays.
// InvalidArgument: "${" that no variable's name and "}" follow. NotFound: NAME is not set. The
// messages hold no value.
absl::StatusOr<ExpandedText> ExpandVariables(std::string_view text,
                                             const ConfigEnvironment& environment);

}  // namespace common
