#include "gateway/core/client_request.h"

#include <gtest/gtest.h>

#include <string>

namespace gateway {
namespace {

struct AcceptedCase {
  const char* name;
  Endpoint endpoint;
  std::string body;
  std::string model;
  std::string model_text;  // as it stands in the body
  bool is_stream;
};

TEST(ScanRequestTest, FindsModelAndStream) {
  const AcceptedCase cases[] = {
      {"plain", Endpoint::kChatCompletions, R"({"model":"m","messages":[]})", "m", R"("m")", false},
      {"streamed", Endpoint::kChatCompletions, R"({"stream":true,"messages":[],"model":"m"})", "m",
       R"("m")", true},
      {"spaces", Endpoint::kChatCompletions, "{ \"model\" :\n \"a b\" , \"messages\" : [ ] }",
       "a b", R"("a b")", false},
      {"escapes in the name", Endpoint::kChatCompletions,
       R"({"model":"a\"b\\\"c\\","messages":[]})", "a\"b\\\"c\\", R"("a\"b\\\"c\\")", false},
      {"nested fields of the same names do not count", Endpoint::kChatCompletions,
       R"({"messages":[{"model":"x","stream":1}],"model":"m","meta":{"model":2}})", "m", R"("m")",
       false},
      {"stream null", Endpoint::kChatCompletions, R"({"model":"m","messages":[],"stream":null})",
       "m", R"("m")", false},
      {"prompt as text", Endpoint::kCompletions, R"({"model":"m","prompt":"p"})", "m", R"("m")",
       false},
      {"a response now", Endpoint::kResponses, R"({"input":"x","background":false,"model":"m"})",
       "m", R"("m")", false},
      {"the word elsewhere", Endpoint::kChatCompletions,
       R"({"model":"m","messages":[],"background":true})", "m", R"("m")", false},
      {"input as list", Endpoint::kEmbeddings, R"({"input":["a"],"model":"m"})", "m", R"("m")",
       false},
  };
  for (const AcceptedCase& c : cases) {
    SCOPED_TRACE(c.name);
    const auto result = ScanRequest(c.endpoint, c.body);
    const auto* scan = std::get_if<RequestScan>(&result);
    ASSERT_NE(scan, nullptr);
    EXPECT_EQ(scan->model, c.model);
    EXPECT_EQ(scan->is_stream, c.is_stream);
    EXPECT_EQ(
        c.body.substr(scan->model_value_begin, scan->model_value_end - scan->model_value_begin),
        c.model_text);
  }
}

std::string WithUsage(const std::string& body, const RequestScan& scan) {
  const BodyEdit& edit = *scan.usage_edit;
  return body.substr(0, edit.begin) + std::string(edit.text) + body.substr(edit.end);
}

TEST(ScanRequestTest, SaysHowToMakeAStreamTellItsTokens) {
  struct Case {
    const char* options;
    const char* want;  // nullptr: the request is left as it is
  };
  const Case cases[] = {
      {R"("n":1)", R"("n":1)"},
      {R"("stream_options":null)", R"("stream_options":{"include_usage":true})"},
      {R"("stream_options" : {})", R"("stream_options" : {"include_usage":true})"},
      {R"("stream_options":{ "a":{"include_usage":1},"b":[2]})",
       R"("stream_options":{"include_usage":true, "a":{"include_usage":1},"b":[2]})"},
      {R"("stream_options":{"a":1,"include_usage": false })",
       R"("stream_options":{"a":1,"include_usage": true })"},
      {R"("stream_options":{"include_usage":null,"a":{}})",
       R"("stream_options":{"include_usage":true,"a":{}})"},
      {R"("stream_options":{"include_usage":true})", nullptr},
      {R"("stream_options":{"include_usage":"yes"})", nullptr},
      {R"("stream_options":{"include_usage":{}})", nullptr},
      {R"("stream_options":7)", nullptr},
      {R"("data_sources":[])", nullptr},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.options);
    const std::string rest = R"(,"model":"m","messages":[{"include_usage":true}]})";
    const std::string body = std::string(" {") + c.options + rest;
    const auto result = ScanRequest(Endpoint::kChatCompletions, body);
    const auto& scan = std::get<RequestScan>(result);
    ASSERT_EQ(scan.usage_edit.has_value(), c.want != nullptr);
    if (c.want == nullptr) continue;
    const bool was_there = std::string_view(c.options).starts_with("\"stream");
    const std::string added = was_there ? "" : R"("stream_options":{"include_usage":true},)";
    EXPECT_EQ(WithUsage(body, scan), " {" + added + c.want + rest);
  }
  const auto response = ScanRequest(Endpoint::kResponses, R"({"model":"m","input":"x"})");
  EXPECT_FALSE(std::get<RequestScan>(response).usage_edit.has_value());
}

struct RefusedCase {
  const char* name;
  Endpoint endpoint;
  std::string body;
  std::string param;
  std::string code;
};

std::string DeepArray(int depth) {
  return R"({"model":"m","messages":)" + std::string(depth, '[') + std::string(depth, ']') + "}";
}

std::string WideArray(size_t values) {
  std::string body = R"({"model":"m","messages":[1)";
  for (size_t i = 1; i < values; ++i) body += ",1";
  return body + "]}";
}

TEST(ScanRequestTest, RefusesWhatCannotBeServed) {
  const RefusedCase cases[] = {
      {"empty", Endpoint::kChatCompletions, "", "", "invalid_json"},
      {"not JSON", Endpoint::kChatCompletions, "model=m", "", "invalid_json"},
      {"truncated", Endpoint::kChatCompletions, R"({"model":"m","messages":[)", "", "invalid_json"},
      {"text after the object", Endpoint::kChatCompletions, R"({"model":"m","messages":[]} x)", "",
       "invalid_json"},
      {"NUL after the object", Endpoint::kChatCompletions,
       std::string(R"({"model":"m","messages":[]})") + '\0' + "x", "", "invalid_json"},
      {"invalid UTF-8", Endpoint::kChatCompletions, "{\"model\":\"\xff\",\"messages\":[]}", "",
       "invalid_json"},
      {"no object", Endpoint::kChatCompletions, "[1]", "", "invalid_type"},
      {"too deep", Endpoint::kChatCompletions, DeepArray(kMaxJsonDepth), "", "invalid_json"},
      {"too wide", Endpoint::kChatCompletions, WideArray(kMaxRequestValues), "", "invalid_json"},
      {"no model", Endpoint::kChatCompletions, R"({"messages":[]})", "\"model\"",
       "missing_required_parameter"},
      {"empty model", Endpoint::kChatCompletions, R"({"model":"","messages":[]})", "\"model\"",
       "invalid_value"},
      {"model is a number", Endpoint::kChatCompletions, R"({"model":4,"messages":[]})", "\"model\"",
       "invalid_type"},
      {"model twice", Endpoint::kChatCompletions, R"({"model":"a","model":"b","messages":[]})",
       "\"model\"", "duplicate_parameter"},
      {"a response in the background", Endpoint::kResponses,
       R"({"model":"m","input":"x","background":true})", "\"background\"", "unsupported_parameter"},
      {"stream is text", Endpoint::kChatCompletions,
       R"({"model":"m","messages":[],"stream":"true"})", "\"stream\"", "invalid_type"},
      {"no messages", Endpoint::kChatCompletions, R"({"model":"m"})", "\"messages\"",
       "missing_required_parameter"},
      {"messages is text", Endpoint::kChatCompletions, R"({"model":"m","messages":"hi"})",
       "\"messages\"", "invalid_type"},
      {"prompt is a number", Endpoint::kCompletions, R"({"model":"m","prompt":1})", "\"prompt\"",
       "invalid_type"},
      {"no input", Endpoint::kEmbeddings, R"({"model":"m","messages":[]})", "\"input\"",
       "missing_required_parameter"},
  };
  for (const RefusedCase& c : cases) {
    SCOPED_TRACE(c.name);
    const auto result = ScanRequest(c.endpoint, c.body);
    const auto* failure = std::get_if<Failure>(&result);
    ASSERT_NE(failure, nullptr);
    EXPECT_EQ(failure->kind, FailureKind::kBadRequest);
    EXPECT_EQ(failure->param, c.param);
    EXPECT_EQ(failure->code, c.code);
    EXPECT_FALSE(failure->message.empty());
  }
}

TEST(ScanRequestTest, EveryPrefixOfARequestIsRefused) {
  const std::string body = R"({"model":"m\u00e9","messages":[{"a":1.5e3}],"stream":false})";
  for (size_t size = 0; size < body.size(); ++size) {
    SCOPED_TRACE(size);
    const auto result =
        ScanRequest(Endpoint::kChatCompletions, std::string_view(body).substr(0, size));
    EXPECT_TRUE(std::holds_alternative<Failure>(result));
  }
}

}  // namespace
}  // namespace gateway
