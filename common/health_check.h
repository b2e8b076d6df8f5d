// Asks a program's own admin page how it is, for containers that hold no other client. Thread-safe.
#pragma once

#include <chrono>
#include <string_view>

#include "absl/status/status.h"

namespace common {

// OK when GET /healthz on `address` (host:port or [IPv6]:port) is answered with 200. Takes at most
// `timeout` to connect and as long again for each of writing and reading.
// InvalidArgument: no address. Unavailable: nobody answers. Internal: another answer.
absl::Status CheckHealth(std::string_view address, std::chrono::seconds timeout);

// The same for a command line: the exit status, 0 when healthy; says why not on stderr.
int RunHealthCheck(std::string_view address);

}  // namespace common
