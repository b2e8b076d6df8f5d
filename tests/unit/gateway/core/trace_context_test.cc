#include "gateway/core/trace_context.h"

#include <gtest/gtest.h>

namespace gateway {
namespace {

constexpr std::string_view kParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

TraceContext Parse(std::initializer_list<HeaderField> fields) {
  Headers headers;
  for (const HeaderField& field : fields) headers.Add(field.name, field.value);
  return ParseTraceContext(headers);
}

TraceContext ParseParent(std::string_view parent) {
  return Parse({{"traceparent", std::string(parent)}});
}

TraceContext ParseState(std::string state) {
  return Parse({{"traceparent", std::string(kParent)}, {"tracestate", std::move(state)}});
}

TEST(TraceContextTest, KeepsAValidParent) {
  const TraceContext trace = ParseParent(kParent);
  EXPECT_EQ(trace.parent, kParent);
  EXPECT_EQ(trace.trace_id(), "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(RenderTraceHeaders(trace), "traceparent: " + std::string(kParent) + "\r\n");
}

TEST(TraceContextTest, ALaterVersionMayBeLonger) {
  const std::string later = "cc" + std::string(kParent.substr(2));
  for (const std::string& parent : {later, later + "-", later + "-what-the-future-brings"}) {
    SCOPED_TRACE(parent);
    EXPECT_EQ(ParseParent(parent).parent, parent);
    EXPECT_EQ(ParseParent(parent).trace_id(), kParent.substr(3, 32));
  }
}

TEST(TraceContextTest, WhatIsInvalidIsNoTrace) {
  const std::string later = "cc" + std::string(kParent.substr(2));
  const std::string cases[] = {
      "",
      "00",
      std::string(kParent.substr(0, 54)),
      std::string(kParent) + "0",
      std::string(kParent) + "-01",
      "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
      "00-0af7651916cd43dd8448eb211c80319c-B7AD6B7169203331-01",
      "00-00000000000000000000000000000000-b7ad6b7169203331-01",
      "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
      "00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01",
      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
      "00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01",
      "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      "FF-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      "0x-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      later + ".rest",
      later + "-a b",
      later + "-" + std::string(100, 'a'),
  };
  for (const std::string& parent : cases) {
    SCOPED_TRACE(parent);
    EXPECT_EQ(ParseParent(parent).parent, "");
    EXPECT_EQ(ParseParent(parent).trace_id(), "");
    EXPECT_EQ(RenderTraceHeaders(ParseParent(parent)), "");
  }
}

TEST(TraceContextTest, TwoParentsAreNone) {
  const std::string parent(kParent);
  EXPECT_EQ(Parse({{"traceparent", parent}, {"traceparent", parent}}).parent, "");
}

TEST(TraceContextTest, AStateWithoutAParentIsLeftOut) {
  EXPECT_EQ(Parse({{"tracestate", "a=1"}}).state, "");
  EXPECT_EQ(Parse({{"traceparent", "broken"}, {"tracestate", "a=1"}}).state, "");
}

TEST(TraceContextTest, StateTable) {
  struct {
    std::string text;
    std::string want;
  } const cases[] = {
      {"a=1", "a=1"},
      {"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"},
      {"fw529a3039@dt=FfffAA==", ""},
      {" a=1 ,\tb=2 ,, ", "a=1,b=2"},
      {"a=a value", "a=a value"},
      {"", ""},
      {"a", ""},
      {"a=", ""},
      {"=1", ""},
      {"A=1", ""},
      {"a=1,b", ""},
      {"a=\x7f", ""},
      {"a=b=c", ""},
      {"a=" + std::string(257, 'x'), ""},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.text);
    EXPECT_EQ(ParseState(c.text).state, c.want);
    EXPECT_EQ(ParseState(c.text).parent, kParent) << "a bad state does not void the parent";
  }
}

TEST(TraceContextTest, AStateMayComeInParts) {
  const TraceContext trace = Parse(
      {{"traceparent", std::string(kParent)}, {"tracestate", "a=1,b=2"}, {"tracestate", "c=3"}});
  EXPECT_EQ(trace.state, "a=1,b=2,c=3");
  EXPECT_EQ(RenderTraceHeaders(trace),
            "traceparent: " + std::string(kParent) + "\r\ntracestate: a=1,b=2,c=3\r\n");
}

TEST(TraceContextTest, OfALongStateTheFirstMembersAreKept) {
  std::string state;
  for (int i = 10; i < 40; ++i) {
    state += "k" + std::to_string(i) + "=" + std::string(50, 'x') + ",";
  }
  const std::string kept = ParseState(state).state;
  EXPECT_LE(kept.size(), kMaxTraceStateBytes);
  EXPECT_GE(kept.size(), kMaxTraceStateBytes - 55);
  EXPECT_EQ(state.substr(0, kept.size()), kept);
  EXPECT_EQ(kept.back(), 'x');
}

TEST(TraceContextTest, MoreThan32MembersAreNoState) {
  std::string state;
  for (int i = 10; i < 42; ++i) state += "k" + std::to_string(i) + "=1,";
  EXPECT_NE(ParseState(state).state, "");
  EXPECT_EQ(ParseState(state + "z=1").state, "");
}

}  // namespace
}  // namespace gateway
