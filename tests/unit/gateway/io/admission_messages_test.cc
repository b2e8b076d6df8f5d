#include "gateway/io/admission_messages.h"

#include <gtest/gtest.h>

#include "candor/ratelimitd/v1/admission.pb.h"

namespace gateway {
namespace {

namespace pb = candor::ratelimitd::v1;
using namespace std::chrono_literals;

TEST(AdmissionMessagesTest, EveryReportNamesItsTarget) {
  const struct {
    const char* name;
    AttemptReport::Kind kind;
    const char* token;
  } kCases[] = {
      {"success", AttemptReport::Kind::kSuccess, "token"},
      {"begun stream", AttemptReport::Kind::kStreamStarted, "token"},
      {"failure", AttemptReport::Kind::kFailure, "token"},
      {"success without asking", AttemptReport::Kind::kSuccess, ""},
      {"failure without asking", AttemptReport::Kind::kFailure, ""},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.name);
    AttemptReport report;
    report.kind = c.kind;
    report.token = c.token;
    report.target = {"openai", "gpt-4o-mini"};

    pb::AttemptReport message;
    FillReport(report, 5ms, message);

    EXPECT_EQ(message.token(), c.token);
    EXPECT_EQ(message.target().provider(), "openai");
    EXPECT_EQ(message.target().model(), "gpt-4o-mini");
    EXPECT_EQ(message.age_ms(), 5);
  }
}

}  // namespace
}  // namespace gateway
