// Whole small files: configuration, mounted secrets, kernel files.
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"

namespace common {

// The content of the file at `path`, following symbolic links. Errors name the path: NotFound and
// PermissionDenied as the system says, OutOfRange when it holds more than `max_bytes`. Thread-safe.
absl::StatusOr<std::string> ReadFileText(const std::string& path, size_t max_bytes);

}  // namespace common
