#include <utility>

#include "common/concat.h"
#include "common/json_text.h"
#include "gateway/dialects/event_stream.h"
#include "gateway/dialects/openai_answer.h"
#include "gateway/dialects/openai_chat.h"
#include "gateway/dialects/openai_chat_relay.h"
#include "gateway/dialects/openai_chat_values.h"
#include "gateway/dialects/openai_fields.h"

namespace gateway {
namespace {

constexpr int kMostChoices = 128;

Delta MakeDelta(Delta::Kind kind, int choice, int part = 0) {
  Delta delta;
  delta.kind = kind;
  delta.choice = choice;
  delta.part = part;
  return delta;
}

// One chunk after the other; all share what stands around the delta.
class ChatStreamRenderer final : public StreamRenderer {
 public:
  explicit ChatStreamRenderer(const RenderContext& context) : context_(context) {
    SetHead(std::string(), std::string(), 0);
  }

  void Render(const Delta& delta, std::string& out) override {
    switch (delta.kind) {
      case Delta::Kind::kStart:
        return SetHead(delta.id, delta.model, delta.created_at);
      case Delta::Kind::kText:
        return RenderText(delta, "content", out);
      case Delta::Kind::kRefusal:
        return RenderText(delta, "refusal", out);
      case Delta::Kind::kReasoning:
        return RenderText(delta, "reasoning_content", out);
      case Delta::Kind::kToolCall:
      case Delta::Kind::kToolArguments:
      case Delta::Kind::kSignature:
        return RenderToolCall(delta, out);
      case Delta::Kind::kLogprobs:
        return RenderChunk(delta.choice, "", RenderJson(delta.logprobs), "null", out);
      case Delta::Kind::kUsage:
        usage_ = delta.usage;
        return;
      case Delta::Kind::kFinish:
        return RenderChunk(delta.choice, "", "null",
                           common::Concat('"', OpenAiFinishReason(delta.finish), '"'), out);
    }
  }

  void RenderEnd(std::string& out) override {
    if (context_.conversation.wants_stream_usage) {
      out += common::Concat("data: ", head_, R"("choices":[],"usage":)",
                            RenderOpenAiUsage(usage_).dump(), "}\n\n");
    }
    out += "data: [DONE]\n\n";
  }

 private:
  struct Calls {
    absl::flat_hash_map<int, int> index_of_part;
    bool has_role = false;
  };

  void SetHead(const std::string& id, const std::string& model, int64_t created_at) {
    head_ = R"({"id":)";
    common::AppendJsonString(AnswerId("chatcmpl-", id, context_), head_);
    head_ += common::Concat(R"(,"object":"chat.completion.chunk","created":)",
                            CreatedAt(created_at, context_), R"(,"model":)");
    common::AppendJsonString(AnswerModel(model, context_), head_);
    head_ += ',';
  }

  void RenderText(const Delta& delta, std::string_view member, std::string& out) {
    if (delta.text.empty()) return;
    std::string inner = common::Concat('"', member, "\":");
    common::AppendJsonString(delta.text, inner);
    RenderChunk(delta.choice, inner, "null", "null", out);
  }

  // Signatures of reasoning have no place in this dialect.
  void RenderToolCall(const Delta& delta, std::string& out) {
    Calls& calls = calls_[delta.choice];
    const bool is_new = delta.kind == Delta::Kind::kToolCall;
    if (!is_new && !calls.index_of_part.contains(delta.part)) return;
    const int next = static_cast<int>(calls.index_of_part.size());
    const int index = calls.index_of_part.try_emplace(delta.part, next).first->second;
    std::string inner = common::Concat(R"("tool_calls":[{"index":)", index);
    if (is_new) {
      inner += R"(,"id":)";
      common::AppendJsonString(delta.id, inner);
      inner += R"(,"type":"function","function":{"name":)";
      common::AppendJsonString(delta.name, inner);
      inner += R"(,"arguments":)";
      common::AppendJsonString(delta.text, inner);
      inner += "}}]";
    } else if (delta.kind == Delta::Kind::kSignature) {
      // OpenAI's SDKs want a function in every piece of a call.
      inner += common::Concat(R"(,"function":{"arguments":""},"extra_content":)",
                              RenderJson(RenderThoughtSignature(delta.text)), "}]");
    } else {
      inner += R"(,"function":{"arguments":)";
      common::AppendJsonString(delta.text, inner);
      inner += "}}]";
    }
    RenderChunk(delta.choice, inner, "null", "null", out);
  }

  void RenderChunk(int choice, std::string_view inner, std::string_view logprobs,
                   std::string_view finish, std::string& out) {
    bool& has_role = calls_[choice].has_role;
    const std::string_view role = has_role ? "" : R"("role":"assistant")";
    const bool has_both = !role.empty() && !inner.empty();
    out += common::Concat("data: ", head_, R"("choices":[{"index":)", choice, R"(,"delta":{)", role,
                          has_both ? "," : "", inner, R"(},"logprobs":)", logprobs,
                          R"(,"finish_reason":)", finish, "}]}\n\n");
    has_role = true;
  }

  RenderContext context_;
  std::string head_;
  absl::flat_hash_map<int, Calls> calls_;
  Usage usage_;
};

}  // namespace

std::unique_ptr<StreamRenderer> OpenAiChatClient::NewStreamRenderer(
    const RenderContext& context) const {
  return std::make_unique<ChatStreamRenderer>(context);
}

EventVerdict OpenAiChatDeltaParser::Take(const SseEvent& event, std::vector<Delta>& deltas) {
  if (IsDoneMarker(event.data)) return TakeDone(deltas);
  const bool is_error =
      event.name == "error" || JudgeOpenAiChunk(event.data) == ChunkVerdict::kOther;
  if (is_error) return {EventVerdict::Kind::kError};
  const Json chunk = ParseJson(event.data);
  if (!std::exchange(has_started_, true)) {
    Delta start = MakeDelta(Delta::Kind::kStart, 0);
    id_ = start.id = TextAt(chunk, "id");
    start.model = TextAt(chunk, "model");
    start.created_at = CountAt(chunk, "created");
    deltas.push_back(std::move(start));
  }
  for (const Json& choice : MemberOf(chunk, "choices")) {
    if (HasForeignOutput(MemberOf(choice, "delta"))) {
      return {EventVerdict::Kind::kError, ForeignOutput(kStreamStatus)};
    }
    TakeChoice(choice, deltas);
  }
  TakeUsage(chunk, deltas);
  return {};
}

void OpenAiChatDeltaParser::TakeChoice(const Json& choice, std::vector<Delta>& deltas) {
  const int64_t index = CountAt(choice, "index");
  if (index >= kMostChoices) return;
  const int at = static_cast<int>(index);
  const Json& delta = MemberOf(choice, "delta");
  const char* reasoning =
      TextAt(delta, "reasoning_content").empty() ? "reasoning" : "reasoning_content";
  TakeText(at, TextAt(delta, reasoning), Delta::Kind::kReasoning, deltas);
  for (Part& part : ContentOf(delta)) {
    const bool is_text = part.kind == Part::Kind::kText;
    TakeText(at, std::move(part.text), is_text ? Delta::Kind::kText : Delta::Kind::kReasoning,
             deltas);
  }
  TakeText(at, TextAt(delta, "refusal"), Delta::Kind::kRefusal, deltas);
  const Json& calls = MemberOf(delta, "tool_calls");
  if (calls.is_array()) {
    for (size_t i = 0; i < calls.size(); ++i) TakeToolCall(at, i, calls[i], deltas);
  }
  if (const Json& logprobs = MemberOf(choice, "logprobs"); logprobs.is_object()) {
    deltas.push_back(MakeDelta(Delta::Kind::kLogprobs, at));
    deltas.back().logprobs = logprobs;
  }
  const std::string finish = TextAt(choice, "finish_reason");
  ChoiceState& state = StateOf(at);
  if (finish.empty() || std::exchange(state.is_finished, true)) return;
  deltas.push_back(MakeDelta(Delta::Kind::kFinish, at));
  deltas.back().finish = ReadOpenAiFinishReason(finish, !state.part_of_call.empty());
}

void OpenAiChatDeltaParser::TakeText(int index, std::string text, Delta::Kind kind,
                                     std::vector<Delta>& deltas) {
  if (text.empty()) return;
  ChoiceState& state = StateOf(index);
  if (state.open_part < 0 || state.open_kind != kind) {
    state.open_part = state.next_part++;
    state.open_kind = kind;
  }
  deltas.push_back(MakeDelta(kind, index, state.open_part));
  deltas.back().text = std::move(text);
}

// A call's first piece names it, the later ones continue its arguments. Servers that leave `index`
// out send whole calls.
void OpenAiChatDeltaParser::TakeToolCall(int index, size_t position, const Json& call,
                                         std::vector<Delta>& deltas) {
  ChoiceState& state = StateOf(index);
  const Json& function = MemberOf(call, "function");
  std::string id = TextAt(call, "id");
  const int64_t key =
      MemberOf(call, "index").is_number() ? CountAt(call, "index") : static_cast<int64_t>(position);
  const auto known = state.call_ids.find(key);
  const bool is_another = known != state.call_ids.end() && !id.empty() && known->second != id &&
                          !TextAt(function, "name").empty();
  const bool is_new = is_another || !state.part_of_call.contains(key);
  if (is_new) {
    state.open_part = -1;
    state.part_of_call[key] = state.next_part++;
    if (id.empty()) id = MadeUpCallId(id_, static_cast<size_t>(state.part_of_call[key]));
    state.call_ids[key] = id;
  }
  const int part = state.part_of_call[key];
  std::string arguments = ArgumentsOf(function);
  if (is_new || !arguments.empty()) {
    deltas.push_back(
        MakeDelta(is_new ? Delta::Kind::kToolCall : Delta::Kind::kToolArguments, index, part));
    if (is_new) deltas.back().id = std::move(id);
    if (is_new) deltas.back().name = TextAt(function, "name");
    deltas.back().text = std::move(arguments);
  }
  std::string signature = ReadThoughtSignature(call);
  if (signature.empty()) return;
  deltas.push_back(MakeDelta(Delta::Kind::kSignature, index, part));
  deltas.back().text = std::move(signature);
}

void OpenAiChatDeltaParser::TakeUsage(const Json& chunk, std::vector<Delta>& deltas) {
  const Json& usage = MemberOf(chunk, "usage");
  if (!usage.is_object()) return;
  deltas.push_back(MakeDelta(Delta::Kind::kUsage, 0));
  deltas.back().usage = ReadOpenAiUsageObject(usage);
}

// Some servers never give a finish reason before the end marker.
EventVerdict OpenAiChatDeltaParser::TakeDone(std::vector<Delta>& deltas) {
  for (size_t i = 0; i < choices_.size(); ++i) {
    if (choices_[i].is_finished || choices_[i].next_part == 0) continue;
    deltas.push_back(MakeDelta(Delta::Kind::kFinish, static_cast<int>(i)));
    deltas.back().finish = ReadOpenAiFinishReason("", !choices_[i].part_of_call.empty());
  }
  return {EventVerdict::Kind::kComplete};
}

OpenAiChatDeltaParser::ChoiceState& OpenAiChatDeltaParser::StateOf(int index) {
  if (choices_.size() <= static_cast<size_t>(index))
    choices_.resize(static_cast<size_t>(index) + 1);
  return choices_[static_cast<size_t>(index)];
}

}  // namespace gateway
