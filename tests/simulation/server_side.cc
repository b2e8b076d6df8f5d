#include "tests/simulation/server_side.h"

#include <algorithm>

namespace simulation {

std::vector<ratelimitd::TargetName> NamesOf(const std::vector<common::Target>& targets) {
  std::vector<ratelimitd::TargetName> names;
  for (const common::Target& target : targets) names.push_back({target.provider, target.model});
  return names;
}

Verdict ParseVerdict(const pb::Verdict& message) {
  Verdict verdict;
  if (message.has_grant()) {
    verdict.granted_index = message.grant().target_index();
    verdict.token = message.grant().token();
  } else {
    verdict.retry_after = milliseconds(message.refusal().retry_after_ms());
  }
  for (const pb::TargetDecision& decision : message.decisions()) {
    verdict.decisions.push_back({static_cast<ratelimitd::Decision>(decision.decision()),
                                 static_cast<ratelimitd::RefusalReason>(decision.reason()),
                                 milliseconds(decision.retry_after_ms())});
  }
  return verdict;
}

AskFacts FactsOf(const Connection& connection, const pb::Ask& ask, const Scenario& scenario,
                 MonotonicTime now) {
  AskFacts facts;
  facts.reporter = connection.reporter;
  facts.correlation_id = ask.correlation_id();
  for (const pb::Target& target : ask.targets()) {
    facts.targets.push_back({target.provider(), target.model()});
  }
  const milliseconds timeout(ask.attempt_timeout_ms());
  const milliseconds lease = scenario.settings.defaults.breaker.probe_lease;
  const bool is_renewed = connection.speech == Speech::kSession;
  facts.lease_end = now + (is_renewed ? timeout + lease : std::min(timeout, lease));
  return facts;
}

std::optional<Look> LookInto(ratelimitd::TargetTable& table, const common::Target& key,
                             const ratelimitd::Moment& moment, nanoseconds ahead) {
  const auto view = table.ViewOne({key.provider, key.model}, moment);
  if (!view) return std::nullopt;
  Look look{.state = view->state,
            .until = MonotonicTime(),
            .calls = view->window.calls,
            .failures = view->window.failures};
  if (view->until) look.until = *view->until - ahead;
  return look;
}

}  // namespace simulation
