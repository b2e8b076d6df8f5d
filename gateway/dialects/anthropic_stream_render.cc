#include <algorithm>
#include <deque>
#include <optional>
#include <utility>

#include "common/concat.h"
#include "common/json_text.h"
#include "gateway/core/ascii.h"
#include "gateway/core/failure_classifier.h"
#include "gateway/dialects/anthropic_render.h"
#include "gateway/dialects/event_stream.h"

namespace gateway {
namespace {

// What may wait behind a block that is not complete.
constexpr size_t kMostWaitingBytes = 1024 * 1024;
constexpr size_t kMostWaitingBlocks = 128;

// Tells what arguments that come in pieces amount to so far: an object, complete or not, nothing,
// or something that is no object.
class ArgumentsState {
 public:
  void Take(std::string_view text) {
    for (const char c : text) Take(c);
  }
  bool is_object() const { return has_begun_ && !is_other_; }
  bool is_other() const { return is_other_; }
  // The object has come to its end.
  bool is_complete() const { return is_object() && depth_ == 0; }
  // It is an object that has not.
  bool is_cut_off() const { return is_object() && depth_ > 0; }

 private:
  void Take(char c) {
    if (!has_begun_) {
      if (IsSpace(c)) return;
      has_begun_ = true;
      is_other_ = c != '{';
    }
    if (is_escaped_) {
      is_escaped_ = false;
    } else if (is_in_string_) {
      is_escaped_ = c == '\\';
      is_in_string_ = c != '"';
    } else if (c == '"') {
      is_in_string_ = true;
    } else if (c == '{' || c == '[') {
      ++depth_;
    } else if (c == '}' || c == ']') {
      --depth_;
    }
  }

  int depth_ = 0;
  bool has_begun_ = false;
  bool is_other_ = false;
  bool is_in_string_ = false;
  bool is_escaped_ = false;
};

struct Block {
  int part = 0;
  Part::Kind kind = Part::Kind::kText;
  std::string id;  // of a tool call
  std::string name;
  std::string text;       // not yet written
  std::string signature;  // written when it is complete: SDKs do not put pieces together
  bool is_redacted = false;
  bool has_begun = false;  // its start is written
  ArgumentsState arguments;
};

// Messages has no blocks for refusals: they are text, and the stop reason tells.
Part::Kind BlockKindOf(const Delta& delta) {
  const Part::Kind kind = PartKindOf(delta);
  return kind == Part::Kind::kRefusal ? Part::Kind::kText : kind;
}

// Blocks follow one another in this dialect, and one that has ended cannot be continued. Providers
// may write several tool calls at a time: what belongs to a later one waits until the arguments of
// the one under way are complete. Where that never comes, or too much waits for it, the stream
// fails: half of a call's arguments must not look like all of them.
class MessageStreamRenderer final : public StreamRenderer {
 public:
  explicit MessageStreamRenderer(const RenderContext& context) : context_(context) {}

  void Render(const Delta& delta, std::string& out) override {
    if (delta.choice != 0 || failure_) return;
    switch (delta.kind) {
      case Delta::Kind::kStart:
        id_ = delta.id;
        model_ = delta.model;
        return Start(out);
      case Delta::Kind::kUsage:
        usage_ = delta.usage;
        return;
      case Delta::Kind::kFinish:
        finish_ = delta.finish;
        stop_sequence_ = delta.stop_sequence;
        return EndBlocks(out);
      case Delta::Kind::kLogprobs:
        return;
      default:
        return RenderContent(delta, out);
    }
  }

  void RenderEnd(std::string& out) override {
    Start(out);
    EndBlocks(out);
    if (failure_) return;
    const Json end = {
        {"type", "message_delta"},
        {"delta",
         {{"stop_reason", AnthropicStopReason(finish_, output_)},
          {"stop_sequence", stop_sequence_.empty() ? Json(nullptr) : Json(stop_sequence_)}}},
        {"usage", RenderAnthropicUsage(usage_)}};
    WriteEvent("message_delta", RenderJson(end), out);
    WriteEvent("message_stop", R"({"type":"message_stop"})", out);
  }

  std::optional<Failure> failure() const override { return failure_; }

 private:
  static void WriteEvent(std::string_view name, std::string_view data, std::string& out) {
    out += common::Concat("event: ", name, "\ndata: ", data, "\n\n");
  }

  void Start(std::string& out) {
    if (std::exchange(has_started_, true)) return;
    Json message = RenderAnthropicMessage(id_, model_, context_);
    message["usage"] = RenderAnthropicUsage(usage_);
    WriteEvent("message_start",
               RenderJson({{"type", "message_start"}, {"message", std::move(message)}}), out);
  }

  void RenderContent(const Delta& delta, std::string& out) {
    Start(out);
    Block* block = BlockFor(delta);
    if (block == nullptr) return;
    if (delta.kind == Delta::Kind::kSignature) {
      block->signature += delta.text;
      block->is_redacted |= delta.is_redacted;
    } else {
      block->text += delta.text;
      if (block->kind == Part::Kind::kToolCall) block->arguments.Take(delta.text);
    }
    if (block != &blocks_.front() || block->arguments.is_other()) {
      waiting_bytes_ += delta.text.size();
    }
    Advance(delta, out);
    if (waiting_bytes_ > kMostWaitingBytes || blocks_.size() > kMostWaitingBlocks) {
      Fail("writes tool calls at the same time and never ends the first of them");
    }
  }

  void Fail(std::string_view what) {
    if (!failure_) failure_ = MalformedAnswer(kStreamStatus, what);
  }

  // The block that `delta` continues or begins; nullptr when that has ended and nothing but a text
  // can follow in another one, or when the stream has failed.
  Block* BlockFor(const Delta& delta) {
    const auto open = std::find_if(blocks_.begin(), blocks_.end(),
                                   [&](const Block& block) { return block.part == delta.part; });
    if (open != blocks_.end()) return &*open;
    const bool is_text =
        delta.kind != Delta::Kind::kToolArguments && delta.kind != Delta::Kind::kSignature;
    if (delta.part <= last_part_ && (!is_text || delta.text.empty())) {
      const bool is_lost = delta.kind == Delta::Kind::kToolArguments && !Trim(delta.text).empty();
      if (is_lost) Fail("goes on with the arguments of a tool call that was complete");
      return nullptr;
    }
    last_part_ = std::max(last_part_, delta.part);
    Block& block = blocks_.emplace_back();
    block.part = delta.part;
    block.kind = BlockKindOf(delta);
    block.id = delta.id;
    block.name = delta.name;
    output_.has_tool_call |= block.kind == Part::Kind::kToolCall;
    output_.has_refusal |= delta.kind == Delta::Kind::kRefusal;
    return &block;
  }

  void Advance(const Delta& delta, std::string& out) {
    while (blocks_.size() > 1 && MayEnd(blocks_.front())) EndFirst(out);
    Block& first = blocks_.front();
    // Arguments that are no object are put into one when they are whole.
    if (first.arguments.is_other()) return;
    // The start of a call holds its signature, which comes next if at all.
    const bool may_be_signed = first.kind == Part::Kind::kToolCall && !first.has_begun &&
                               delta.kind != Delta::Kind::kToolArguments;
    if (!may_be_signed && !first.is_redacted) WriteText(first, out);
  }

  static bool MayEnd(const Block& block) {
    return block.kind != Part::Kind::kToolCall || block.arguments.is_complete();
  }

  // The provider has said that nothing more comes. What is cut off then is the last thing it wrote.
  void EndBlocks(std::string& out) {
    while (!blocks_.empty() && !failure_) {
      Block& block = blocks_.front();
      const bool may_be_cut_off = IsCutOff(finish_) && blocks_.size() == 1;
      if (block.arguments.is_cut_off() && !may_be_cut_off) {
        return Fail("holds a tool call whose arguments are cut off");
      }
      if (block.arguments.is_other() && !may_be_cut_off) {
        block.text = RenderJson(Json{{"arguments", std::exchange(block.text, {})}});
      }
      EndFirst(out);
    }
  }

  void EndFirst(std::string& out) {
    Block& block = blocks_.front();
    WriteText(block, out);
    Begin(block, out);
    if (!block.signature.empty() && block.kind == Part::Kind::kReasoning && !block.is_redacted) {
      WriteDelta("signature_delta", "signature", block.signature, out);
    }
    WriteEvent("content_block_stop",
               common::Concat(R"({"type":"content_block_stop","index":)", index_, "}"), out);
    ++index_;
    blocks_.pop_front();
    if (blocks_.size() <= 1) waiting_bytes_ = 0;
  }

  void Begin(Block& block, std::string& out) {
    if (std::exchange(block.has_begun, true)) return;
    const Json event = {
        {"type", "content_block_start"}, {"index", index_}, {"content_block", RenderStart(block)}};
    WriteEvent("content_block_start", RenderJson(event), out);
  }

  static Json RenderStart(const Block& block) {
    if (block.kind == Part::Kind::kToolCall) {
      return RenderAnthropicToolUse(block.id, block.name, block.signature);
    }
    if (block.kind == Part::Kind::kText) return {{"type", "text"}, {"text", ""}};
    if (block.is_redacted) return {{"type", "redacted_thinking"}, {"data", block.signature}};
    return {{"type", "thinking"}, {"thinking", ""}, {"signature", ""}};
  }

  void WriteText(Block& block, std::string& out) {
    if (block.text.empty()) return;
    Begin(block, out);
    const std::string text = std::exchange(block.text, {});
    if (block.kind == Part::Kind::kToolCall) {
      WriteDelta("input_json_delta", "partial_json", text, out);
    } else if (block.kind == Part::Kind::kText) {
      WriteDelta("text_delta", "text", text, out);
    } else {
      WriteDelta("thinking_delta", "thinking", text, out);
    }
  }

  void WriteDelta(std::string_view type, std::string_view member, std::string_view text,
                  std::string& out) const {
    std::string quoted;
    common::AppendJsonString(text, quoted);
    WriteEvent("content_block_delta",
               common::Concat(R"({"type":"content_block_delta","index":)", index_,
                              R"(,"delta":{"type":")", type, R"(",")", member, "\":", quoted, "}}"),
               out);
  }

  RenderContext context_;
  std::string id_;
  std::string model_;
  bool has_started_ = false;
  std::deque<Block> blocks_;  // the first is the one under way
  size_t waiting_bytes_ = 0;
  int index_ = 0;  // of the first
  int last_part_ = -1;
  AnthropicOutput output_;
  Usage usage_;
  FinishReason finish_ = FinishReason::kStop;
  std::string stop_sequence_;
  std::optional<Failure> failure_;
};

}  // namespace

std::unique_ptr<StreamRenderer> AnthropicMessagesClient::NewStreamRenderer(
    const RenderContext& context) const {
  return std::make_unique<MessageStreamRenderer>(context);
}

}  // namespace gateway
