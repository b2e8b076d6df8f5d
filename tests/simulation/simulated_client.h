// A client of the gateways who has limits, and asks for a target of a provider that has some, too:
// at whichever process of ratelimitd is reached, and reported to another. No gateway knows that
// provider. Not thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "tests/simulation/auditor.h"
#include "tests/simulation/event_queue.h"
#include "tests/simulation/ratelimitd_service.h"

namespace simulation {

class SimulatedClient {
 public:
  // All must outlive it.
  SimulatedClient(const Scenario& scenario, EventQueue& events, RatelimitdService& service,
                  Auditor& auditor, Random random)
      : scenario_(scenario),
        events_(events),
        service_(service),
        auditor_(auditor),
        random_(random) {}

  // Asks; a request that is admitted is reported later, or never.
  void Ask();

 private:
  struct Request {
    uint64_t number = 0;
    std::string token;
    int64_t tokens = 0;  // estimated
  };
  void TellLimits(int process);
  void ReportLater(const Request& request);
  void Report(const Request& request, ratelimitd::OutcomeKind kind, int64_t tokens_used);

  const Scenario& scenario_;
  EventQueue& events_;
  RatelimitdService& service_;
  Auditor& auditor_;
  Random random_;
  uint64_t requests_ = 0;
};

}  // namespace simulation
