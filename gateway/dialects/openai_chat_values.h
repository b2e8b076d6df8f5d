// Small values of chat completions that whole answers and streams share, and tolerant access to the
// members of a provider's JSON: what has another type than expected counts as absent. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/dialects/conversation.h"

namespace gateway {

// The member, or null when `json` is no object or has none of that name.
const Json& MemberOf(const Json& json, const char* name);
std::string TextAt(const Json& json, const char* name);
// A count that is no negative number and not absurdly large; else 0.
int64_t CountAt(const Json& json, const char* name);

// Adds a part of this kind unless `text` is empty.
void AddText(Part::Kind kind, std::string text, std::vector<Part>& parts);
// The texts and the reasoning in a message's `content`, which is a text or, with Mistral, an array.
std::vector<Part> ContentOf(const Json& message);
// Output that no neutral part holds: images, audio, a function call of before tools were, items of
// `content` that are neither text nor reasoning. References to sources are decoration.
bool HasForeignOutput(const Json& message);
// The failure that it is: better than an answer without it.
Failure ForeignOutput(int status);

// `reasoning_content`, or `reasoning` as others call it.
std::string ReasoningOf(const Json& message);
// A function call's arguments as JSON text; some servers send an object instead of text.
std::string ArgumentsOf(const Json& function);
// For servers that give a call no id: unique within the answer.
std::string MadeUpCallId(const std::string& answer_id, size_t index);
Json RenderThoughtSignature(const std::string& signature);

// Some servers say "stop" beside tool calls.
FinishReason ReadOpenAiFinishReason(std::string_view text, bool has_tool_calls);
Usage ReadOpenAiUsageObject(const Json& usage);

}  // namespace gateway
