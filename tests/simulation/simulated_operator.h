// An operator who overrides and resets a provider of his own by hand, at whichever process of
// ratelimitd he reaches, reports limits of it, and asks every process what it would answer. No
// gateway knows that provider. Not thread-safe.
#pragma once

#include "tests/simulation/auditor.h"
#include "tests/simulation/ratelimitd_service.h"

namespace simulation {

class SimulatedOperator {
 public:
  // All must outlive it.
  SimulatedOperator(RatelimitdService& service, Auditor& auditor)
      : service_(service), auditor_(auditor) {}

  // Does one thing or another.
  void Act(Random& random);
  // Asks all that can be asked, each by itself.
  void AskAll();

 private:
  void Override(int process, Random& random);
  void Reset(int process, Random& random);
  void ReportLimit(int process, Random& random);

  RatelimitdService& service_;
  Auditor& auditor_;
};

}  // namespace simulation
