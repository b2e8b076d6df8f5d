#include "gateway/core/error_body.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "common/json_text.h"
#include "gateway/core/ascii.h"

namespace gateway {
namespace {

constexpr size_t kMaxMessageBytes = 8 * 1024;
constexpr size_t kMaxTextMessageBytes = 1024;
constexpr size_t kMaxTextBytes = 32 * 1024;
constexpr size_t kMaxObjectBytes = 32 * 1024;
constexpr size_t kMaxItems = 64;
constexpr size_t kMaxWordBytes = 128;
// Relays nest a provider's error in their own, seldom more than twice.
constexpr int kMaxLayers = 8;

constexpr std::array<std::string_view, 8> kMessageNames = {
    "message",   "Message",    "detail",      "msg",
    "error_msg", "status_msg", "faultstring", "error_description"};

// In the order of trust: a code says more than the type around it.
constexpr std::array<std::string_view, 15> kWordNames = {
    "code",         "Code",   "error_code",   "errorCode",  "errorcode",
    "internalCode", "reason", "limit_source", "error_type", "type",
    "errorType",    "__type", "status",       "name",       "title"};

constexpr std::array<std::string_view, 8> kStatusNames = {
    "code",        "status",   "status_code", "statusCode",
    "http_status", "httpCode", "http_code",   "raw_status_code"};

// Where an object may hold the error it tells of, or that of the provider behind it.
// Mistral's validation errors have an object as `message`.
constexpr std::array<std::string_view, 19> kInnerNames = {
    "message", "error",          "Error",       "errors",         "detail", "response", "Response",
    "raw",     "innererror",     "inner_error", "provider_error", "cause",  "metadata", "details",
    "choices", "upstream_error", "base_resp",   "fault",          "candor"};

constexpr std::array<std::string_view, 5> kWaitNames = {
    "estimated_time", "retry_after", "retry_after_seconds", "retryAfter", "resets_in_seconds"};

constexpr std::array<std::string_view, 2> kWaitMsNames = {"retry_after_ms", "retryAfterMs"};

constexpr std::array<std::string_view, 2> kDelayNames = {"retryDelay", "quotaResetDelay"};

constexpr std::array<std::string_view, 2> kEpochNames = {"resets_at", "reset_at"};

// By google.rpc.Code, from 1 on.
constexpr std::array<std::string_view, 16> kGrpcCodes = {
    "cancelled",      "unknown",           "invalid_argument",   "deadline_exceeded",   "not_found",
    "already_exists", "permission_denied", "resource_exhausted", "failed_precondition", "aborted",
    "out_of_range",   "unimplemented",     "internal",           "unavailable",         "data_loss",
    "unauthenticated"};

const Json* Find(const Json& object, std::string_view name) {
  if (!object.is_object()) return nullptr;
  const auto member = object.find(std::string(name));
  return member == object.end() ? nullptr : &*member;
}

const std::string* FindText(const Json& object, std::string_view name) {
  const Json* member = Find(object, name);
  if (member == nullptr || !member->is_string()) return nullptr;
  return &member->get_ref<const std::string&>();
}

// At most `max_bytes` of `text`, and no word cut in two: half a credential is not recognised as
// one.
std::string Shorten(std::string_view text, size_t max_bytes) {
  if (text.size() <= max_bytes) return std::string(text);
  const std::string_view begin = common::TruncateUtf8(text, max_bytes);
  return std::string(begin.substr(0, begin.find_last_of(" \t\r\n") + 1));
}

bool Says(const Json& object, std::string_view name, std::string_view word) {
  const std::string* text = FindText(object, name);
  return text != nullptr && *text == word;
}

// As a client's `if (error)`.
bool IsTruthy(const Json* value) {
  if (value == nullptr || value->is_null()) return false;
  if (value->is_boolean()) return value->get<bool>();
  if (value->is_string()) return !value->get_ref<const std::string&>().empty();
  return value->is_number() || !value->empty();
}

std::optional<int> ParseStatus(std::string_view text) {
  int status = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, status);
  if (error != std::errc() || rest != end || status < 100 || status > 599) return std::nullopt;
  return status;
}

// A word as text; codes may be numbers.
std::string WordText(const Json* value) {
  if (value == nullptr) return {};
  if (value->is_string()) return value->get<std::string>();
  return value->is_number_integer() ? value->dump() : std::string();
}

bool HasErrorInChoices(const Json& object) {
  const Json* choices = Find(object, "choices");
  if (choices == nullptr || !choices->is_array()) return false;
  return std::any_of(choices->begin(), choices->end(), [](const Json& choice) {
    return IsTruthy(Find(choice, "error")) || Says(choice, "finish_reason", "error");
  });
}

// A number of the provider's own, whether it comes as a number or as text.
int64_t NumberAt(const Json& object, std::string_view name) {
  const std::string word = WordText(Find(object, name));
  int64_t number = 0;
  std::from_chars(word.data(), word.data() + word.size(), number);
  return number;
}

// JSON of an answer has one of these.
bool LooksLikeAnAnswer(const Json& object) {
  constexpr std::array kNames = {"choices", "data", "output", "candidates"};
  return std::any_of(kNames.begin(), kNames.end(), [&](const char* name) {
    const Json* value = Find(object, name);
    return value != nullptr && !value->is_null();
  });
}

bool TellsOfAnError(const Json& json) {
  if (json.is_array()) return !json.empty() && TellsOfAnError(json.front());
  if (!json.is_object()) return false;
  if (IsTruthy(Find(json, "error")) || HasErrorInChoices(json)) return true;
  if (Says(json, "object", "error") || Says(json, "type", "error")) return true;
  if (Says(json, "status", "failed")) return true;
  const Json* response = Find(json, "response");
  if (response != nullptr && Says(*response, "status", "failed")) return true;
  const Json* success = Find(json, "success");
  if (success != nullptr && success->is_boolean() && !success->get<bool>()) return true;
  const Json* base = Find(json, "base_resp");
  if (base != nullptr && NumberAt(*base, "status_code") != 0) return true;
  if (LooksLikeAnAnswer(json)) return false;
  return IsTruthy(Find(json, "errors")) || IsTruthy(Find(json, "detail")) ||
         FindText(json, "error_type") != nullptr || FindText(json, "message") != nullptr ||
         FindText(json, "error_msg") != nullptr;
}

// Walks the layers of one body; what lies inside is read before what is around it.
class LayerReader {
 public:
  explicit LayerReader(ErrorBody& out) : out_(out) {}

  void ReadValue(const Json& json, int layer) {
    if (layer > kMaxLayers) return;
    if (json.is_array()) {
      const size_t count = std::min<size_t>(json.size(), kMaxItems);
      for (size_t i = 0; i < count; ++i) {
        if (json[i].is_object()) ReadValue(json[i], layer + 1);
      }
    } else if (json.is_string()) {
      ReadMessage(json.get_ref<const std::string&>(), layer);
    } else if (json.is_object()) {
      ReadObject(json, layer);
    }
  }

 private:
  void ReadObject(const Json& object, int layer) {
    const bool was_cloudflare = is_cloudflare_;
    is_cloudflare_ |= Find(object, "success") != nullptr || Find(object, "internalCode") != nullptr;
    for (const std::string_view name : kInnerNames) {
      if (const Json* inner = Find(object, name)) ReadInner(name, *inner, layer);
    }
    ReadMessages(object, layer);
    ReadWords(object);
    ReadTimes(object);
    ReadQuota(object);
    is_cloudflare_ = was_cloudflare;
  }

  // A text is an inner error only where errors are texts; `detail` as text is a message.
  void ReadInner(std::string_view name, const Json& inner, int layer) {
    const bool may_be_text = name == "error" || name == "raw";
    if (inner.is_structured() || (inner.is_string() && may_be_text)) ReadValue(inner, layer + 1);
    if (name == "metadata") {
      if (const Json* headers = Find(inner, "headers")) CopyHeaders(*headers);
    }
  }

  void ReadMessages(const Json& object, int layer) {
    for (const std::string_view name : kMessageNames) {
      if (const std::string* text = FindText(object, name)) return ReadMessage(*text, layer);
    }
    const std::string* title = FindText(object, "title");
    if (title != nullptr) ReadMessage(*title, layer);
  }

  void ReadMessage(const std::string& message, int layer) {
    const std::string_view inner = FindJsonObject(message);
    if (!inner.empty() && layer < kMaxLayers) {
      if (const auto json = ParseSmallJson(inner)) ReadValue(*json, layer + 1);
    }
    if (message.empty()) return;
    out_.message = Shorten(message, kMaxMessageBytes);
    if (out_.text.size() < kMaxTextBytes) {
      out_.text += Lower(std::string_view(message).substr(0, kMaxTextBytes));
      out_.text += '\n';
    }
  }

  void ReadWords(const Json& object) {
    AddNumberedWord(object);
    for (const std::string_view name : kWordNames) AddWord(WordText(Find(object, name)));
    for (const std::string_view name : kStatusNames) {
      const auto status = ParseStatus(WordText(Find(object, name)));
      if (status && out_.statuses.size() < kMaxItems) out_.statuses.push_back(*status);
    }
    if (const std::string* type = FindText(object, "type"); type != nullptr && *type != "error") {
      out_.type = common::TruncateUtf8(*type, kMaxWordBytes);
    }
    if (const std::string code = WordText(Find(object, "code")); !code.empty()) {
      out_.code = common::TruncateUtf8(code, kMaxWordBytes);
    }
    if (const Json* param = Find(object, "param"); param != nullptr && param->is_string()) {
      out_.param = RenderJson(*param);
    }
  }

  // Bare numbers mean something only in their own provider's envelope.
  void AddNumberedWord(const Json& object) {
    const Json* code = Find(object, "code");
    if (FindText(object, "status_msg") != nullptr) {
      AddWord("minimax" + WordText(Find(object, "status_code")));
    }
    const bool is_of_zhipu = code != nullptr && code->is_string() && object.size() == 2 &&
                             code->get_ref<const std::string&>().size() == 4 &&
                             FindText(object, "message") != nullptr;
    if (is_of_zhipu) AddWord("zhipu" + code->get_ref<const std::string&>());
    const Json* details = Find(object, "details");
    const bool is_of_grpc = details != nullptr && details->is_array();
    const int64_t grpc_code = is_of_grpc && code != nullptr && code->is_number_integer()
                                  ? NumberAt(object, "code")
                                  : NumberAt(object, "grpc_code");
    if (grpc_code > 0 && grpc_code <= static_cast<int64_t>(kGrpcCodes.size())) {
      AddWord(std::string(kGrpcCodes[static_cast<size_t>(grpc_code - 1)]));
    }
  }

  void AddWord(const std::string& word) {
    if (word.empty() || word.size() > kMaxWordBytes || out_.words.size() >= kMaxItems) return;
    if (is_cloudflare_) out_.words.push_back(NormalizeWord("cloudflare" + word));
    out_.words.push_back(NormalizeWord(word));
    const size_t dot = word.find('.');
    if (dot != std::string::npos && dot > 0) {
      out_.words.push_back(NormalizeWord(std::string_view(word).substr(0, dot)));
    }
  }

  void ReadTimes(const Json& object) {
    for (const std::string_view name : kWaitNames) {
      AddNumber(Find(object, name), out_.wait_seconds);
      AddDelay(FindText(object, name));
    }
    for (const std::string_view name : kWaitMsNames) {
      const size_t count = out_.wait_seconds.size();
      AddNumber(Find(object, name), out_.wait_seconds);
      if (out_.wait_seconds.size() > count) out_.wait_seconds.back() /= 1000;
    }
    for (const std::string_view name : kEpochNames) {
      AddNumber(Find(object, name), out_.reset_epochs);
    }
    for (const std::string_view name : kDelayNames) {
      AddDelay(FindText(object, name));
    }
  }

  // A number alone is one of seconds.
  void AddDelay(const std::string* delay) {
    if (delay == nullptr || delay->empty() || out_.delays.size() == kMaxItems) return;
    const bool has_unit = !IsDigit(delay->back());
    out_.delays.push_back(has_unit ? *delay : *delay + "s");
  }

  static void AddNumber(const Json* value, std::vector<double>& numbers) {
    if (value != nullptr && value->is_number() && numbers.size() < kMaxItems) {
      numbers.push_back(value->get<double>());
    }
  }

  // google.rpc.QuotaFailure, an element of `details`.
  void ReadQuota(const Json& object) {
    const Json* violations = Find(object, "violations");
    if (violations == nullptr || !violations->is_array()) return;
    for (const Json& violation : *violations) {
      if (out_.quota_ids.size() == kMaxItems) return;
      const std::string* id = FindText(violation, "quotaId");
      if (id == nullptr) id = FindText(violation, "quotaMetric");
      if (id != nullptr) out_.quota_ids.push_back(*id);
      out_.has_zero_quota |= WordText(Find(violation, "quotaValue")) == "0";
    }
  }

  void CopyHeaders(const Json& headers) {
    if (!headers.is_object()) return;
    for (const auto& [name, value] : headers.items()) {
      if (out_.copied_headers.fields().size() == kMaxItems) return;
      if (value.is_string()) out_.copied_headers.Add(name, value.get_ref<const std::string&>());
    }
  }

  ErrorBody& out_;
  bool is_cloudflare_ = false;
};

std::string OpenAiError(const Json& json) {
  if (json.is_array()) return json.empty() ? std::string() : OpenAiError(json.front());
  const Json* error = Find(json, "error");
  if (error == nullptr || FindText(*error, "message") == nullptr) return {};
  std::string text = RenderJson(*error);
  return text.size() <= kMaxObjectBytes ? text : std::string();
}

bool LooksLikeAPage(std::string_view text) {
  const std::string begin = Lower(text.substr(0, 256));
  return begin.starts_with("<!doctype") || begin.starts_with("<html") ||
         (begin.starts_with("<") && Contains(begin, "<head"));
}

// What stands between <title> and </title>, with white space folded.
std::string PageTitle(std::string_view page) {
  const std::string begin = Lower(page.substr(0, 16 * 1024));
  const size_t open = begin.find("<title");
  const size_t from = open == std::string::npos ? open : begin.find('>', open);
  const size_t to = from == std::string::npos ? from : begin.find("</title", from);
  if (to == std::string::npos) return {};
  std::string title;
  for (const char c : Trim(page.substr(from + 1, to - from - 1))) {
    const bool is_space = IsSpace(c);
    if (!is_space || !title.ends_with(' ')) title += is_space ? ' ' : c;
  }
  return std::string(common::TruncateUtf8(title, 200));
}

}  // namespace

std::string NormalizeWord(std::string_view word) {
  std::string normal;
  for (const char c : word) {
    if (IsAlphanumeric(c)) normal += Lower(c);
  }
  return normal;
}

ErrorBody ReadErrorJson(const Json& json) {
  ErrorBody body;
  body.form = ErrorBody::Form::kJson;
  body.has_error = TellsOfAnError(json);
  LayerReader(body).ReadValue(json, 0);
  body.openai_error = OpenAiError(json);
  return body;
}

ErrorBody ReadErrorBody(std::string_view text) {
  const std::string_view trimmed = Trim(text);
  ErrorBody body;
  if (trimmed.empty()) return body;
  if (const auto json = ParseSmallJson(trimmed)) return ReadErrorJson(*json);
  if (LooksLikeAPage(trimmed)) {
    body.form = ErrorBody::Form::kPage;
    body.message = PageTitle(trimmed);
  } else {
    body.form = ErrorBody::Form::kText;
    body.message = Shorten(trimmed, kMaxTextMessageBytes);
  }
  body.text = Lower(body.message);
  return body;
}

}  // namespace gateway
