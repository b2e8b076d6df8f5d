#include "gateway/core/client_request.h"

#include <optional>
#include <utility>

#include "common/concat.h"
#include "gateway/core/json_scan.h"

namespace gateway {
namespace {

// The field without which a request of an endpoint makes no sense.
std::string_view RequiredField(Endpoint endpoint) {
  switch (endpoint) {
    case Endpoint::kChatCompletions:
    case Endpoint::kMessages:
    case Endpoint::kCountTokens:
      return "messages";
    case Endpoint::kCompletions:
      return "prompt";
    case Endpoint::kEmbeddings:
    case Endpoint::kResponses:
      return "input";
  }
  return "messages";
}

constexpr std::string_view kNull = "null";
constexpr std::string_view kFalse = "false";

// Whether `stream_options` of the endpoint's requests makes a stream tell its tokens.
bool CountsByOption(Endpoint endpoint) {
  return endpoint == Endpoint::kChatCompletions || endpoint == Endpoint::kCompletions;
}

bool IsAllowedAs(Endpoint endpoint, JsonType type) {
  if (type == JsonType::kArray) return true;
  return RequiredField(endpoint) != "messages" && type == JsonType::kString;
}

Failure BadRequest(std::string_view param, std::string_view code, std::string message) {
  Failure failure;
  failure.kind = FailureKind::kBadRequest;
  failure.message = std::move(message);
  failure.code = code;
  if (!param.empty()) failure.param = common::Concat("\"", param, "\"");
  return failure;
}

// Looks only at the members of the outermost object.
class RequestReceiver final : public JsonReceiver {
 public:
  RequestReceiver(Endpoint endpoint, std::string_view body)
      : endpoint_(endpoint), required_(RequiredField(endpoint)), body_(body) {}

  bool OnKey(int depth, std::string& key) override {
    if (depth == 2 && is_in_options_) return TakeOption(key);
    if (depth != 1) return true;
    field_ = FieldNamed(key);
    if (field_ == Field::kOther) return true;
    if (HasSeen(field_)) {
      return Refuse(key, "duplicate_parameter", common::Concat("'", key, "' is given twice."));
    }
    MarkSeen(field_);
    return true;
  }

  bool OnValue(int depth, const JsonValue& value, size_t end) override {
    if (++values_ > kMaxRequestValues) {
      return Refuse(
          "", "invalid_json",
          common::Concat("The request body has more than ", kMaxRequestValues, " JSON values."));
    }
    if (depth == 0) {
      if (value.type == JsonType::kObject) {
        allows_usage_ = CountsByOption(endpoint_);
        scan_.usage_edit = BodyEdit{end, end, R"("stream_options":{"include_usage":true},)"};
        return true;
      }
      return Refuse("", "invalid_type", "The request body must be a JSON object.");
    }
    if (depth == 2 && is_in_options_) return TakeOptionValue(value, end);
    if (depth != 1 || field_ == Field::kOther) return true;
    switch (std::exchange(field_, Field::kOther)) {
      case Field::kModel:
        return TakeModel(value, end);
      case Field::kStream:
        return TakeStream(value);
      case Field::kRequired:
        return CheckRequired(value);
      case Field::kBackground:
        return CheckBackground(value);
      case Field::kStreamOptions:
        return TakeStreamOptions(value, end);
      case Field::kDataSources:
        allows_usage_ = false;
        return true;
      case Field::kOther:
        return true;
    }
    return true;
  }

  bool OnClose(int depth) override {
    if (depth == 1) is_in_options_ = false;
    return true;
  }

  std::variant<RequestScan, Failure> Result(const JsonScanResult& result) {
    using Status = JsonScanResult::Status;
    if (failure_) return *std::move(failure_);
    if (result.status == Status::kTooDeep) {
      return BadRequest(
          "", "invalid_json",
          common::Concat("The request body is nested deeper than ", kMaxJsonDepth, " levels."));
    }
    if (result.status != Status::kComplete) {
      return BadRequest("", "invalid_json",
                        common::Concat("The request body is not valid JSON (near byte ",
                                       result.error_offset, ")."));
    }
    if (!HasSeen(Field::kModel)) return Missing("model");
    if (!HasSeen(Field::kRequired)) return Missing(required_);
    if (!allows_usage_) scan_.usage_edit.reset();
    return std::move(scan_);
  }

 private:
  enum class Field : uint8_t {
    kOther = 0,
    kModel = 1,
    kStream = 2,
    kRequired = 4,
    kBackground = 8,
    kStreamOptions = 16,
    kDataSources = 32,
  };

  Field FieldNamed(std::string_view key) const {
    if (key == "model") return Field::kModel;
    if (key == "stream" && AsksModel(endpoint_)) return Field::kStream;
    if (key == required_) return Field::kRequired;
    if (endpoint_ == Endpoint::kResponses && key == "background") return Field::kBackground;
    if (!CountsByOption(endpoint_)) return Field::kOther;
    if (key == "stream_options") return Field::kStreamOptions;
    if (key == "data_sources" || key == "dataSources") return Field::kDataSources;
    return Field::kOther;
  }
  bool HasSeen(Field field) const { return (seen_ & static_cast<uint8_t>(field)) != 0; }
  void MarkSeen(Field field) { seen_ |= static_cast<uint8_t>(field); }

  bool TakeModel(const JsonValue& value, size_t end) {
    if (value.type != JsonType::kString) {
      return Refuse("model", "invalid_type", "'model' must be a string.");
    }
    if (value.text->empty()) {
      return Refuse("model", "invalid_value", "'model' must not be empty.");
    }
    scan_.model = std::move(*value.text);
    scan_.model_value_begin = BeginOfString(end);
    scan_.model_value_end = end;
    return true;
  }

  bool TakeStream(const JsonValue& value) {
    if (value.type == JsonType::kNull) return true;
    if (value.type != JsonType::kBoolean) {
      return Refuse("stream", "invalid_type", "'stream' must be true or false.");
    }
    scan_.is_stream = value.boolean;
    return true;
  }

  bool CheckRequired(const JsonValue& value) {
    if (IsAllowedAs(endpoint_, value.type)) return true;
    return Refuse(required_, "invalid_type",
                  common::Concat("'", required_, "' is of the wrong type."));
  }

  // Whatever is of a wrong type is the provider's to refuse.
  bool TakeStreamOptions(const JsonValue& value, size_t end) {
    is_in_options_ = value.type == JsonType::kObject;
    if (is_in_options_) {
      scan_.usage_edit = BodyEdit{end, end, R"("include_usage":true)"};
    } else if (value.type == JsonType::kNull) {
      scan_.usage_edit = BodyEdit{end, end + kNull.size(), R"({"include_usage":true})"};
    } else {
      allows_usage_ = false;
    }
    return true;
  }

  bool TakeOption(std::string_view key) {
    is_include_usage_ = key == "include_usage";
    if (scan_.usage_edit->text == R"("include_usage":true)") {
      scan_.usage_edit->text = R"("include_usage":true,)";
    }
    return true;
  }

  bool TakeOptionValue(const JsonValue& value, size_t end) {
    if (!std::exchange(is_include_usage_, false)) return true;
    const bool is_off = value.type == JsonType::kNull || !value.boolean;
    if (is_off && value.type <= JsonType::kBoolean) {
      const size_t size = value.type == JsonType::kNull ? kNull.size() : kFalse.size();
      scan_.usage_edit = BodyEdit{end, end + size, "true"};
    } else {
      allows_usage_ = false;
    }
    return true;
  }

  // A response that is made in the background is asked for later, which only a gateway that keeps
  // responses could answer.
  bool CheckBackground(const JsonValue& value) {
    if (value.type != JsonType::kBoolean || !value.boolean) return true;
    return Refuse("background", "unsupported_parameter",
                  "'background' asks for state that a stateless gateway cannot keep.");
  }

  // Where the JSON string that ends at `end` has its opening quote: an unescaped quote inside a
  // string does not exist, so the nearest one with an even number of backslashes before it.
  size_t BeginOfString(size_t end) const {
    size_t at = end - 1;
    while (true) {
      at = body_.rfind('"', at - 1);
      size_t backslashes = 0;
      while (backslashes < at && body_[at - 1 - backslashes] == '\\') ++backslashes;
      if (backslashes % 2 == 0) return at;
    }
  }

  bool Refuse(std::string_view param, std::string_view code, std::string message) {
    failure_ = BadRequest(param, code, std::move(message));
    return false;
  }
  static Failure Missing(std::string_view field) {
    return BadRequest(field, "missing_required_parameter",
                      common::Concat("'", field, "' is missing."));
  }

  Endpoint endpoint_;
  std::string_view required_;
  std::string_view body_;
  Field field_ = Field::kOther;
  uint8_t seen_ = 0;
  bool is_in_options_ = false;     // inside `stream_options`
  bool is_include_usage_ = false;  // the key read last
  bool allows_usage_ = true;
  size_t values_ = 0;
  RequestScan scan_;
  std::optional<Failure> failure_;
};

}  // namespace

std::variant<RequestScan, Failure> ScanRequest(Endpoint endpoint, std::string_view body) {
  RequestReceiver receiver(endpoint, body);
  const JsonScanResult result = ScanJson(body, receiver);
  return receiver.Result(result);
}

}  // namespace gateway
