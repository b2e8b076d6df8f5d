// What a response consists of: its output items and the object around them, the same for whole
// answers and for streams. Pure; not thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/dialects/translation.h"

namespace gateway {

// How reasoning is told (openai_responses.h).
enum class ReasoningForm : uint8_t { kSummary, kText };

struct ResponseItem {
  enum class Kind : uint8_t { kMessage, kReasoning, kFunctionCall };
  struct Content {
    Part::Kind kind = Part::Kind::kText;  // kText, kRefusal, kReasoning
    std::string text;
    Json logprobs = Json::array();
  };
  Kind kind = Kind::kMessage;
  std::string id;
  std::vector<Content> contents;  // not of function calls; of reasoning at most one
  std::string call_id;
  std::string name;
  std::string arguments;
  std::string signature;
  bool is_redacted = false;
};

inline constexpr std::string_view kInProgress = "in_progress";
inline constexpr std::string_view kCompleted = "completed";
inline constexpr std::string_view kIncomplete = "incomplete";

Json RenderContent(const ResponseItem::Content& content, ReasoningForm form);
Json RenderItem(const ResponseItem& item, std::string_view status, ReasoningForm form);

// The object around the output.
class ResponseFrame {
 public:
  explicit ResponseFrame(const RenderContext& context);

  // What the provider said of itself; texts may be empty, the time 0.
  struct Origin {
    const std::string& id;
    const std::string& model;
    int64_t created_at = 0;
  };
  void SetOrigin(const Origin& origin);

  const std::string& id() const { return id_; }
  ReasoningForm form() const { return form_; }
  // A new item of the response, the `index`th.
  ResponseItem NewItem(ResponseItem::Kind kind, size_t index) const;
  ResponseItem NewCall(size_t index, const std::string& call_id, const std::string& name) const;

  // The response before its end.
  std::string RenderInProgress() const;
  // The whole response. Items are complete, but the last one where the answer was cut.
  struct Ending {
    FinishReason finish = FinishReason::kStop;
    const Usage& usage;
    std::string_view service_tier = {};
  };
  std::string RenderWhole(const std::vector<ResponseItem>& items, const Ending& ending) const;
  static std::string_view StatusOf(FinishReason finish);
  static std::string_view ItemStatus(FinishReason finish, size_t index, size_t count);

 private:
  std::string Render(std::string_view status, const Json& incomplete_details,
                     std::string_view output, const Json& usage, const Json& service_tier) const;

  const RenderContext context_;
  ReasoningForm form_;
  std::string echo_;  // members of the response as JSON text
  std::string id_;
  std::string model_;
  int64_t created_at_ = 0;
};

}  // namespace gateway
