// A Config as the file could say it.
#include <charconv>
#include <map>

#include "common/json_text.h"
#include "common/unit_text.h"
#include "ratelimitd/config.h"

namespace ratelimitd {
namespace {

constexpr std::string_view kLogLevels[] = {"debug", "info", "warning", "error"};

// Lines "key: value", indented by two spaces a level.
class YamlWriter {
 public:
  void Text(std::string_view key, std::string_view value) { Line(key, Quote(value)); }
  void TextIfAny(std::string_view key, std::string_view value) {
    if (!value.empty()) Text(key, value);
  }
  void Word(std::string_view key, std::string_view value) { Line(key, value); }
  void Int(std::string_view key, int64_t value) { Line(key, std::to_string(value)); }
  void Real(std::string_view key, double value) {
    char text[32];
    const auto end = std::to_chars(text, text + sizeof text, value).ptr;
    Line(key, std::string_view(text, static_cast<size_t>(end - text)));
  }
  void Time(std::string_view key, milliseconds value) { Line(key, common::RenderDuration(value)); }
  void Secret(std::string_view key, const common::Secret& value) {
    if (!value.IsEmpty()) Line(std::string("# ") + std::string(key), "(not shown)");
  }
  void Texts(std::string_view key, const std::vector<std::string>& values) {
    if (values.empty()) return;
    std::string list;
    for (const std::string& value : values) list += (list.empty() ? "[" : ", ") + Quote(value);
    Line(key, list + "]");
  }
  template <typename Write>
  void Section(std::string_view key, Write write) {
    Line(key, "");
    indent_ += 2;
    write();
    indent_ -= 2;
  }
  // An item of a list, whose first key is `key`.
  template <typename Write>
  void Item(std::string_view key, std::string_view value, Write write) {
    indent_ -= 2;
    Text(std::string("- ") + std::string(key), value);
    indent_ += 2;
    write();
  }
  std::string Take() { return std::move(text_); }

 private:
  // The reader takes "$$" for a dollar sign.
  static std::string Quote(std::string_view value) {
    std::string quoted;
    common::AppendJsonString(value, quoted);
    std::string escaped;
    for (const char c : quoted) escaped.append(c == '$' ? 2 : 1, c);
    return escaped;
  }

  void Line(std::string_view key, std::string_view value) {
    text_.append(static_cast<size_t>(indent_), ' ').append(key).append(":");
    if (!value.empty()) text_.append(" ").append(value);
    text_.append("\n");
  }

  std::string text_;
  int indent_ = 0;
};

void RenderTls(YamlWriter& yaml, const common::TlsPaths& tls) {
  if (tls.cert_file.empty()) return;
  yaml.Section("tls", [&] {
    yaml.Text("cert_file", tls.cert_file);
    yaml.Text("key_file", tls.key_file);
    yaml.TextIfAny("client_ca_file", tls.ca_file);
  });
}

void RenderAdminService(YamlWriter& yaml, const AdminServiceConfig& admin) {
  if (!admin.is_on) return;
  yaml.Section("admin_service", [&] {
    yaml.TextIfAny("listen", admin.listen);
    yaml.Texts("client_names", admin.client_names);
    RenderTls(yaml, admin.tls);
  });
}

std::string RenderAddress(const RedisAddress& address) {
  const bool is_v6 = address.host.find(':') != std::string::npos;
  return (is_v6 ? "[" + address.host + "]" : address.host) + ":" + address.port;
}

void RenderRedis(YamlWriter& yaml, const RedisSettings& redis) {
  yaml.Text("url", (redis.is_tls ? "rediss://" : "redis://") + RenderAddress(redis.address) + "/" +
                       std::to_string(redis.database));
  yaml.TextIfAny("username", redis.username);
  yaml.Secret("password", redis.password);
  yaml.TextIfAny("ca_file", redis.ca_file);
  yaml.TextIfAny("tls_server_name", redis.tls_server_name);
  std::vector<std::string> sentinels;
  for (const RedisAddress& sentinel : redis.sentinels) sentinels.push_back(RenderAddress(sentinel));
  yaml.Texts("sentinels", sentinels);
  if (!sentinels.empty()) yaml.Text("sentinel_master", redis.sentinel_master);
  yaml.Secret("sentinel_password", redis.sentinel_password);
  yaml.Text("prefix", redis.prefix);
  yaml.Time("timeout", redis.timeout);
}

void RenderStore(YamlWriter& yaml, const StoreConfig& store) {
  yaml.Section("store", [&] {
    switch (store.kind) {
      case StoreConfig::Kind::kSqlite:
        yaml.Word("kind", "sqlite");
        return yaml.Text("path", store.path);
      case StoreConfig::Kind::kMemory:
        return yaml.Word("kind", "memory");
      case StoreConfig::Kind::kRedis:
        yaml.Word("kind", "redis");
        return RenderRedis(yaml, store.redis);
    }
  });
}

void RenderHealth(YamlWriter& yaml, const HealthSettings& health) {
  yaml.Section("backoff", [&] {
    yaml.Time("initial", health.backoff.initial);
    yaml.Time("max", health.backoff.max);
    yaml.Time("ceiling", health.backoff.ceiling);
  });
  const BreakerSettings& breaker = health.breaker;
  yaml.Section("breaker", [&] {
    yaml.Time("window", breaker.window);
    yaml.Int("min_calls", breaker.min_calls);
    yaml.Real("failure_rate", breaker.failure_rate);
    yaml.Int("consecutive", breaker.consecutive);
    yaml.Time("lump", breaker.lump);
    yaml.Int("quorum", breaker.quorum);
    yaml.Time("open", breaker.open);
    yaml.Time("open_max", breaker.open_max);
    yaml.Int("probes", breaker.probes);
    yaml.Int("probe_successes", breaker.probe_successes);
    yaml.Time("probe_lease", breaker.probe_lease);
    yaml.Time("ramp", breaker.ramp);
  });
  yaml.Section("block", [&] {
    yaml.Time("quota", health.block.quota);
    yaml.Time("quota_max", health.block.quota_max);
    yaml.Time("auth", health.block.auth);
  });
  yaml.Section("limits", [&] {
    yaml.Int("requests_per_minute", health.limits.requests_per_minute);
    yaml.Int("tokens_per_minute", health.limits.tokens_per_minute);
    yaml.Int("concurrent", health.limits.concurrent);
  });
}

void RenderProviders(YamlWriter& yaml, const NameMap<HealthSettings>& providers) {
  if (providers.empty()) return;
  const std::map<std::string, HealthSettings> by_name(providers.begin(), providers.end());
  yaml.Section("providers", [&] {
    for (const auto& provider : by_name) {
      yaml.Item("name", provider.first, [&] { RenderHealth(yaml, provider.second); });
    }
  });
}

}  // namespace

std::string RenderConfig(const Config& config) {
  YamlWriter yaml;
  yaml.Text("listen", config.listen);
  yaml.Text("admin", config.admin);
  RenderTls(yaml, config.tls);
  RenderAdminService(yaml, config.admin_service);
  yaml.Int("threads", config.threads);
  yaml.Time("drain", config.drain);
  yaml.Word("log_level", kLogLevels[static_cast<size_t>(config.log_level)]);
  RenderStore(yaml, config.store);
  yaml.Section("bounds", [&] {
    yaml.Int("targets", static_cast<int64_t>(config.table.max_targets));
    yaml.Int("reporters", static_cast<int64_t>(config.table.max_reporters));
  });
  yaml.Section("retry_budget", [&] {
    yaml.Real("ratio", config.table.retry_budget.ratio);
    yaml.Int("min_per_second", config.table.retry_budget.min_per_second);
  });
  yaml.Section("defaults", [&] { RenderHealth(yaml, config.table.defaults); });
  RenderProviders(yaml, config.table.providers);
  return yaml.Take();
}

}  // namespace ratelimitd
