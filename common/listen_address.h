// Where a program listens, as its configuration says it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace common {

struct HostAndPort {
  std::string host;  // a name or an address, IPv6 without its brackets
  std::string port;  // a number up to 65535, in decimal digits
};

// Splits "host:port" or "[IPv6]:port"; nothing when it is neither.
std::optional<HostAndPort> SplitAddress(std::string_view address);

}  // namespace common
