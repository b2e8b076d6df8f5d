#include "common/listen_address.h"

#include <cstdint>

#include "absl/strings/numbers.h"

namespace common {

std::optional<HostAndPort> SplitAddress(std::string_view address) {
  const size_t colon = address.rfind(':');
  if (colon == address.npos) return std::nullopt;
  std::string_view host = address.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != host.npos) {
    return std::nullopt;
  }
  const std::string port(address.substr(colon + 1));
  uint32_t number = 0;
  const bool is_port = port.find_first_not_of("0123456789") == std::string::npos &&
                       absl::SimpleAtoi(port, &number) && number <= 65'535;
  if (host.empty() || !is_port) return std::nullopt;
  return HostAndPort{std::string(host), port};
}

}  // namespace common
