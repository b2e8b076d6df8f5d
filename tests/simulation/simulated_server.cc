#include "tests/simulation/simulated_server.h"

#include <algorithm>

#include "common/concat.h"
#include "ratelimitd/store/memory_store.h"
#include "tests/simulation/server_side.h"

namespace simulation {
namespace {

using namespace std::chrono_literals;
using ratelimitd::Durability;

constexpr milliseconds kDowntime = 3s;
constexpr milliseconds kStoreOutage = 3s;

std::unique_ptr<ratelimitd::StateStore> MakeStore(StoreKind kind, Disk& disk, EventQueue& events,
                                                  Random random) {
  if (kind == StoreKind::kMemory) return std::make_unique<ratelimitd::MemoryStore>();
  return std::make_unique<SimulatedStore>(disk, events, random);
}

}  // namespace

struct SimulatedServer::Life {
  Life(const Scenario& scenario, EventQueue& events, const common::Clock& real_clock, Disk& disk,
       ratelimitd::Metrics& metrics, Random& random)
      : clock(real_clock, random.Between(0ns, std::chrono::hours(240))),
        store(MakeStore(scenario.store, disk, events, Random(random.Next()))),
        table(scenario.settings, random.Next(), clock, *store),
        desk(table, metrics, waiters, nullptr) {
    store->Start({.on_durable = [this](uint64_t ticket) { waiters.OnDurable(ticket); }});
  }

  ProcessClock clock;
  std::unique_ptr<ratelimitd::StateStore> store;
  ratelimitd::DurableWaiters waiters;
  ratelimitd::SharedTable table;
  ratelimitd::AdmissionDesk desk;
  ratelimitd::DeskMemory memory;
};

SimulatedServer::SimulatedServer(const Scenario& scenario, EventQueue& events,
                                 candor_test::FakeClock& clock, Network& network, Auditor& auditor,
                                 Random random)
    : scenario_(scenario),
      events_(events),
      clock_(clock),
      network_(network),
      auditor_(auditor),
      random_(random),
      disk_(clock) {}

SimulatedServer::~SimulatedServer() = default;

void SimulatedServer::Start() {
  if (IsUp()) return;
  const bool is_durable = scenario_.store == StoreKind::kDurable;
  if (is_durable && auditor_.life() > 0) {
    const double luck = random_.Share();
    has_lost_state_ = luck < 0.3;
    if (luck < 0.15) {
      disk_.LoseEverything();
    } else if (has_lost_state_) {
      disk_.LoseSome(random_);
    }
  }
  life_ = std::make_unique<Life>(scenario_, events_, clock_, disk_, metrics_, random_);
  const Disk::Found found = disk_.Read();
  auto records = life_->store->Load();
  if (records.ok()) life_->table.Restore(*records);
  fingerprints_.clear();
  for (const Survivor& survivor : found.survivors) {
    const std::string& fingerprint = survivor.record.credential_fingerprint;
    if (!fingerprint.empty()) fingerprints_[survivor.key.provider] = fingerprint;
  }
  const bool is_whole = is_durable && !has_lost_state_;
  auditor_.OnLifeBegan(*this, is_whole ? Auditor::Store::kWhole : Auditor::Store::kLost,
                       found.survivors);
}

void SimulatedServer::Restart(Random& random) {
  if (!IsUp()) return;
  if (random.Happens(0.3)) {
    Stop();
  } else {
    Crash();
  }
  if (random.Happens(0.3) && scenario_.clock_step_every > 0ms) {
    clock_.StepWall(random.OneOf(kClockSteps));
  }
  events_.After(random.Interval(kDowntime), [this] { Start(); });
}

void SimulatedServer::Break(Fault fault, Random& random) {
  if (fault != Fault::kStoreAway) return;
  disk_.set_failing(true);
  events_.After(random.Interval(kStoreOutage), [this] { disk_.set_failing(false); });
}

void SimulatedServer::Heal() {
  disk_.set_failing(false);
  Start();
}

void SimulatedServer::ExpectAdmitted(const std::string& reporter, const common::Target& target) {
  auditor_.ExpectAdmitted(reporter, target, Peek(reporter, {target}));
}

void SimulatedServer::Crash() {
  auditor_.OnLifeEnded();
  life_ = nullptr;
  handled_.clear();
  greeted_.clear();
  BreakConnections();
}

void SimulatedServer::Stop() {
  life_->store->Flush(1s);
  Crash();
}

void SimulatedServer::BreakConnections() {
  for (const auto& connection : std::exchange(connections_, {})) {
    if (connection->speech == Speech::kSession) network_.Cut(connection);
  }
}

void SimulatedServer::Accept(const std::shared_ptr<Connection>& connection) {
  connections_.push_back(connection);
  // The connection's own functions: it must not keep itself alive.
  const std::weak_ptr<Connection> weak = connection;
  const int life = auditor_.life();
  connection->to_server = [this, weak, life](const pb::SessionRequest& message) {
    const auto self = weak.lock();
    if (!IsUp() || self == nullptr) return;
    if (self->speech == Speech::kUnary) return TakeCalls(self, message);
    if (life == auditor_.life()) TakeFromSession(self, message);
  };
  connection->tell_server_it_broke = [this, weak, life] {
    const auto self = weak.lock();
    if (IsUp() && life == auditor_.life() && self != nullptr) EndSession(*self);
  };
}

void SimulatedServer::TakeFromSession(const std::shared_ptr<Connection>& connection,
                                      const pb::SessionRequest& message) {
  if (message.has_hello() || message.credentials_size() > 0) TakeHello(*connection, message);
  for (const pb::AttemptReport& report : message.reports()) TakeReport(connection, report);
  for (const pb::Ask& ask : message.asks()) TakeAsk(connection, ask);
}

void SimulatedServer::TakeCalls(const std::shared_ptr<Connection>& connection,
                                const pb::SessionRequest& message) {
  for (const pb::AttemptReport& report : message.reports()) TakeReport(connection, report);
  for (const pb::Ask& ask : message.asks()) TakeAsk(connection, ask);
}

std::vector<std::string> SimulatedServer::LearnCredentials(
    const google::protobuf::RepeatedPtrField<pb::ProviderCredential>& credentials) {
  std::vector<std::string> changed;
  for (const pb::ProviderCredential& credential : credentials) {
    std::string& known = fingerprints_[credential.provider()];
    if (!known.empty() && known != credential.fingerprint())
      changed.push_back(credential.provider());
    known = credential.fingerprint();
  }
  return changed;
}

void SimulatedServer::TakeHello(Connection& connection, const pb::SessionRequest& message) {
  HelloFacts facts;
  facts.reporter = connection.reporter;
  if (message.has_hello()) {
    facts.host = message.hello().host();
    for (const pb::KnownRefusal& refusal : message.hello().known_refusals()) {
      facts.memories.push_back({{refusal.target().provider(), refusal.target().model()},
                                static_cast<ratelimitd::RefusalReason>(refusal.reason()),
                                milliseconds(refusal.remaining_ms())});
    }
    facts.changed_credentials = LearnCredentials(message.hello().credentials());
    auditor_.OnHello(facts, [&] { life_->desk.BeginSession(message.hello()); });
    connection.is_greeted = true;
    greeted_.insert(connection.reporter);
    return;
  }
  facts.changed_credentials = LearnCredentials(message.credentials());
  pb::SessionRequest only_credentials;
  *only_credentials.mutable_credentials() = message.credentials();
  auditor_.OnHello(
      facts, [&] { life_->desk.Handle(only_credentials, connection.reporter, life_->memory); });
}

void SimulatedServer::TakeReport(const std::shared_ptr<Connection>& connection,
                                 const pb::AttemptReport& report) {
  uint64_t ticket = 0;
  const AckStatus status = auditor_.OnReport(
      connection->reporter, report.sequence_number(), milliseconds(report.age_ms()), [&] {
        if (connection->speech == Speech::kUnary) {
          pb::ReportRequest request;
          pb::ReportResponse response;
          request.set_reporter(connection->reporter);
          *request.mutable_report() = report;
          life_->desk.Report(request, response, ticket);
          return static_cast<AckStatus>(response.ack().status());
        }
        pb::SessionRequest single;
        *single.add_reports() = report;
        const ratelimitd::DeskResult result =
            life_->desk.Handle(single, connection->reporter, life_->memory);
        ticket = result.ticket;
        return result.acks.front().status;
      });
  handled_.emplace_back(connection->reporter, report);
  Acknowledge(connection, report.sequence_number(), status, ticket);
}

void SimulatedServer::Acknowledge(const std::shared_ptr<Connection>& connection,
                                  uint64_t sequence_number, AckStatus status, uint64_t ticket) {
  const bool is_durable = scenario_.store == StoreKind::kDurable;
  const auto send = [this, connection, sequence_number, status, is_durable] {
    pb::SessionResponse response;
    ratelimitd::BuildAck(sequence_number, status, *response.add_acks());
    if (is_durable) auditor_.OnAckSent(connection->reporter, sequence_number);
    network_.SendDown(connection, response);
  };
  if (!is_durable || life_->desk.IsDurable(ticket)) return send();
  life_->desk.WhenDurable(ticket, [send](Durability durability) {
    if (durability == Durability::kDurable) send();
  });
}

void SimulatedServer::TakeAsk(const std::shared_ptr<Connection>& connection, const pb::Ask& ask) {
  const AskFacts facts = FactsOf(*connection, ask, scenario_, events_.now());
  pb::SessionResponse response;
  pb::Verdict& answer = *response.add_verdicts();
  const bool is_peek = ask.mode() == pb::ADMIT_MODE_PEEK;
  Verdict verdict;
  const auto handle = [&]() -> const Verdict& {
    if (connection->speech == Speech::kUnary) {
      pb::AdmitRequest request;
      pb::AdmitResponse admitted;
      request.set_reporter(connection->reporter);
      *request.mutable_ask() = ask;
      life_->desk.Admit(request, admitted);
      answer = admitted.verdict();
      verdict = ParseVerdict(answer);
      return verdict;
    }
    pb::SessionRequest single;
    *single.add_asks() = ask;
    life_->desk.Handle(single, connection->reporter, life_->memory);
    ratelimitd::BuildVerdict(life_->memory.verdicts.front(), ask.correlation_id(), answer);
    return life_->memory.verdicts.front();
  };
  if (is_peek) {
    auditor_.OnPeek(facts, handle);
  } else {
    auditor_.OnAsk(facts, handle);
  }
  network_.SendDown(connection, response);
}

void SimulatedServer::EndSession(Connection& connection) {
  const auto is_it = [&](const auto& other) { return other.get() == &connection; };
  if (std::erase_if(connections_, is_it) == 0 || !connection.is_greeted) return;
  auditor_.OnSessionEnded(connection.reporter,
                          [&] { life_->desk.EndSession(connection.reporter); });
}

void SimulatedServer::TakeStray(const std::string& reporter, Speech speech,
                                const pb::AttemptReport& report) {
  // Before its hello, nobody can tell which host the reporter of a session belongs to.
  if (!IsUp() || (speech == Speech::kSession && !greeted_.contains(reporter))) return;
  const auto nobody = std::make_shared<Connection>();
  nobody->speech = Speech::kUnary;
  nobody->reporter = reporter;
  nobody->is_cut = true;
  TakeReport(nobody, report);
}

void SimulatedServer::ReplayAll() {
  if (!IsUp()) return;
  auditor_.OnReplay([this] {
    bool are_duplicates = true;
    for (const auto& [reporter, report] : handled_) {
      pb::ReportRequest request;
      pb::ReportResponse response;
      uint64_t ticket = 0;
      request.set_reporter(reporter);
      *request.mutable_report() = report;
      life_->desk.Report(request, response, ticket);
      are_duplicates &= response.ack().status() == pb::ACK_STATUS_DUPLICATE;
    }
    return are_duplicates;
  });
}

void SimulatedServer::Flood(int targets, double limited) {
  if (!IsUp()) return;
  const std::string stranger = "stranger";
  for (int i = 0; i < targets; ++i) {
    pb::AdmitRequest request;
    pb::AdmitResponse response;
    request.set_reporter(stranger);
    pb::Target& target = *request.mutable_ask()->add_targets();
    target.set_provider(common::Concat("unknown", ++strangers_));
    target.set_model("m");
    life_->desk.Admit(request, response);
    if (!random_.Happens(limited) || !response.verdict().has_grant()) continue;
    pb::ReportRequest limit;
    pb::ReportResponse ack;
    uint64_t ticket = 0;
    limit.set_reporter(stranger);
    limit.mutable_report()->set_token(response.verdict().grant().token());
    limit.mutable_report()->set_kind(pb::OUTCOME_KIND_RATE_LIMITED);
    limit.mutable_report()->set_retry_after_ms(random_.Between(1, 20) * 1000);
    life_->desk.Report(limit, ack, ticket);
  }
  auditor_.OnStranger(auditor_.life(), stranger);
}

std::vector<int> SimulatedServer::Processes() const {
  return IsUp() ? std::vector<int>{auditor_.life()} : std::vector<int>();
}

Footing SimulatedServer::Work(int, const std::vector<ratelimitd::DocumentKey>&,
                              const TableWork& work) {
  life_->table.Update(
      [&](ratelimitd::TargetTable& table, auto next_moment) { work(table, next_moment()); });
  return Footing::kShared;
}

std::optional<Look> SimulatedServer::LookAt(const common::Target& key) {
  std::optional<Look> look;
  life_->table.Update([&](ratelimitd::TargetTable& table, auto next_moment) {
    look = LookInto(table, key, next_moment(), life_->clock.Monotonic() - events_.now());
  });
  return look;
}

Verdict SimulatedServer::Peek(const std::string& reporter,
                              const std::vector<common::Target>& targets) {
  Verdict verdict;
  const auto names = NamesOf(targets);
  life_->table.Update([&](ratelimitd::TargetTable& table, auto next_moment) {
    table.Admit({.reporter = reporter, .targets = names, .mode = ratelimitd::AdmitMode::kPeek},
                next_moment(), verdict);
  });
  return verdict;
}

ratelimitd::TableStats SimulatedServer::Stats() {
  ratelimitd::TableStats stats;
  life_->table.Update([&](ratelimitd::TargetTable& table, auto next_moment) {
    stats = table.Stats(next_moment());
  });
  return stats;
}

}  // namespace simulation
