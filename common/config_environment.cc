#include "common/config_environment.h"

#include <algorithm>
#include <cstdlib>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "common/concat.h"
#include "common/file_text.h"
#include "common/file_watcher.h"

namespace common {
namespace {

// Bundles of all public authorities take a quarter of it.
constexpr size_t kMaxFileBytes = 1024 * 1024;

bool IsVariableName(std::string_view name) {
  return !name.empty() && !absl::ascii_isdigit(static_cast<unsigned char>(name.front())) &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_';
         });
}

// Value of "NAME" or "NAME:-text", which stood between the braces.
absl::StatusOr<std::string> LookUp(std::string_view braced, const ConfigEnvironment& environment) {
  const size_t separator = std::min(braced.find(":-"), braced.size());
  const std::string name(braced.substr(0, separator));
  if (!IsVariableName(name)) {
    return absl::InvalidArgumentError(
        "\"${\" must be followed by a variable's name and \"}\"; \"$$\" is a dollar");
  }
  if (std::optional<std::string> value = environment.variable(name)) return *std::move(value);
  if (separator < braced.size()) return std::string(braced.substr(separator + 2));
  return absl::NotFoundError(Concat("environment variable ", name, " is not set"));
}

}  // namespace

ConfigEnvironment SystemConfigEnvironment() {
  return {.variable = [](const std::string& name) -> std::optional<std::string> {
            const char* value = std::getenv(name.c_str());
            if (value == nullptr) return std::nullopt;
            return value;
          },
          .file = [](const std::string& path) { return ReadFileText(path, kMaxFileBytes); }};
}

ConfigEnvironment WatchedConfigEnvironment(FileWatcher& watcher) {
  ConfigEnvironment environment = SystemConfigEnvironment();
  environment.file = [&watcher](const std::string& path) {
    return watcher.Read(path, kMaxFileBytes);
  };
  return environment;
}

absl::StatusOr<ExpandedText> ExpandVariables(std::string_view text,
                                             const ConfigEnvironment& environment) {
  ExpandedText result;
  while (true) {
    const size_t dollar = text.find('$');
    result.text += text.substr(0, dollar);
    if (dollar == text.npos) return result;
    text.remove_prefix(dollar + 1);
    if (!text.starts_with('{')) {
      result.text += '$';
      if (text.starts_with('$')) text.remove_prefix(1);
      continue;
    }
    const size_t end = text.find('}');
    const absl::StatusOr<std::string> value =
        LookUp(end == text.npos ? "" : text.substr(1, end - 1), environment);
    if (!value.ok()) return value.status();
    result.has_variable = true;
    result.text += *value;
    text.remove_prefix(end + 1);
  }
}

}  // namespace common
