// How providers are verified over TLS: TLS 1.2 or newer, certificate and host name checked, against
// the system's certificate authorities or a configured file.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/config.h"

namespace gateway {

// One per provider, null for a plain one. Shared by the pools of all threads: OpenSSL's contexts
// are thread-safe once built. InvalidArgument: a ca_file that cannot be read, told by provider and
// path.
using TlsContexts = std::vector<std::shared_ptr<boost::asio::ssl::context>>;
absl::StatusOr<TlsContexts> BuildTlsContexts(const Config& config);

}  // namespace gateway
