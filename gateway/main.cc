// Wires the gateway: configuration, metrics, admin page, server; reloads on SIGHUP or a changed
// file, drains on SIGTERM.
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "common/admin_server.h"
#include "common/clock.h"
#include "common/config_environment.h"
#include "common/file_watcher.h"
#include "common/health_check.h"
#include "common/log.h"
#include "common/process.h"
#include "gateway/config.h"
#include "gateway/io/metrics.h"
#include "gateway/io/server.h"
#include "gateway/io/tls_contexts.h"

namespace {

using common::LogLevel;

constexpr char kHelp[] =
    "gateway: an LLM gateway that never lies about an error\n"
    "\n"
    "  gateway --config FILE           run\n"
    "  gateway --config FILE --check   validate the configuration and exit\n"
    "  gateway --health ADDRESS        ask the admin page of a running gateway: 0 when it is "
    "alive\n"
    "  gateway --version | --help\n";

constexpr std::chrono::seconds kConfigLookInterval{2};

struct LoadedConfig {
  std::shared_ptr<const gateway::Config> config;
  gateway::TlsContexts tls;
};

absl::StatusOr<LoadedConfig> Load(const std::string& path,
                                  const common::ConfigEnvironment& environment) {
  auto config = gateway::ReadConfig(path, environment);
  if (!config.ok()) return config.status();
  auto tls = gateway::BuildTlsContexts(**config);
  if (!tls.ok()) return tls.status();
  return LoadedConfig{*std::move(config), *std::move(tls)};
}

constexpr std::string_view kReplaceExpired = "nobody will trust it: replace the file";

// What names a certificate in the configuration that has expired.
std::vector<std::string_view> ExpiredCertificates(const gateway::Config& config,
                                                  common::WallTime now) {
  std::vector<std::string_view> expired;
  for (const auto& [key, pem] :
       {std::pair("tls.cert_file", config.tls.cert_pem),
        std::pair("ratelimitd.tls.cert_file", config.ratelimitd.tls.cert_pem)}) {
    const auto end = common::CertificateEnd(pem);
    if (end && *end <= now) expired.push_back(key);
  }
  return expired;
}

class Gateway {
 public:
  explicit Gateway(std::string config_path)
      : config_path_(std::move(config_path)), log_(clock_, STDERR_FILENO, LogLevel::kInfo) {}

  int Run() {
    common::StopSignal stop;
    common::SignalListener signals([&] { stop.Raise(); }, [this] { Reload(); });
    watcher_.emplace(std::vector{config_path_}, kConfigLookInterval, [this] { Reload(); });
    const absl::Status started = Start();
    if (!started.ok()) {
      std::cerr << started.message() << std::endl;
      return 1;
    }
    stop.Wait();
    Drain();
    return 0;
  }

 private:
  absl::Status Start() {
    const std::lock_guard lock(mutex_);
    absl::StatusOr<LoadedConfig> loaded =
        Load(config_path_, common::WatchedConfigEnvironment(*watcher_));
    if (!loaded.ok()) return loaded.status();
    started_ = config_ = loaded->config;
    auto admin = common::AdminServer::Start(
        config_->admin, {[this] { return metrics_.Render(load_.memory.held()); },
                         [this] { return is_ready_.load(); }});
    if (!admin.ok()) return admin.status();
    auto server = gateway::Server::Start(config_, loaded->tls, clock_, log_, metrics_, load_);
    if (!server.ok()) return server.status();
    admin_ = *std::move(admin);
    server_ = *std::move(server);
    ShowCertificates();
    if (config_->routes.IsOpen()) {
      log_.Write(LogLevel::kWarning, "open_gateway",
                 {{"message", "no clients are configured: everyone may use every model"}});
    }
    is_ready_ = true;
    log_.Write(
        LogLevel::kInfo, "started",
        {{"version", CANDOR_VERSION}, {"api", server_->address()}, {"admin", admin_->address()}});
    std::cout << "listening api=" << server_->address() << " admin=" << admin_->address()
              << std::endl;
    return absl::OkStatus();
  }

  // On the thread of the signals or of the file watcher.
  void Reload() {
    const std::lock_guard lock(mutex_);
    if (!server_) return;
    watcher_->StartOver();
    absl::StatusOr<LoadedConfig> loaded =
        Load(config_path_, common::WatchedConfigEnvironment(*watcher_));
    if (!loaded.ok()) {
      log_.Write(LogLevel::kError, "config_refused",
                 {{"error", std::string(loaded.status().message())}});
      metrics_.CountReload(gateway::ReloadResult::kRefused);
      return;
    }
    const auto fixed = gateway::FixedDifferences(*started_, *loaded->config);
    if (!fixed.empty()) {
      const auto add = [](std::string* out, std::string_view key) { out->append(key); };
      log_.Write(LogLevel::kWarning, "config_needs_restart",
                 {{"keys", absl::StrJoin(fixed, ", ", add)}});
    }
    config_ = loaded->config;
    server_->UseConfig(config_, loaded->tls);
    ShowCertificates();
    log_.Write(LogLevel::kInfo, "config_reloaded");
    metrics_.CountReload(gateway::ReloadResult::kOk);
  }

  void ShowCertificates() {
    metrics_.ShowCertificateEnds(common::CertificateEnd(config_->tls.cert_pem),
                                 common::CertificateEnd(config_->ratelimitd.tls.cert_pem));
    for (const std::string_view key : ExpiredCertificates(*config_, clock_.Wall())) {
      log_.Write(LogLevel::kWarning, "certificate_expired",
                 {{"key", key}, {"message", kReplaceExpired}});
    }
  }

  void Drain() {
    is_ready_ = false;
    std::unique_lock lock(mutex_);
    const auto longest = config_->limits.drain;
    log_.Write(LogLevel::kInfo, "draining");
    lock.unlock();
    server_->Drain(longest);
    lock.lock();
    server_ = nullptr;
    log_.Write(LogLevel::kInfo, "stopped");
  }

  std::string config_path_;
  common::SystemClock clock_;
  common::Log log_;
  gateway::Metrics metrics_;
  gateway::ServerLoad load_;
  std::atomic<bool> is_ready_ = false;
  std::mutex mutex_;                                // one start, reload or end at a time
  std::shared_ptr<const gateway::Config> started_;  // what sockets and threads were made from
  std::shared_ptr<const gateway::Config> config_;   // what requests are served by
  std::unique_ptr<gateway::Server> server_;
  std::unique_ptr<common::AdminServer> admin_;
  std::optional<common::FileWatcher> watcher_;  // last, because it calls Reload until it ends
};

int Check(const std::string& path) {
  const absl::StatusOr<LoadedConfig> loaded = Load(path, common::SystemConfigEnvironment());
  if (!loaded.ok()) {
    std::cerr << loaded.status().message() << std::endl;
    return 1;
  }
  for (const std::string_view key :
       ExpiredCertificates(*loaded->config, common::SystemClock().Wall())) {
    std::cerr << "warning: the certificate of " << key << " has expired: " << kReplaceExpired
              << std::endl;
  }
  std::cout << path << " is valid" << std::endl;
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  common::PrepareProcess();
  // As in ratelimitd: gRPC writes plain text to stderr, and what matters reaches us as a status.
  setenv("GRPC_VERBOSITY", "NONE", 0);
  const absl::StatusOr<common::CommandLine> line = common::ParseCommandLine(argc, argv);
  if (!line.ok()) {
    std::cerr << line.status().message() << "\n\n" << kHelp;
    return 2;
  }
  switch (line->action) {
    case common::CommandLine::Action::kShowHelp:
      std::cout << kHelp;
      return 0;
    case common::CommandLine::Action::kShowVersion:
      std::cout << "gateway " << CANDOR_VERSION << std::endl;
      return 0;
    case common::CommandLine::Action::kAskHealth:
      return common::RunHealthCheck(line->health_address);
    case common::CommandLine::Action::kCheck:
      return Check(line->config_path);
    case common::CommandLine::Action::kRun:
      return Gateway(line->config_path).Run();
  }
  return 2;
}
