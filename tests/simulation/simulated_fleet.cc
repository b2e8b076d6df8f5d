#include "tests/simulation/simulated_fleet.h"

#include <algorithm>

#include "common/concat.h"

namespace simulation {
namespace {

using namespace std::chrono_literals;

constexpr milliseconds kDowntime = 3s;
constexpr milliseconds kOutage = 3s;
constexpr milliseconds kFailoverTakes = 1s;
constexpr milliseconds kLostByFailover = 1s;
constexpr milliseconds kPause = 3s;

}  // namespace

SimulatedFleet::SimulatedFleet(const Scenario& scenario, EventQueue& events,
                               const common::Clock& clock, Network& network, Auditor& auditor,
                               Random random)
    : scenario_(scenario),
      events_(events),
      auditor_(auditor),
      random_(random),
      redis_(clock),
      world_{.scenario = scenario,
             .events = events,
             .clock = clock,
             .network = network,
             .auditor = auditor,
             .redis = redis_,
             .metrics = metrics_,
             .fingerprints = {},
             .on_trouble = [this] { OnTrouble(Auditor::Loss::kNothing); },
             .let_others_act = [this](const SimulatedReplica& than) { LetOthersAct(than); },
             .on_refreshed = [this] { EndDoubtIfCertain(); }},
      slots_(static_cast<size_t>(scenario.replicas)) {
  auditor_.OnFleetBegan(*this);
}

bool SimulatedFleet::IsUp() const {
  return std::any_of(slots_.begin(), slots_.end(),
                     [](const Slot& slot) { return slot != nullptr; });
}

void SimulatedFleet::StartProcess(Slot& slot) {
  if (slot != nullptr) return;
  auditor_.OnProcessBegan(++processes_);
  slot = std::make_unique<SimulatedReplica>(world_, processes_, Random(random_.Next()));
}

void SimulatedFleet::EndProcess(Slot& slot) {
  const int process = slot->process();
  slot = nullptr;
  auditor_.OnProcessEnded(process);
}

void SimulatedFleet::Start() {
  for (Slot& slot : slots_) StartProcess(slot);
}

void SimulatedFleet::Restart(Random& random) {
  Slot& slot = slots_[random.Next() % slots_.size()];
  if (slot == nullptr) return;
  if (random.Happens(0.3)) slot->Flush();
  EndProcess(slot);
  events_.After(random.Interval(kDowntime), [this, &slot] { StartProcess(slot); });
}

void SimulatedFleet::Break(Fault fault, Random& random) {
  SimulatedReplica* replica = SomeReplica(random);
  switch (fault) {
    case Fault::kStoreAway:
      return GoAwayFor(random.Interval(kOutage));
    case Fault::kLinkCut:
      if (replica != nullptr) replica->link().BreakFor(random.Interval(kOutage));
      return;
    case Fault::kPause:
      if (replica != nullptr) replica->PauseFor(random.Interval(kPause));
      return;
    case Fault::kFlush:
      redis_.documents.clear();
      return OnTrouble(Auditor::Loss::kEverything);
    case Fault::kFailover:
      events_.After(kLostByFailover,
                    [this, old = redis_.documents, takes = random.Interval(kFailoverTakes)] {
                      if (world_.is_whole) return;
                      redis_.documents = old;
                      OnTrouble(Auditor::Loss::kLastSecond);
                      GoAwayFor(takes);
                    });
      return;
  }
}

void SimulatedFleet::GoAwayFor(nanoseconds length) {
  ++away_;
  redis_.is_away = true;
  events_.After(length, [this] { redis_.is_away = --away_ > 0; });
}

void SimulatedFleet::StepClock(nanoseconds step) {
  redis_.step += std::chrono::duration_cast<ratelimitd::StoreTime>(step);
  OnTrouble(Auditor::Loss::kClock);
  OnTrouble(Auditor::Loss::kEverything);
}

void SimulatedFleet::Heal() {
  world_.is_whole = true;
  Start();
}

SimulatedReplica* SimulatedFleet::SomeReplica(Random& random) {
  std::vector<SimulatedReplica*> up;
  for (const Slot& slot : slots_) {
    if (slot != nullptr) up.push_back(slot.get());
  }
  return up.empty() ? nullptr : random.OneOf(up);
}

SimulatedReplica* SimulatedFleet::Seeing() {
  for (const Slot& slot : slots_) {
    if (slot != nullptr && slot->link().IsUp() && !slot->IsBusy()) return slot.get();
  }
  return nullptr;
}

void SimulatedFleet::OnTrouble(Auditor::Loss loss) {
  ++world_.troubles;
  world_.has_doubted = true;
  if (!auditor_.IsInDoubt() || loss != Auditor::Loss::kNothing) auditor_.BeginDoubt(loss);
}

void SimulatedFleet::EndDoubtIfCertain() {
  if (!auditor_.IsInDoubt() || !IsUp()) return;
  for (const Slot& slot : slots_) {
    if (slot != nullptr && !slot->IsCertain()) return;
  }
  // The first look may write what time has brought, and fail.
  const int troubles = world_.troubles;
  for (const ProviderSpec& provider : scenario_.providers) LookAt({provider.name, ""});
  if (troubles == world_.troubles) auditor_.EndDoubt();
}

void SimulatedFleet::LetOthersAct(const SimulatedReplica& than) {
  for (const Slot& slot : slots_) {
    if (slot != nullptr && slot.get() != &than) slot->RunQueue();
  }
}

void SimulatedFleet::Accept(const std::shared_ptr<Connection>& connection) {
  if (connection->speech == Speech::kSession) {
    SimulatedReplica* replica = SomeReplica(random_);
    if (replica != nullptr) replica->Accept(connection);
    return;
  }
  const std::weak_ptr<Connection> weak = connection;
  connection->to_server = [this, weak](const pb::SessionRequest& message) {
    const auto self = weak.lock();
    SimulatedReplica* replica = SomeReplica(random_);
    if (self != nullptr && replica != nullptr) replica->TakeCalls(self, message);
  };
  connection->tell_server_it_broke = [] {};
}

void SimulatedFleet::TakeStray(const std::string& reporter, Speech speech,
                               const pb::AttemptReport& report) {
  SimulatedReplica* replica = SomeReplica(random_);
  if (replica == nullptr) return;
  // Before its hello, nobody can tell which host the reporter of a session belongs to.
  if (speech == Speech::kSession && !replica->HasGreeted(reporter)) return;
  const auto nobody = std::make_shared<Connection>();
  nobody->speech = Speech::kUnary;
  nobody->reporter = reporter;
  nobody->is_cut = true;
  replica->TakeReport(nobody, report);
}

void SimulatedFleet::ReplayAll() {
  for (const Slot& slot : slots_) {
    if (slot != nullptr) slot->ReplayAll();
  }
}

void SimulatedFleet::Flood(int targets, double limited) {
  for (int i = 0; i < targets; ++i) {
    SimulatedReplica* replica = SomeReplica(random_);
    if (replica == nullptr) return;
    const bool is_limited = random_.Happens(limited);
    const milliseconds length = random_.Between(1, 20) * 1000ms;
    replica->TakeStrangersAsk(common::Concat("unknown", ++strangers_),
                              is_limited ? std::optional(length) : std::nullopt);
    auditor_.OnStranger(replica->process(), "stranger");
  }
}

void SimulatedFleet::ExpectAdmitted(const std::string& reporter, const common::Target& target) {
  for (const Slot& slot : slots_) {
    auditor_.ExpectAdmitted(reporter, target, slot->Peek(reporter, {target}));
  }
}

std::vector<int> SimulatedFleet::Processes() const {
  std::vector<int> processes;
  for (const Slot& slot : slots_) {
    if (slot != nullptr && !slot->IsBusy() && !slot->IsPaused()) {
      processes.push_back(slot->process());
    }
  }
  return processes;
}

Footing SimulatedFleet::Work(int process, const std::vector<ratelimitd::DocumentKey>& documents,
                             const TableWork& work) {
  const auto found = std::find_if(slots_.begin(), slots_.end(), [process](const Slot& slot) {
    return slot != nullptr && slot->process() == process;
  });
  return (*found)->Work(documents, work);
}

std::optional<Look> SimulatedFleet::LookAt(const common::Target& key) {
  SimulatedReplica* replica = Seeing();
  if (replica != nullptr) return replica->LookAt(key);
  OnTrouble(Auditor::Loss::kNothing);
  return std::nullopt;
}

Verdict SimulatedFleet::Peek(const std::string& reporter,
                             const std::vector<common::Target>& targets) {
  SimulatedReplica* replica = Seeing();
  if (replica != nullptr) return replica->Peek(reporter, targets);
  OnTrouble(Auditor::Loss::kNothing);
  return {};
}

ratelimitd::TableStats SimulatedFleet::Stats() {
  ratelimitd::TableStats most;
  for (const Slot& slot : slots_) {
    if (slot == nullptr) continue;
    const ratelimitd::TableStats stats = slot->Stats();
    most.targets = std::max(most.targets, stats.targets);
    most.providers = std::max(most.providers, stats.providers);
    most.reporters = std::max(most.reporters, stats.reporters);
  }
  return most;
}

}  // namespace simulation
