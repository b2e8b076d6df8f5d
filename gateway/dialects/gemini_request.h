// A neutral conversation as Gemini is asked it (GenerateContentRequest,
// ai.google.dev/api/generate-content). Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gateway/dialects/conversation.h"

namespace gateway {

struct GeminiBody {
  Json json;
  std::vector<std::string> dropped;  // in the client's words
};

// Failure kBadRequest: what Gemini cannot express, with the field's name.
std::variant<GeminiBody, Failure> BuildGeminiRequest(std::string_view model,
                                                     const Conversation& conversation);

// How a model is told how much to think. Gemini 2.5 counts tokens, later ones know levels, earlier
// ones and Gemma do not think and refuse to be told.
enum class GeminiThinking : uint8_t { kNone, kBudget, kLevel };
GeminiThinking GeminiThinkingOf(std::string_view model);

// What the parts of a request have in common: the first failure counts, each drop is named once.
class GeminiFindings {
 public:
  explicit GeminiFindings(const Conversation& conversation) : conversation_(conversation) {}

  void Drop(std::string name);
  void Drop(Field field);
  void Refuse(Field field);
  // `why` goes on after the name of the message: "holds ...".
  void Refuse(const Part& part, std::string_view why);

  std::optional<Failure> failure;
  std::vector<std::string> dropped;

 private:
  const Conversation& conversation_;
};

// Adds `systemInstruction` and `contents`. System and developer messages go into the instruction,
// wherever they stand; alone they are the user's turn, since Gemini wants one.
void AddGeminiContents(std::string_view model, const Conversation& conversation,
                       GeminiFindings& findings, Json& body);
// Adds `tools` and `toolConfig`.
void AddGeminiTools(std::string_view model, const Conversation& conversation,
                    GeminiFindings& findings, Json& body);

}  // namespace gateway
