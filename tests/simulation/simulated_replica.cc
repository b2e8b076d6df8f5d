#include "tests/simulation/simulated_replica.h"

#include <algorithm>
#include <utility>

#include "common/concat.h"

namespace simulation {
namespace {

using namespace std::chrono_literals;
using ratelimitd::DeskJob;
using ratelimitd::DocumentKey;
using ratelimitd::DocumentKind;
using ratelimitd::Durability;
using ratelimitd::FleetJob;
using ratelimitd::FleetOutcome;
using ratelimitd::NextMoment;
using ratelimitd::TargetTable;

constexpr nanoseconds kLongestQueueing = 2ms;
constexpr milliseconds kFlushInterval = 100ms;
constexpr milliseconds kRefreshInterval = 1s;
constexpr milliseconds kRefreshIntervalDegraded = 100ms;
// Long after everything is whole there is little news.
constexpr milliseconds kRefreshIntervalCalm = 20s;
constexpr milliseconds kSomeTrouble = 5min;

std::vector<DocumentKey> DocumentsOf(const std::vector<common::Target>& targets) {
  std::vector<DocumentKey> keys;
  for (const common::Target& target : targets) {
    keys.push_back({DocumentKind::kProvider, target.provider});
  }
  return keys;
}

std::vector<common::Target> WithProviders(const std::vector<common::Target>& targets) {
  std::vector<common::Target> keys = targets;
  for (const common::Target& target : targets) keys.push_back({target.provider, ""});
  return keys;
}

// Every report that this process has handled, once more.
class ReplayJob final : public FleetJob {
 public:
  using Handled = std::vector<std::pair<std::string, pb::AttemptReport>>;
  explicit ReplayJob(const Handled& handled) : handled_(handled) {}

  void Collect(const TargetTable& table, std::vector<DocumentKey>& keys) const override {
    for (const auto& [reporter, report] : handled_) {
      table.CollectDocuments(ratelimitd::ParseReport(report, reporter), keys);
    }
  }
  void Work(TargetTable& table, const NextMoment& next_moment) override {
    are_duplicates_ = true;
    for (const auto& [reporter, report] : handled_) {
      const AckStatus ack = table.Report(ratelimitd::ParseReport(report, reporter), next_moment());
      are_duplicates_ &= ack == AckStatus::kDuplicate;
    }
  }
  void Confirm(TargetTable&, const FleetOutcome&, MonotonicTime) override {}

  bool are_duplicates() const { return are_duplicates_; }

 private:
  const Handled& handled_;
  bool are_duplicates_ = true;
};

class HandJob final : public FleetJob {
 public:
  HandJob(const std::vector<DocumentKey>& documents, const RatelimitdService::TableWork& work)
      : documents_(documents), work_(work) {}

  void Collect(const TargetTable&, std::vector<DocumentKey>& keys) const override {
    keys.insert(keys.end(), documents_.begin(), documents_.end());
  }
  void Work(TargetTable& table, const NextMoment& next_moment) override {
    work_(table, next_moment());
  }
  void Confirm(TargetTable&, const FleetOutcome& outcome, MonotonicTime) override {
    footing = outcome.is_degraded ? Footing::kAlone : Footing::kShared;
  }

  Footing footing = Footing::kAlone;

 private:
  const std::vector<DocumentKey>& documents_;
  const RatelimitdService::TableWork& work_;
};

}  // namespace

SimulatedReplica::SimulatedReplica(World& world, int process, Random random)
    : world_(world),
      process_(process),
      random_(random),
      clock_(world.clock, random_.Between(0ns, 240h), random_.Between(-24h * 365, 24h * 365)),
      link_({.scenario = world.scenario,
             .events = world.events,
             .redis = world.redis,
             .is_whole = world.is_whole,
             .on_trouble = world.on_trouble,
             .let_others_act = [this] { world_.let_others_act(*this); },
             .turn = [this] { return world_.auditor.turn(); }},
            Random(random_.Next())),
      table_(world.scenario.settings, random_.Next(), clock_, nothing_),
      runner_(table_, link_, waiters_, random_.Next()),
      desk_(table_, world.metrics, waiters_, this) {
  Refresh();
}

SimulatedReplica::~SimulatedReplica() {
  *is_alive_ = false;
  for (const auto& connection : connections_) world_.network.Cut(connection);
}

void SimulatedReplica::After(nanoseconds wait, std::function<void()> event) {
  world_.events.After(wait, [is_alive = is_alive_, event = std::move(event)] {
    if (*is_alive) event();
  });
}

void SimulatedReplica::Submit(Task task) {
  AuditedJob::Audit audit = std::exchange(next_audit_, std::nullopt).value_or(AuditedJob::Audit());
  task.job = std::make_unique<AuditedJob>(std::move(task.job), std::move(audit), link_,
                                          [this] { return world_.Ahead(); });
  queue_.push_back(std::move(task));
  if (queue_.size() == 1) RunQueueSoon();
}

void SimulatedReplica::RunQueueSoon() {
  const nanoseconds pause = std::max<nanoseconds>(paused_until_ - world_.events.now(), 0ns);
  After(pause + random_.Between(0ns, kLongestQueueing), [this] {
    RunQueue();
    // A pause may have come between.
    if (!queue_.empty()) RunQueueSoon();
  });
}

void SimulatedReplica::RunQueue() {
  if (is_running_ || queue_.empty() || paused_until_ > world_.events.now()) return;
  const std::vector<Task> tasks = std::exchange(queue_, {});
  std::vector<FleetJob*> jobs;
  for (const Task& task : tasks) jobs.push_back(task.job.get());
  is_running_ = true;
  runner_.Run(jobs);
  OnRun();
  for (const Task& task : tasks) task.done();
  is_running_ = false;
  FlushSoon();
}

void SimulatedReplica::RunOne(FleetJob& job) {
  FleetJob* jobs[] = {&job};
  is_running_ = true;
  runner_.Run(jobs);
  OnRun();
  is_running_ = false;
}

void SimulatedReplica::OnRun() {
  if (!runner_.is_degraded()) world_.auditor.OnShared(process_);
}

void SimulatedReplica::FlushSoon() {
  if (std::exchange(is_flush_due_, true)) return;
  After(kFlushInterval, [this] {
    is_flush_due_ = false;
    if (is_running_ || paused_until_ > world_.events.now()) return FlushSoon();
    const uint64_t conflicts = runner_.counts().conflicts;
    is_running_ = true;
    runner_.Flush();
    is_running_ = false;
    if (runner_.counts().conflicts != conflicts) FlushSoon();
  });
}

void SimulatedReplica::Refresh() {
  if (paused_until_ <= world_.events.now()) {
    const int troubles = world_.troubles;
    is_running_ = true;
    runner_.Refresh();
    OnRun();
    is_running_ = false;
    if (troubles == world_.troubles) troubles_at_refresh_ = troubles;
    world_.on_refreshed();
  }
  const bool is_calm =
      world_.is_whole &&
      world_.events.now() > MonotonicTime(1h) + world_.scenario.trouble + kSomeTrouble;
  const milliseconds interval = is_calm ? kRefreshIntervalCalm : kRefreshInterval;
  After(runner_.is_degraded() ? kRefreshIntervalDegraded : interval, [this] { Refresh(); });
}

bool SimulatedReplica::IsCertain() const {
  return link_.IsUp() && !runner_.is_degraded() && !runner_.IsAhead() &&
         troubles_at_refresh_ == world_.troubles;
}

AuditedJob::Judge SimulatedReplica::Hear(
    std::function<void(RecordedWitness&, const FleetJob&)> judge) {
  return [this, judge = std::move(judge)](RecordedWitness& witness, const FleetJob& job,
                                          const FleetOutcome& outcome) {
    if (outcome.is_degraded) world_.on_trouble();
    world_.auditor.BeginHearing(witness, process_,
                                outcome.is_degraded ? Footing::kAlone : Footing::kShared,
                                {witness.read_at, witness.changed_providers});
    judge(witness, job);
    world_.auditor.EndHearing();
  };
}

AuditedJob::Audit SimulatedReplica::AuditOfAll(AuditedJob::Judge judge) const {
  AuditedJob::Audit audit{.keys = {}, .ask = {}, .documents = {}, .judge = std::move(judge)};
  for (const ProviderSpec& provider : world_.scenario.providers) {
    audit.keys.push_back({provider.name, ""});
    for (const std::string& model : provider.models) audit.keys.push_back({provider.name, model});
  }
  audit.documents = DocumentsOf(audit.keys);
  return audit;
}

void SimulatedReplica::Accept(const std::shared_ptr<Connection>& connection) {
  connections_.push_back(connection);
  // The connection's own functions: it must not keep itself alive.
  const std::weak_ptr<Connection> weak = connection;
  connection->to_server = [this, weak, alive = is_alive_](const pb::SessionRequest& message) {
    const auto self = weak.lock();
    if (*alive && self != nullptr) TakeFromSession(self, message);
  };
  connection->tell_server_it_broke = [this, weak, alive = is_alive_] {
    const auto self = weak.lock();
    if (*alive && self != nullptr) EndSession(*self);
  };
}

void SimulatedReplica::TakeFromSession(const std::shared_ptr<Connection>& connection,
                                       const pb::SessionRequest& message) {
  if (message.has_hello() || message.credentials_size() > 0) TakeHello(*connection, message);
  TakeCalls(connection, message);
}

void SimulatedReplica::TakeCalls(const std::shared_ptr<Connection>& connection,
                                 const pb::SessionRequest& message) {
  for (const pb::AttemptReport& report : message.reports()) TakeReport(connection, report);
  for (const pb::Ask& ask : message.asks()) TakeAsk(connection, ask);
}

std::vector<std::string> SimulatedReplica::LearnCredentials(
    const google::protobuf::RepeatedPtrField<pb::ProviderCredential>& credentials) {
  std::vector<std::string> changed;
  for (const pb::ProviderCredential& credential : credentials) {
    std::string& known = world_.fingerprints[credential.provider()];
    const bool is_changed = !known.empty() && known != credential.fingerprint();
    if (is_changed || world_.has_doubted) changed.push_back(credential.provider());
    known = credential.fingerprint();
  }
  return changed;
}

void SimulatedReplica::TakeHello(Connection& connection, const pb::SessionRequest& message) {
  HelloFacts facts;
  facts.reporter = connection.reporter;
  for (const pb::KnownRefusal& refusal : message.hello().known_refusals()) {
    facts.memories.push_back({{refusal.target().provider(), refusal.target().model()},
                              static_cast<ratelimitd::RefusalReason>(refusal.reason()),
                              milliseconds(refusal.remaining_ms())});
  }
  const auto credentials =
      message.has_hello() ? message.hello().credentials() : message.credentials();
  next_audit_ = AuditOfAll(
      Hear([this, facts, credentials](RecordedWitness& witness, const FleetJob&) mutable {
        facts.changed_credentials = LearnCredentials(credentials);
        world_.auditor.OnHello(facts, [&] { witness.TurnPage(); });
      }));
  if (message.has_hello()) {
    world_.auditor.OnGreeted(process_, connection.reporter, message.hello().host());
    desk_.BeginSession(message.hello());
    connection.is_greeted = true;
    greeted_.insert(connection.reporter);
  } else {
    pb::SessionRequest only_credentials;
    *only_credentials.mutable_credentials() = message.credentials();
    desk_.Submit(std::move(only_credentials), connection.reporter, [](const DeskJob&) {});
  }
  next_audit_.reset();
}

void SimulatedReplica::TakeReport(const std::shared_ptr<Connection>& connection,
                                  const pb::AttemptReport& report) {
  const std::string reporter = connection->reporter;
  const common::Target target = world_.auditor.TargetOf(reporter, report.sequence_number());
  AuditedJob::Audit audit;
  audit.keys = WithProviders({target});
  audit.judge = Hear([this, reporter, report, target](RecordedWitness& witness,
                                                      const FleetJob& job) {
    handled_.emplace_back(reporter, report);
    if (!report.has_target() && !witness.LookAt(target)) {
      return world_.auditor.OnUnheard(reporter, report.sequence_number());
    }
    world_.auditor.OnReport(reporter, report.sequence_number(), milliseconds(report.age_ms()), [&] {
      witness.TurnPage();
      return static_cast<const DeskJob&>(job).result().acks.front().status;
    });
  });
  next_audit_ = std::move(audit);
  if (connection->speech == Speech::kUnary) {
    pb::ReportRequest request;
    request.set_reporter(reporter);
    *request.mutable_report() = report;
    const auto response = std::make_shared<pb::ReportResponse>();
    desk_.SubmitReport(request, *response, [this, connection, response](const grpc::Status& s) {
      if (!s.ok()) return;
      pb::SessionResponse answer;
      *answer.add_acks() = response->ack();
      world_.network.SendDown(connection, answer);
    });
    return;
  }
  pb::SessionRequest single;
  *single.add_reports() = report;
  desk_.Submit(std::move(single), reporter, [this, connection](const DeskJob& job) {
    const auto& ack = job.result().acks.front();
    Acknowledge(connection, ack.sequence_number, ack.status, job.result().ticket);
  });
}

void SimulatedReplica::Acknowledge(const std::shared_ptr<Connection>& connection,
                                   uint64_t sequence_number, AckStatus status, uint64_t ticket) {
  desk_.WhenDurable(ticket, [this, connection, sequence_number, status](Durability durability) {
    if (durability != Durability::kDurable) return;
    pb::SessionResponse response;
    ratelimitd::BuildAck(sequence_number, status, *response.add_acks());
    world_.network.SendDown(connection, response);
  });
}

void SimulatedReplica::TakeAsk(const std::shared_ptr<Connection>& connection, const pb::Ask& ask) {
  const AskFacts facts = FactsOf(*connection, ask, world_.scenario, world_.events.now());
  AuditedJob::Audit audit{
      .keys = WithProviders(facts.targets), .ask = facts, .documents = {}, .judge = {}};
  audit.judge = Hear([this, connection, ask](RecordedWitness& witness, const FleetJob& job) {
    // A lease begins when it is lent, not when the ask came.
    const AskFacts decided = FactsOf(*connection, ask, world_.scenario, world_.events.now());
    const auto handle = [&]() -> const Verdict& {
      witness.TurnPage();
      return static_cast<const DeskJob&>(job).memory().verdicts.front();
    };
    if (ask.mode() == pb::ADMIT_MODE_PEEK) return world_.auditor.OnPeek(decided, handle);
    world_.auditor.OnAsk(decided, handle);
  });
  next_audit_ = std::move(audit);
  if (connection->speech == Speech::kUnary) {
    pb::AdmitRequest request;
    request.set_reporter(connection->reporter);
    *request.mutable_ask() = ask;
    const auto response = std::make_shared<pb::AdmitResponse>();
    desk_.SubmitAdmit(request, *response, [this, connection, response](const grpc::Status&) {
      pb::SessionResponse answer;
      *answer.add_verdicts() = response->verdict();
      world_.network.SendDown(connection, answer);
    });
    return;
  }
  pb::SessionRequest single;
  *single.add_asks() = ask;
  desk_.Submit(std::move(single), connection->reporter, [this, connection](const DeskJob& job) {
    pb::SessionResponse answer;
    ratelimitd::BuildVerdict(job.memory().verdicts.front(), job.request().asks(0).correlation_id(),
                             *answer.add_verdicts());
    world_.network.SendDown(connection, answer);
  });
}

void SimulatedReplica::EndSession(Connection& connection) {
  const auto is_it = [&](const auto& other) { return other.get() == &connection; };
  if (std::erase_if(connections_, is_it) == 0 || !connection.is_greeted) return;
  world_.auditor.OnFarewell(process_, connection.reporter);
  next_audit_ = AuditOfAll(
      Hear([this, reporter = connection.reporter](RecordedWitness& witness, const FleetJob&) {
        world_.auditor.OnSessionEnded(reporter, [&] { witness.TurnPage(); });
      }));
  desk_.EndSession(connection.reporter);
  next_audit_.reset();
}

void SimulatedReplica::ReplayAll() {
  if (handled_.empty() || is_running_) return;
  const ReplayJob* replay = nullptr;
  auto job = std::make_unique<ReplayJob>(handled_);
  replay = job.get();
  AuditedJob audited(std::move(job),
                     AuditOfAll(Hear([&](RecordedWitness& witness, const FleetJob&) {
                       world_.auditor.OnReplay([&] {
                         witness.TurnPage();
                         return replay->are_duplicates();
                       });
                     })),
                     link_, [this] { return world_.Ahead(); });
  RunOne(audited);
}

void SimulatedReplica::TakeStrangersAsk(const std::string& target,
                                        std::optional<milliseconds> limited_for) {
  pb::AdmitRequest request;
  request.set_reporter("stranger");
  pb::Target& out = *request.mutable_ask()->add_targets();
  out.set_provider(target);
  out.set_model("m");
  const auto response = std::make_shared<pb::AdmitResponse>();
  desk_.SubmitAdmit(request, *response, [this, response, limited_for](const grpc::Status&) {
    if (!limited_for || !response->verdict().has_grant()) return;
    pb::ReportRequest limit;
    limit.set_reporter("stranger");
    limit.mutable_report()->set_token(response->verdict().grant().token());
    limit.mutable_report()->set_kind(pb::OUTCOME_KIND_RATE_LIMITED);
    limit.mutable_report()->set_retry_after_ms(limited_for->count());
    const auto ack = std::make_shared<pb::ReportResponse>();
    desk_.SubmitReport(limit, *ack, [ack](const grpc::Status&) {});
  });
}

Footing SimulatedReplica::Work(const std::vector<DocumentKey>& documents,
                               const RatelimitdService::TableWork& work) {
  HandJob job(documents, work);
  RunOne(job);
  return job.footing;
}

std::optional<Look> SimulatedReplica::LookAt(const common::Target& key) {
  std::optional<Look> look;
  ratelimitd::DocumentsJob job(DocumentsOf({key}), [&](TargetTable& table, const NextMoment& next) {
    look = LookInto(table, key, next(), world_.Ahead());
  });
  RunOne(job);
  return look;
}

Verdict SimulatedReplica::Peek(const std::string& reporter,
                               const std::vector<common::Target>& targets) {
  Verdict verdict;
  const auto names = NamesOf(targets);
  ratelimitd::DocumentsJob job(
      DocumentsOf(targets), [&](TargetTable& table, const NextMoment& next) {
        table.Admit({.reporter = reporter, .targets = names, .mode = ratelimitd::AdmitMode::kPeek},
                    next(), verdict);
      });
  RunOne(job);
  return verdict;
}

ratelimitd::TableStats SimulatedReplica::Stats() {
  ratelimitd::TableStats stats;
  table_.Update([&](TargetTable& table, auto next_moment) { stats = table.Stats(next_moment()); });
  return stats;
}

}  // namespace simulation
