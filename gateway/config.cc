#include "gateway/config.h"

#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "common/concat.h"
#include "gateway/core/memory_budget.h"

namespace gateway {
namespace {

using common::ConfigEnvironment;
using common::ConfigErrors;
using common::ConfigNode;
using common::ConfigObject;
using common::ConfigRange;
using std::chrono::milliseconds;

constexpr ConfigRange<milliseconds> kAnyWait{milliseconds(1), std::chrono::hours(24)};
constexpr size_t kMaxClients = 4096;       // what one hello to ratelimitd may hold
constexpr size_t kMaxTargetsOfRoute = 64;  // what one ask of ratelimitd may hold

struct Reader {
  const ConfigEnvironment& environment;
  ConfigErrors& errors;

  ConfigObject Open(const ConfigNode& node, std::string name) const {
    return ConfigObject(node, std::move(name), environment, errors);
  }
};

bool Consume(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// "https://host:port/path" into the provider. Returns what is wrong, or nothing.
std::optional<std::string> TakeBaseUrl(std::string_view url, ProviderConfig& provider) {
  if (Consume(url, "https://")) {
    provider.is_tls = true;
  } else if (Consume(url, "http://")) {
    provider.is_tls = false;
  } else {
    return "must start with https:// or http://";
  }
  const size_t slash = std::min(url.find('/'), url.size());
  std::string_view authority = url.substr(0, slash);
  std::string_view path = url.substr(slash);
  if (authority.find('@') != std::string_view::npos)
    return "must not hold credentials: use api_key";
  if (path.find_first_of("?#") != std::string_view::npos)
    return "must not hold a query or fragment";
  while (path.ends_with('/')) path.remove_suffix(1);
  provider.endpoint.host = std::string(authority);
  provider.endpoint.base_path = std::string(path);
  provider.port = provider.is_tls ? 443 : 80;
  const size_t bracket = authority.rfind(']');
  const size_t colon = authority.rfind(':');
  if (colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket)) {
    uint32_t port = 0;
    if (!absl::SimpleAtoi(std::string(authority.substr(colon + 1)), &port) || port == 0 ||
        port > 65535) {
      return "has a port that is not 1 to 65535";
    }
    provider.port = static_cast<uint16_t>(port);
    authority = authority.substr(0, colon);
  }
  if (bracket != std::string_view::npos) {
    Consume(authority, "[");
    if (authority.ends_with(']')) authority.remove_suffix(1);
  }
  const auto is_bad = [](unsigned char c) { return c <= ' ' || c >= 0x7f; };
  if (authority.empty() || std::any_of(authority.begin(), authority.end(), is_bad) ||
      std::any_of(path.begin(), path.end(), is_bad)) {
    return "has no valid host or path";
  }
  provider.host = std::string(authority);
  return std::nullopt;
}

// Reads what the keys of a `tls` mapping name; `ca_key` is what it calls the authorities.
common::TlsFiles ReadTlsFiles(const Reader& reader, ConfigObject& object, std::string_view ca_key) {
  common::TlsPaths paths;
  object.ReadString("cert_file", paths.cert_file);
  object.ReadString("key_file", paths.key_file);
  object.ReadString(ca_key, paths.ca_file);
  if (paths.cert_file.empty() != paths.key_file.empty()) {
    object.Complain(paths.cert_file.empty() ? "key_file" : "cert_file",
                    "cert_file and key_file go together");
  }
  std::vector<common::TlsComplaint> complaints;
  common::TlsFiles files = common::ReadTlsFiles(paths, reader.environment, complaints);
  for (const common::TlsComplaint& complaint : complaints) {
    const std::string_view keys[] = {"cert_file", "key_file", ca_key};
    object.Complain(keys[static_cast<size_t>(complaint.part)], complaint.text);
  }
  return files;
}

void ReadTimeouts(const Reader& reader, const ConfigNode& node, ProviderTimeouts& timeouts) {
  ConfigObject object = reader.Open(node, "timeouts");
  object.ReadDuration("connect", timeouts.connect, kAnyWait);
  object.ReadDuration("first_byte", timeouts.first_byte, kAnyWait);
  object.ReadDuration("idle", timeouts.idle, kAnyWait);
  object.ReadDuration("total", timeouts.total, kAnyWait);
}

void ReadResponsesMode(ConfigObject& object, ProviderConfig& provider) {
  constexpr std::array kModes = {ResponsesMode::kAuto, ResponsesMode::kNative,
                                 ResponsesMode::kTranslated};
  size_t choice = 0;
  object.ReadChoice("responses", {"auto", "native", "translated"}, choice);
  provider.responses = kModes[choice];
  if (provider.responses == ResponsesMode::kNative &&
      !provider.dialect->Relays(Endpoint::kResponses)) {
    object.Complain("responses",
                    common::Concat("a provider of the dialect \"", provider.dialect->name(),
                                   "\" has no Responses API of its own"));
  }
}

std::string Fingerprint(std::string_view provider, const common::Secret& api_key) {
  const std::string salted =
      common::Concat("candor credential\n", provider, "\n", api_key.Reveal());
  unsigned char hash[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(salted.data()), salted.size(), hash);
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(hash), sizeof hash / 4));
}

void ReadAuthorities(const Reader& reader, ConfigObject& object, ProviderConfig& provider) {
  common::TlsPaths paths;
  object.ReadString("ca_file", paths.ca_file);
  std::vector<common::TlsComplaint> complaints;
  provider.ca_pem = common::ReadTlsFiles(paths, reader.environment, complaints).ca_pem;
  for (const common::TlsComplaint& complaint : complaints) {
    object.Complain("ca_file", complaint.text);
  }
}

void ReadStreamUsage(ConfigObject& object, ProviderEndpoint& endpoint) {
  constexpr std::array kModes = {StreamUsage::kAuto, StreamUsage::kAsk, StreamUsage::kLeave};
  size_t choice = 0;
  object.ReadChoice("stream_usage", {"auto", "ask", "leave"}, choice);
  endpoint.stream_usage = kModes[choice];
}

// Longest first, so that a shorter one inside a longer one leaves no remains; each once.
void SortSecrets(std::vector<std::string>& secrets) {
  std::sort(secrets.begin(), secrets.end(), [](const std::string& a, const std::string& b) {
    return a.size() != b.size() ? a.size() > b.size() : a < b;
  });
  secrets.erase(std::unique(secrets.begin(), secrets.end()), secrets.end());
}

// As it is, in base64, encoded for a URL, escaped as some write JSON, and of a long one the
// beginning alone.
std::vector<std::string> FormsOf(const common::Secret& credential) {
  constexpr size_t kLong = 16;
  constexpr size_t kBeginning = 8;
  const std::string& plain = credential.Reveal();
  if (plain.empty()) return {};
  std::vector<std::string> forms = {plain, absl::Base64Escape(plain), PercentEncode(plain),
                                    absl::StrReplaceAll(plain, {{"/", "\\/"}})};
  if (plain.size() >= kLong) {
    forms.push_back(plain.substr(0, kBeginning));
    forms.push_back(absl::Base64Escape(plain).substr(0, kBeginning));
  }
  SortSecrets(forms);
  return forms;
}

ProviderConfig ReadProvider(const Reader& reader, const ConfigNode& node) {
  ProviderConfig provider;
  ConfigObject object = reader.Open(node, "provider");
  object.Require("name");
  object.ReadString("name", provider.name);
  if (provider.name.size() > 128 || provider.name == "none") {
    object.Complain("name", "must have at most 128 bytes and not be \"none\"");
  }
  object.Require("dialect");
  const std::vector<std::string_view> dialects = DialectNames();
  size_t dialect = 0;
  object.ReadChoice("dialect", dialects, dialect);
  provider.dialect = FindDialect(dialects[dialect]);
  object.Require("base_url");
  std::string base_url;
  object.ReadString("base_url", base_url);
  if (!base_url.empty()) {
    if (const auto wrong = TakeBaseUrl(base_url, provider)) object.Complain("base_url", *wrong);
  }
  object.ReadString("api_version", provider.endpoint.api_version);
  if (provider.dialect->name() == "azure") object.Require("api_version");
  object.ReadSecret("api_key", provider.api_key);
  provider.endpoint.credential = provider.api_key.Reveal();
  provider.credential_fingerprint = Fingerprint(provider.name, provider.api_key);
  provider.credential_forms = FormsOf(provider.api_key);
  ReadAuthorities(reader, object, provider);
  object.ReadString("tls_server_name", provider.tls_server_name);
  if (provider.tls_server_name.empty()) provider.tls_server_name = provider.host;
  if (const auto child = object.Child("timeouts")) ReadTimeouts(reader, *child, provider.timeouts);
  object.ReadInt("max_connections", provider.max_connections, {1, 100'000});
  object.ReadBool("expose_rate_limits", provider.expose_rate_limits);
  object.ReadBool("trace_context", provider.trace_context);
  ReadResponsesMode(object, provider);
  ReadStreamUsage(object, provider.endpoint);
  return provider;
}

std::vector<ProviderConfig> ReadProviders(const Reader& reader, ConfigObject& root) {
  std::vector<ProviderConfig> providers;
  for (const ConfigNode& node : root.List("providers")) {
    ProviderConfig provider = ReadProvider(reader, node);
    const auto same = [&](const ProviderConfig& other) { return other.name == provider.name; };
    if (!provider.name.empty() && std::any_of(providers.begin(), providers.end(), same)) {
      reader.errors.Add(node.place(), common::Concat("provider \"", provider.name,
                                                     "\" is there twice: rename one of them"));
    }
    providers.push_back(std::move(provider));
  }
  return providers;
}

RouteTarget ReadTarget(const Reader& reader, const ConfigNode& node,
                       const std::vector<ProviderConfig>& providers) {
  RouteTarget target;
  ConfigObject object = reader.Open(node, "target");
  object.Require("provider");
  object.ReadString("provider", target.target.provider);
  const auto found = std::find_if(
      providers.begin(), providers.end(),
      [&](const ProviderConfig& provider) { return provider.name == target.target.provider; });
  if (found == providers.end() && !target.target.provider.empty()) {
    const auto name = [](std::string* out, const ProviderConfig& p) { out->append(p.name); };
    object.Complain("provider",
                    common::Concat("no provider is called \"", target.target.provider,
                                   "\"; there are: ", absl::StrJoin(providers, ", ", name)));
  }
  target.provider_index =
      found == providers.end() ? 0 : static_cast<size_t>(found - providers.begin());
  object.Require("model");
  object.ReadString("model", target.target.model);
  if (target.target.model.size() > 256) object.Complain("model", "must have at most 256 bytes");
  object.ReadInt("priority", target.priority, {0, 1000});
  object.ReadInt("weight", target.weight, {1, 1'000'000});
  return target;
}

Route ReadRoute(const Reader& reader, const ConfigNode& node,
                const std::vector<ProviderConfig>& providers) {
  Route route;
  ConfigObject object = reader.Open(node, "model");
  object.Require("name");
  object.ReadString("name", route.model);
  object.Require("targets");
  for (const ConfigNode& target : object.List("targets")) {
    route.targets.push_back(ReadTarget(reader, target, providers));
  }
  if (route.targets.empty() || route.targets.size() > kMaxTargetsOfRoute) {
    object.Complain("targets", "needs 1 to 64 entries");
  }
  std::stable_sort(
      route.targets.begin(), route.targets.end(),
      [](const RouteTarget& a, const RouteTarget& b) { return a.priority < b.priority; });
  return route;
}

std::vector<Route> ReadRoutes(const Reader& reader, ConfigObject& root,
                              const std::vector<ProviderConfig>& providers) {
  std::vector<Route> routes;
  absl::flat_hash_map<std::string, bool> seen;
  for (const ConfigNode& node : root.List("models")) {
    routes.push_back(ReadRoute(reader, node, providers));
    if (!seen.emplace(routes.back().model, true).second) {
      reader.errors.Add(node.place(), common::Concat("model \"", routes.back().model,
                                                     "\" is there twice: merge their targets"));
    }
  }
  return routes;
}

void ReadClientLimits(const Reader& reader, const ConfigNode& node, ClientLimits& limits) {
  constexpr int64_t kMost = 1'000'000'000;
  ConfigObject object = reader.Open(node, "limits");
  object.ReadInt("requests_per_minute", limits.requests_per_minute, {0, kMost});
  object.ReadInt("tokens_per_minute", limits.tokens_per_minute, {0, kMost});
  object.ReadInt("concurrent", limits.concurrent_requests, {0, 100'000});
}

ClientEntry ReadClient(const Reader& reader, const ConfigNode& node) {
  ClientEntry client;
  ConfigObject object = reader.Open(node, "client");
  object.Require("name");
  object.ReadString("name", client.name);
  object.Require("key_sha256");
  std::string hash(64, '0');  // stays where there is none to read, which has its complaint already
  object.ReadString("key_sha256", hash);
  if (const auto parsed = ParseKeyHash(hash)) {
    client.key_sha256 = *parsed;
  } else {
    object.Complain("key_sha256",
                    "must be 64 hexadecimal digits: printf %s \"$KEY\" | sha256sum prints them");
  }
  object.ReadStrings("models", client.models);
  if (const auto child = object.Child("limits")) ReadClientLimits(reader, *child, client.limits);
  return client;
}

std::vector<ClientEntry> ReadClients(const Reader& reader, ConfigObject& root) {
  std::vector<ClientEntry> clients;
  for (const ConfigNode& node : root.List("clients")) {
    ClientEntry client = ReadClient(reader, node);
    for (const ClientEntry& other : clients) {
      if (other.name == client.name || other.key_sha256 == client.key_sha256) {
        reader.errors.Add(node.place(), common::Concat("client \"", client.name, "\" and client \"",
                                                       other.name, "\" share a name or a key"));
      }
    }
    clients.push_back(std::move(client));
    if (clients.size() == kMaxClients + 1) {
      reader.errors.Add(node.place(), common::Concat("there may be at most ", kMaxClients,
                                                     " clients: ratelimitd keeps no more"));
    }
  }
  return clients;
}

// Whether gRPC can connect to it: HOST, HOST:PORT, or a scheme that gRPC itself resolves. What has
// any other scheme it takes for a host's name, and never finds it.
// https://github.com/grpc/grpc/blob/v1.51.1/doc/naming.md
bool IsGrpcTarget(std::string_view target) {
  constexpr std::string_view kSchemes[] = {
      "dns:", "ipv4:", "ipv6:", "unix:", "unix-abstract:", "xds:"};
  for (const std::string_view scheme : kSchemes) {
    if (Consume(target, scheme)) return target.find_first_not_of('/') != std::string_view::npos;
  }
  const auto is_bad = [](unsigned char c) { return c <= ' ' || c >= 0x7f || c == '/' || c == ','; };
  if (std::any_of(target.begin(), target.end(), is_bad)) return false;
  const size_t bracket = target.rfind(']');
  const size_t colon = target.find(':', bracket == std::string_view::npos ? 0 : bracket);
  const std::string_view host = target.substr(0, colon);
  if (colon == std::string_view::npos) return !host.empty();
  uint32_t port = 0;
  return !host.empty() && absl::SimpleAtoi(std::string(target.substr(colon + 1)), &port) &&
         port >= 1 && port <= 65535;
}

void ReadRatelimitd(const Reader& reader, const ConfigNode& node, RatelimitdConfig& ratelimitd) {
  ConfigObject object = reader.Open(node, "ratelimitd");
  object.ReadString("target", ratelimitd.target);
  if (!IsGrpcTarget(ratelimitd.target)) {
    object.Complain("target",
                    "must be HOST:PORT, or a gRPC target that begins with dns:, ipv4:, ipv6: or "
                    "unix:, for instance dns:///ratelimitd:50051 or "
                    "ipv4:10.0.0.1:50051,10.0.0.2:50051");
  }
  object.ReadDuration("deadline", ratelimitd.deadline, {milliseconds(1), std::chrono::seconds(10)});
  object.ReadDuration("session_age", ratelimitd.session_age,
                      {std::chrono::seconds(1), std::chrono::hours(24)});
  size_t choice = 0;
  object.ReadChoice("on_unreachable", {"allow", "deny"}, choice);
  ratelimitd.on_unreachable = choice == 0 ? OnUnreachable::kAllow : OnUnreachable::kDeny;
  const auto child = object.Child("tls");
  if (!child) return;
  ConfigObject tls = reader.Open(*child, "ratelimitd.tls");
  ratelimitd.is_tls = true;
  ratelimitd.tls = ReadTlsFiles(reader, tls, "ca_file");
  tls.ReadString("server_name", ratelimitd.tls_server_name);
}

void ReadLimits(const Reader& reader, const ConfigNode& node, LimitsConfig& limits) {
  ConfigObject object = reader.Open(node, "limits");
  object.ReadByteSize("body", limits.body_bytes, {1024, int64_t{1} << 30});
  object.ReadByteSize("response", limits.response_bytes, {1024, int64_t{1} << 30});
  object.ReadByteSize("headers", limits.header_bytes, {1024, 1 << 20});
  object.ReadInt("connections", limits.connections, {1, 1'000'000});
  object.ReadInt("inflight", limits.inflight, {1, 1'000'000});
  object.ReadByteSize("memory", limits.memory_bytes, {64 << 10, int64_t{1} << 50});
  if (limits.memory_bytes / MemoryBudget::kHeadroom < limits.body_bytes) {
    object.Complain("memory", common::Concat("must be at least ", MemoryBudget::kHeadroom,
                                             " times the limit of a body"));
  }
  object.ReadDuration("header_timeout", limits.header_timeout, kAnyWait);
  object.ReadDuration("body_timeout", limits.body_timeout, kAnyWait);
  object.ReadDuration("idle_timeout", limits.idle_timeout, kAnyWait);
  object.ReadDuration("write_timeout", limits.write_timeout, kAnyWait);
  object.ReadDuration("drain", limits.drain, kAnyWait);
}

// Credentials and the operator's host names.
std::vector<std::string> CollectSecrets(const std::vector<ProviderConfig>& providers) {
  std::vector<std::string> secrets;
  for (const ProviderConfig& provider : providers) {
    const std::vector<std::string>& forms = provider.credential_forms;
    secrets.insert(secrets.end(), forms.begin(), forms.end());
    secrets.push_back(provider.endpoint.host);
    secrets.push_back(provider.host);
  }
  SortSecrets(secrets);
  return secrets;
}

void ReadAddress(ConfigObject& root, std::string_view key, std::string& address) {
  root.ReadString(key, address);
  const size_t colon = address.rfind(':');
  uint32_t port = 0;
  if (colon == std::string::npos || colon == 0 ||
      !absl::SimpleAtoi(address.substr(colon + 1), &port) || port > 65535) {
    root.Complain(key, "must be ADDRESS:PORT, for instance 0.0.0.0:8080");
  }
}

void ReadRoot(const Reader& reader, const ConfigNode& node, Config& config) {
  ConfigObject root = reader.Open(node, "gateway configuration");
  ReadAddress(root, "listen", config.listen);
  if (const auto child = root.Child("tls")) {
    ConfigObject tls = reader.Open(*child, "tls");
    tls.Require("cert_file");
    tls.Require("key_file");
    config.tls = ReadTlsFiles(reader, tls, "client_ca_file");
  }
  ReadAddress(root, "admin", config.admin);
  if (config.admin == config.listen && !config.admin.ends_with(":0")) {
    root.Complain(root.Has("admin") ? "admin" : "listen",
                  "listen and admin are the same address: give one of them another port");
  }
  root.ReadInt("threads", config.threads, {0, 256});
  root.ReadBool("access_log", config.access_log);
  root.ReadDuration("max_client_wait", config.max_client_wait, kAnyWait);
  if (const auto child = root.Child("ratelimitd")) {
    ReadRatelimitd(reader, *child, config.ratelimitd);
  }
  if (const auto child = root.Child("limits")) ReadLimits(reader, *child, config.limits);
  root.Require("providers");
  root.Require("models");
  config.providers = ReadProviders(reader, root);
  std::vector<Route> routes = ReadRoutes(reader, root, config.providers);
  config.routes = Routes(std::move(routes), ReadClients(reader, root));
  if (root.Has("clients") && config.routes.IsOpen()) {
    root.Complain("clients",
                  "is empty: name a client, or remove the key to leave the gateway open");
  }
  config.secrets = CollectSecrets(config.providers);
}

absl::StatusOr<std::shared_ptr<const Config>> Interpret(const ConfigNode& node,
                                                        const ConfigEnvironment& environment) {
  ConfigErrors errors;
  auto config = std::make_shared<Config>();
  ReadRoot(Reader{environment, errors}, node, *config);
  if (!errors.IsEmpty()) return errors.Status();
  return config;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Config>> ReadConfig(const std::string& path,
                                                         const ConfigEnvironment& environment) {
  absl::StatusOr<ConfigNode> node = common::ReadConfigFile(path);
  if (!node.ok()) return node.status();
  return Interpret(*node, environment);
}

absl::StatusOr<std::shared_ptr<const Config>> ParseGatewayConfig(
    std::string_view text, const std::string& file_name, const ConfigEnvironment& environment) {
  absl::StatusOr<ConfigNode> node = common::ParseConfig(text, file_name);
  if (!node.ok()) return node.status();
  return Interpret(*node, environment);
}

std::vector<std::string_view> FixedDifferences(const Config& started, const Config& wanted) {
  std::vector<std::string_view> keys;
  if (started.listen != wanted.listen) keys.push_back("listen");
  if (started.admin != wanted.admin) keys.push_back("admin");
  if (started.threads != wanted.threads) keys.push_back("threads");
  if (started.ratelimitd.target != wanted.ratelimitd.target) keys.push_back("ratelimitd.target");
  return keys;
}

}  // namespace gateway
