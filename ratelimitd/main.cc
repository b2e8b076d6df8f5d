// ratelimitd: remembers for all gateways which provider may be asked now.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <random>
#include <thread>

#include "common/admin_server.h"
#include "common/clock.h"
#include "common/concat.h"
#include "common/file_watcher.h"
#include "common/health_check.h"
#include "common/log.h"
#include "common/process.h"
#include "ratelimitd/config.h"
#include "ratelimitd/io/admin_listener.h"
#include "ratelimitd/io/certificate_reloader.h"
#include "ratelimitd/io/config_reloader.h"
#include "ratelimitd/io/fleet_worker.h"
#include "ratelimitd/io/server.h"
#include "ratelimitd/io/status_feed.h"
#include "ratelimitd/store/memory_store.h"
#include "ratelimitd/store/redis_store.h"
#include "ratelimitd/store/sqlite_store.h"

namespace ratelimitd {
namespace {

using common::LogLevel;

constexpr char kUsage[] =
    "Usage: ratelimitd --config FILE [--check]\n"
    "Remembers for all gateways which provider may be asked now.\n\n"
    "  --config FILE  configuration, see deploy/config/ratelimitd.yaml\n"
    "  --check        validate the configuration and exit\n"
    "  --health ADDR  ask the admin page of a running ratelimitd: 0 when it is alive\n"
    "  --version      print the version and exit\n"
    "  --help         print this and exit\n";
// One thread answers some hundred thousand asks a second; with more of them, each wakes up for the
// others' sockets, and a message costs three times as much.
constexpr int kCpusPerThread = 4;
constexpr milliseconds kConfigLookInterval = std::chrono::seconds(2);
constexpr milliseconds kFlushTimeout = std::chrono::seconds(5);
constexpr milliseconds kCallGrace = std::chrono::seconds(1);
// How long the start waits for a shared store; later it is expected at any time.
constexpr milliseconds kFirstLinkTimeout = std::chrono::seconds(2);

std::unique_ptr<StateStore> MakeStore(const StoreConfig& config, const common::Clock& clock) {
  if (config.kind == StoreConfig::Kind::kSqlite) {
    return std::make_unique<SqliteStore>(config.path, clock);
  }
  // In a fleet the table is a copy of what the shared store has.
  return std::make_unique<MemoryStore>();
}

// What a ratelimitd that shares its state with others has beside the table.
class Fleet {
 public:
  Fleet(const RedisSettings& redis, SharedTable& table, DurableWaiters& waiters, Metrics& metrics,
        uint64_t replica_id, common::Log& log)
      : store_(redis, table.clock(),
               [this, &log](StoreLink link, const std::string& why) { LogLink(link, why, log); }),
        runner_(table, store_, waiters, replica_id),
        is_linked_at_start_(store_.WaitForLink(kFirstLinkTimeout)),
        worker_(runner_, table.clock(),
                [&metrics](const FleetRunner& runner) { metrics.ShowFleet(runner.Status()); }) {}

  FleetWorker& worker() { return worker_; }

 private:
  // Only what is news.
  void LogLink(StoreLink link, const std::string& why, common::Log& log) {
    if (why == last_why_) return;
    last_why_ = why;
    if (link == StoreLink::kReached) return log.Write(LogLevel::kInfo, "store_reached");
    const bool is_refused = link == StoreLink::kRefused;
    log.Write(LogLevel::kError, is_refused ? "store_refused" : "store_unreachable",
              {{"error", why}});
  }

  std::string last_why_ = "not tried yet";
  RedisStore store_;
  FleetRunner runner_;
  const bool is_linked_at_start_;
  FleetWorker worker_;
};

StoreEvents ReportStore(DurableWaiters& waiters, Metrics& metrics, common::Log& log) {
  return {.on_durable = [&waiters](uint64_t ticket) { waiters.OnDurable(ticket); },
          .on_commit =
              [&metrics, &log](const absl::Status& status, size_t records) {
                metrics.CountCommit(status, records);
                if (status.ok()) return;
                const std::string why(status.message());
                log.Write(LogLevel::kError, "store_commit_failed", {{"error", why}});
              }};
}

ConfigControl MakeConfigControl(const std::string& path, ConfigReloader& reloader) {
  return {.path = path,
          .render = [&reloader] { return reloader.Render(); },
          .reload =
              [&reloader](ReloadMode mode) {
                return mode == ReloadMode::kApply ? reloader.Reload() : reloader.Validate();
              }};
}

// A failure that names the part of the configuration that it is about.
absl::Status NamePart(std::string_view part, const absl::Status& failure) {
  return absl::Status(failure.code(), common::Concat(part, ": ", failure.message()));
}

// Null: operators have no listener of their own.
absl::StatusOr<std::unique_ptr<AdminListener>> ListenForOperators(
    const AdminServiceConfig& config, AdminService& service, CertificateReloader& certificates) {
  if (!config.is_on || config.listen.empty()) return nullptr;
  const auto of_listener = certificates.Add(config.tls);
  if (!of_listener.ok()) return of_listener.status();
  auto listener = AdminListener::Start({config.listen, 1, *of_listener}, service);
  if (!listener.ok()) return NamePart("admin_service", listener.status());
  return listener;
}

int ThreadCount(const Config& config) {
  if (config.threads > 0) return config.threads;
  return std::max(1, common::AvailableCpus() / kCpusPerThread);
}

// What the last run left in the store.
absl::StatusOr<std::vector<StoredRecord>> LoadStore(StateStore& store, Metrics& metrics,
                                                    common::Log& log) {
  auto records = store.Load();
  const auto* sqlite = dynamic_cast<const SqliteStore*>(&store);
  if (sqlite != nullptr && !sqlite->set_aside().empty()) {
    metrics.CountSetAside();
    log.Write(LogLevel::kError, "store_damaged",
              {{"error", sqlite->damage()},
               {"set_aside", sqlite->set_aside()},
               {"consequence", "starting empty"}});
  }
  return records;
}

std::string RenderMetrics(SharedTable& table, Metrics& metrics) {
  TableStats stats;
  table.Update([&](TargetTable& t, auto next_moment) { stats = t.Stats(next_moment()); });
  return metrics.Render(stats);
}

std::string HostName() {
  char name[256] = "";
  gethostname(name, sizeof name - 1);
  return name;
}

StatusNotes MakeStatusNotes(const Config& config, Metrics& metrics, bool is_ready) {
  using Store = StatusNotes::Store;
  static const std::string host = HostName();
  constexpr std::string_view kStoreKinds[] = {"sqlite", "memory", "redis"};
  return {.host = host,
          .store_kind = std::string(kStoreKinds[static_cast<size_t>(config.store.kind)]),
          .store = metrics.IsStoreAway()      ? Store::kAway
                   : metrics.IsStoreFailing() ? Store::kFailing
                                              : Store::kWorking,
          .is_draining = !is_ready,
          .sessions = static_cast<int64_t>(metrics.sessions().Value())};
}

// Serves until SIGTERM. Returns what kept it from starting.
absl::Status Run(const std::string& config_path, const Config& config) {
  const common::SystemClock clock;
  common::Log log(clock, STDERR_FILENO, config.log_level);
  common::StopSignal stop;
  Metrics metrics;
  CertificateReloader certificates(metrics, log);
  std::atomic<ConfigReloader*> reloader_for_signals = nullptr;
  // Before any other thread, which then inherits the blocked signals.
  common::SignalListener signals([&stop] { stop.Raise(); },
                                 [&] {
                                   ConfigReloader* reloader = reloader_for_signals.load();
                                   if (reloader == nullptr) return;
                                   certificates.Reload();
                                   reloader->Reload().IgnoreError();
                                 });
  DurableWaiters waiters;
  const std::unique_ptr<StateStore> store = MakeStore(config.store, clock);
  auto records = LoadStore(*store, metrics, log);
  if (!records.ok()) return records.status();

  std::random_device device;
  const uint64_t seed = (uint64_t{device()} << 32) | device();
  SharedTable table(config.table, seed, clock, *store);
  table.Restore(*records);
  store->Start(ReportStore(waiters, metrics, log));

  std::unique_ptr<Fleet> fleet;
  if (config.store.kind == StoreConfig::Kind::kRedis) {
    const uint64_t replica_id = (uint64_t{device()} << 32) | device();
    fleet = std::make_unique<Fleet>(config.store.redis, table, waiters, metrics, replica_id, log);
  }
  FleetWorker* worker = fleet == nullptr ? nullptr : &fleet->worker();

  std::atomic<bool> is_ready = false;
  ConfigReloader reloader(config_path, config, table, metrics, log);
  AdminService admin_service({table, waiters, worker, log, MakeConfigControl(config_path, reloader),
                              config.admin_service.client_names});
  const bool is_admin_on_main = config.admin_service.is_on && config.admin_service.listen.empty();
  const auto main_certificates = certificates.Add(config.tls);
  if (!main_certificates.ok()) return main_certificates.status();
  auto server = Server::Start(config.listen, ThreadCount(config),
                              {table, metrics, waiters, worker, *main_certificates,
                               is_admin_on_main ? &admin_service : nullptr});
  if (!server.ok()) return server.status();
  auto operators = ListenForOperators(config.admin_service, admin_service, certificates);
  if (!operators.ok()) return operators.status();
  StatusFeed status(table, [&] { return MakeStatusNotes(config, metrics, is_ready); });
  auto admin = common::AdminServer::Start(
      config.admin,
      {.render_metrics = [&] { return RenderMetrics(table, metrics); },
       .is_ready = [&is_ready] { return is_ready.load(); },
       .find_page = [&status](std::string_view target) { return status.FindPage(target); },
       .open_events = [&status](std::string_view target) { return status.OpenEvents(target); }});
  if (!admin.ok()) return NamePart("admin", admin.status());

  reloader_for_signals = &reloader;
  {
    common::FileWatcher watcher({config_path}, kConfigLookInterval,
                                [&reloader] { reloader.Reload().IgnoreError(); });
    common::FileWatcher certificate_watcher(certificates.Paths(), kConfigLookInterval,
                                            [&certificates] { certificates.Reload(); });
    certificates.Reload();  // what changed since they were read
    is_ready = true;
    std::cout << common::Concat("listening grpc=", (*server)->address(),
                                " admin=", (*admin)->address())
              << (*operators == nullptr ? "" : " operators=" + (*operators)->address()) << "\n"
              << std::flush;
    log.Write(LogLevel::kInfo, "started",
              {{"grpc", (*server)->address()},
               {"admin", (*admin)->address()},
               {"restored_records", static_cast<int64_t>(records->size())},
               {"version", CANDOR_VERSION}});
    stop.Wait();
  }
  reloader_for_signals = nullptr;
  is_ready = false;
  (*server)->AnnounceDrain();
  log.Write(LogLevel::kInfo, "draining", {{"grace_ms", config.drain.count()}});
  std::this_thread::sleep_for(config.drain);
  if (!store->Flush(kFlushTimeout)) log.Write(LogLevel::kError, "store_not_flushed");
  (*server)->Drain(kCallGrace);
  operators->reset();
  server->reset();
  if (!store->Flush(kFlushTimeout)) log.Write(LogLevel::kError, "store_not_flushed");
  log.Write(LogLevel::kInfo, "stopped");
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  using Action = common::CommandLine::Action;
  common::PrepareProcess();
  // gRPC writes plain text to stderr, where every line is JSON; what matters reaches us as a
  // status.
  setenv("GRPC_VERBOSITY", "NONE", 0);
  const auto command = common::ParseCommandLine(argc, argv);
  if (!command.ok()) {
    std::cerr << "ratelimitd: " << command.status().message() << "\n" << kUsage;
    return 2;
  }
  if (command->action == Action::kShowHelp) {
    std::cout << kUsage;
    return 0;
  }
  if (command->action == Action::kShowVersion) {
    std::cout << "ratelimitd " << CANDOR_VERSION << "\n";
    return 0;
  }
  if (command->action == Action::kAskHealth) {
    return common::RunHealthCheck(command->health_address);
  }
  const auto config = ReadConfig(command->config_path);
  if (!config.ok()) {
    std::cerr << config.status().message() << "\n";
    return 1;
  }
  if (command->action == Action::kCheck) {
    std::cout << command->config_path << ": ok\n";
    return 0;
  }
  if (const absl::Status status = Run(command->config_path, *config); !status.ok()) {
    std::cerr << "ratelimitd: " << status.message() << "\n";
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace ratelimitd

int main(int argc, char** argv) {
  try {
    return ratelimitd::Main(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "ratelimitd: " << error.what() << "\n";
    return 1;
  }
}
