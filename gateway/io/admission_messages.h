// The words of admission.proto as the gateway's values, both ways. Pure.
#pragma once

#include <chrono>
#include <string_view>
#include <vector>

#include "candor/ratelimitd/v1/admission.pb.h"
#include "gateway/core/admission.h"

namespace gateway {

// A target in the words of an ask.
void FillTarget(const common::Target& target, candor::ratelimitd::v1::Target& out);

// `age`: how long ago the attempt ended.
void FillReport(const AttemptReport& report, std::chrono::milliseconds age,
                candor::ratelimitd::v1::AttemptReport& out);

// A refusal that this gateway remembers.
void FillKnownRefusal(const RefusedTarget& refused, candor::ratelimitd::v1::KnownRefusal& out);

// The limits of the client called `name`.
void FillClientLimits(std::string_view name, const ClientLimits& limits,
                      candor::ratelimitd::v1::ClientLimits& out);

// `targets` are those of the ask. A grant of a target that was not asked about is nobody's:
// unreachable.
AdmissionVerdict ParseVerdict(const candor::ratelimitd::v1::Verdict& message,
                              const std::vector<common::Target>& targets);

}  // namespace gateway
