// Fields that OpenAI's APIs (chat completions, completions, responses) have in common. Pure.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "gateway/dialects/conversation.h"
#include "gateway/dialects/request_reader.h"

namespace gateway {

// stream, stream_options, stop, temperature, top_p, top_k, n, seed, penalties, logit_bias.
void ParseOpenAiSampling(RequestReader& reader, Conversation& conversation);

// name, description, schema, strict of a JSON schema that the output must obey.
void ParseJsonSchemaFormat(RequestReader& reader, OutputFormat& format);

// "data:image/png;base64,..." becomes media type and data, anything else the part's URL.
void SetUrlOrData(std::string text, Part& part);
// Whether `url` has one of `schemes` and a host, and nothing that no URL has.
bool IsWebUrl(std::string_view url, std::initializer_list<std::string_view> schemes);
// "image/jpg; charset=x" as "image/jpeg": in lower case, without parameters, by its real name.
std::string NormalMediaType(std::string_view type);
// The other way round: the URL, or a data URL.
std::string UrlOf(const Part& part);

// extra_content.google.thought_signature of a tool call, or an empty text.
std::string ReadThoughtSignature(const Json& tool_call);

}  // namespace gateway
