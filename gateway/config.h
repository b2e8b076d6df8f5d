// The gateway's configuration: settings with their defaults, read from one strict YAML file.
// Immutable once read, so all threads share it.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/config_reader.h"
#include "common/tls_files.h"
#include "gateway/core/exchange_plan.h"
#include "gateway/core/missing_route.h"
#include "gateway/core/routes.h"
#include "gateway/dialects/dialect.h"
#include "gateway/dialects/provider_call.h"

namespace gateway {

struct ProviderTimeouts {
  std::chrono::milliseconds connect{2'000};      // DNS, TCP and TLS together
  std::chrono::milliseconds first_byte{60'000};  // from the request sent to the first output
  std::chrono::milliseconds idle{30'000};        // between two pieces of an answer
  std::chrono::milliseconds total{600'000};      // of one attempt
};

struct ProviderConfig {
  std::string name;
  const Dialect* dialect = nullptr;  // never null once read
  std::string host;                  // to connect to
  uint16_t port = 443;
  bool is_tls = true;
  std::string tls_server_name;  // SNI and certificate name; defaults to host
  std::string ca_pem;           // what ca_file holds; empty: the system's certificate authorities
  ProviderEndpoint endpoint;
  common::Secret api_key;
  // Tells a changed credential from the same one; salted with the provider's name so that equal
  // keys of two providers do not look equal.
  std::string credential_fingerprint;
  // The credential in every form in which a provider may echo it; what Scrub takes out.
  std::vector<std::string> credential_forms;
  ProviderTimeouts timeouts;
  int64_t max_connections = 512;  // over all threads
  ResponsesMode responses = ResponsesMode::kAuto;
  // Whether it has said that it has no Responses API; shared by all threads and forgotten when the
  // configuration is read again.
  std::shared_ptr<MissingRoute> missing_responses = std::make_shared<MissingRoute>();
  bool expose_rate_limits = true;  // pass the provider's x-ratelimit-* headers on
  bool trace_context = true;       // pass the client's traceparent and tracestate on
};

struct RatelimitdConfig {
  std::string target = "dns:///127.0.0.1:50051";  // a gRPC target
  std::chrono::milliseconds deadline{20};         // longest wait for a verdict
  OnUnreachable on_unreachable = OnUnreachable::kAllow;
  // Of several replicas: how long a session stays with one, before the next has its turn.
  std::chrono::milliseconds session_age{60'000};
  bool is_tls = false;
  // Our certificate, where ratelimitd asks for one, and the authorities of its own; without them
  // the system's.
  common::TlsFiles tls;
  std::string tls_server_name;  // expected in its certificate; empty: the host of `target`
};

struct LimitsConfig {
  // On the whole a body may take body_timeout longer than it would at this pace.
  static constexpr int64_t kSlowestBodyBytesPerSecond = 8 << 10;

  int64_t body_bytes = 32 << 20;                     // of a client's request
  int64_t response_bytes = 64 << 20;                 // of a provider's complete answer
  int64_t header_bytes = 16 << 10;                   // of a request's head
  int64_t connections = 20'000;                      // open client connections
  int64_t inflight = 4'096;                          // requests being served
  int64_t memory_bytes = int64_t{1} << 30;           // of all requests and answers
  std::chrono::milliseconds header_timeout{10'000};  // first to last byte of a head
  std::chrono::milliseconds body_timeout{30'000};    // between two pieces of a request's body
  std::chrono::milliseconds idle_timeout{75'000};    // between two requests of a connection
  std::chrono::milliseconds write_timeout{60'000};   // a client that takes nothing of its answer
  std::chrono::milliseconds drain{30'000};           // longest wait for the last answers on SIGTERM
};

struct Config {
  std::string listen = "127.0.0.1:8080";
  // What clients are shown on `listen`, and the authorities that their own certificates must come
  // from, if any; without a certificate it is plain HTTP.
  common::TlsFiles tls;
  std::string admin = "127.0.0.1:9090";
  int64_t threads = 0;  // 0: one per CPU of the cgroup
  bool access_log = true;
  std::chrono::milliseconds max_client_wait{60'000};
  RatelimitdConfig ratelimitd;
  LimitsConfig limits;
  std::vector<ProviderConfig> providers;
  Routes routes;
  // What must never reach a caller: credentials and host names of providers.
  std::vector<std::string> secrets;
};

// Reads the whole file; InvalidArgument carries every complaint with its place.
absl::StatusOr<std::shared_ptr<const Config>> ReadConfig(
    const std::string& path, const common::ConfigEnvironment& environment);
// The same from text; `file_name` is for complaints.
absl::StatusOr<std::shared_ptr<const Config>> ParseGatewayConfig(
    std::string_view text, const std::string& file_name,
    const common::ConfigEnvironment& environment);

// The keys that differ and that a reload cannot change, because sockets and threads hang on them.
std::vector<std::string_view> FixedDifferences(const Config& started, const Config& wanted);

}  // namespace gateway
