// How the gateway speaks TLS 1.2 and newer. Providers are verified, certificate and host name,
// against the system's certificate authorities or configured ones; clients are shown the configured
// certificate and, where wanted, have to show one themselves.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/config.h"

namespace gateway {

// Shared by the connections of all threads: OpenSSL's contexts are thread-safe once built.
using TlsContext = std::shared_ptr<boost::asio::ssl::context>;

struct TlsContexts {
  TlsContext clients;                 // null: they speak plain HTTP
  std::vector<TlsContext> providers;  // null for a plain one
};

// InvalidArgument: OpenSSL cannot use what the files hold, for instance because a key is too weak.
absl::StatusOr<TlsContexts> BuildTlsContexts(const Config& config);

}  // namespace gateway
