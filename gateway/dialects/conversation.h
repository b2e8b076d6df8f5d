// The neutral conversation: what a client asks and what a model answers, in no dialect. Client
// dialects read and write it on one side, provider dialects on the other, so that N and M of them
// cost N + M adapters. Values without behaviour; pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/core/endpoint.h"
#include "gateway/core/outcome.h"
#include "gateway/core/small_json.h"

namespace gateway {

// A piece of a message. Only the fields of its kind are set.
struct Part {
  enum class Kind : uint8_t {
    kText,        // text
    kRefusal,     // text
    kReasoning,   // text; signature; is_redacted
    kImage,       // url, or data with media_type; detail
    kFile,        // url, or data with media_type; name
    kAudio,       // data with media_type
    kToolCall,    // id, name, text: the arguments as JSON text, as the model wrote them; signature
    kToolResult,  // id of the call; content; is_error; name when known
  };
  Kind kind = Kind::kText;
  std::string text;
  std::string id;
  std::string name;
  std::string url;
  std::string media_type;  // "image/png"
  std::string data;        // base64
  std::string detail;      // "low", "high", "auto"; empty: not said
  // Opaque proof by which a provider knows its own reasoning again (Anthropic's `signature` and
  // redacted `data`, Gemini's `thoughtSignature`, Responses' `encrypted_content`).
  std::string signature;
  bool is_redacted = false;  // the reasoning's text is hidden inside the signature
  bool is_error = false;
  std::vector<Part> content;  // of a tool result: text, images, files
  std::string path = {};      // in the client's request: "input[2].content[0]"; empty: an answer's
};

enum class Role : uint8_t { kSystem, kDeveloper, kUser, kAssistant, kTool };

// A message of kTool holds tool results only; results appear nowhere else.
struct Message {
  Role role = Role::kUser;
  std::vector<Part> parts;
  std::string name;       // of the participant; empty: none
  std::string path = {};  // in the client's request: "messages[2]"
};

struct Tool {
  std::string name;
  std::string description;
  Json parameters;  // JSON Schema; null: none given
  std::optional<bool> strict;
};

struct ToolChoice {
  enum class Kind : uint8_t { kUnset, kAuto, kNone, kRequired, kNamed };
  Kind kind = Kind::kUnset;
  std::string name;  // kNamed
};

struct OutputFormat {
  enum class Kind : uint8_t { kText, kJsonObject, kJsonSchema };
  Kind kind = Kind::kText;
  std::string name;
  std::string description;
  Json schema;
  std::optional<bool> strict;
};

// "none", "minimal", "low", "medium", "high", "xhigh" as OpenAI names them; empty: not said.
struct Reasoning {
  std::string effort;
  std::optional<int64_t> budget_tokens;  // Anthropic, Gemini
  std::string summary;                   // Responses: "auto", "concise", "detailed"
  bool is_disabled = false;              // Anthropic's {"type":"disabled"}
};

// What can be refused or dropped, with a name in each client dialect.
enum class Field : uint8_t {
  kTemperature,
  kTopP,
  kTopK,
  kMaxOutputTokens,
  kStop,
  kSeed,
  kFrequencyPenalty,
  kPresencePenalty,
  kCandidates,
  kLogprobs,
  kTopLogprobs,
  kLogitBias,
  kTools,
  kToolChoice,
  kParallelToolCalls,
  kOutputFormat,
  kReasoning,
  kUser,
  kMetadata,
  kServiceTier,
  kMessages,
  kVerbosity,
};

// As clients of `endpoint` call the field: "max_completion_tokens", "max_output_tokens",
// "max_tokens".
std::string_view FieldName(Endpoint endpoint, Field field);

struct Conversation {
  Endpoint endpoint = Endpoint::kChatCompletions;  // the client's
  std::string model;                               // as the client named it
  bool is_stream = false;
  // Chat: the client wants the usage chunk at the end of a stream.
  bool wants_stream_usage = false;
  std::vector<Message> messages;
  std::vector<Tool> tools;
  ToolChoice tool_choice;
  std::optional<bool> parallel_tool_calls;
  OutputFormat format;
  Reasoning reasoning;
  std::vector<std::string> stop;
  std::optional<double> temperature;
  std::optional<double> top_p;
  std::optional<int64_t> top_k;
  std::optional<int64_t> max_output_tokens;
  std::optional<int64_t> seed;
  std::optional<double> frequency_penalty;
  std::optional<double> presence_penalty;
  int64_t candidates = 1;
  bool logprobs = false;
  std::optional<int64_t> top_logprobs;
  Json logit_bias;           // object, or null
  std::string verbosity;     // "low", "medium", "high"; empty: not said
  std::string user;          // the caller's end user, opaque
  Json metadata;             // object, or null
  std::string service_tier;  // empty: not said
  // What an answer in the client's dialect repeats of the request (Responses); null: nothing.
  Json echo;
  // Fields of the client's dialect that its parser has dropped by the documented rule (README),
  // in the client's words. Shown in `x-candor-dropped`.
  std::vector<std::string> dropped;
};

// What no provider can answer: nothing is said, a call is demanded of no tool, a stop word is
// empty. Failure kBadRequest with `param` naming the field in the client's words.
std::optional<Failure> FindContradiction(const Conversation& conversation);

// The caller asks for what a provider of `dialect` cannot do: kBadRequest with `param` naming the
// field in the client's words and the code "unsupported_parameter".
Failure RefuseField(const Conversation& conversation, Field field, std::string_view dialect);
// As above for a place inside a field: `path` like "messages[2].content[0].type", `why` a sentence.
// Paths are those of the client's own request, which Part and Message carry.
Failure RefuseAt(std::string_view path, std::string why);
// As above for a part or a message of the conversation, by its `path`: `why` goes on after the
// name.
Failure RefusePlace(const Conversation& conversation, std::string_view path, std::string_view why);

enum class FinishReason : uint8_t {
  kStop,          // the model was done
  kStopSequence,  // it wrote one of the stop sequences, where the provider tells this apart
  kLength,
  kToolCalls,
  kContentFilter,
  kRefusal,
  kPause,  // Anthropic's pause_turn: the turn may be continued
};

// Totals: input includes what was cached, output includes reasoning.
struct Usage {
  int64_t input_tokens = 0;
  int64_t cached_input_tokens = 0;    // read from a cache
  int64_t cache_creation_tokens = 0;  // written to one (Anthropic)
  int64_t output_tokens = 0;
  int64_t reasoning_tokens = 0;
  bool is_known = false;  // the provider said something
  int64_t Total() const { return input_tokens + output_tokens; }
};

struct Choice {
  std::vector<Part> parts;  // text, refusal, reasoning, tool calls, in the model's order
  FinishReason finish = FinishReason::kStop;
  std::string stop_sequence;
  Json logprobs;  // OpenAI's object {"content": [...]}, or null
};

struct Answer {
  std::string id;  // the provider's; may be empty
  std::string model;
  int64_t created_at = 0;  // Unix seconds; 0: the provider did not say
  std::vector<Choice> choices;
  Usage usage;
  std::string service_tier;
  std::string system_fingerprint;
};

// An answer without any output is none, unless a telling finish reason or counted output tokens
// show that the model ran (see JudgeOpenAiAnswer).
bool IsEmpty(const Answer& answer);

// One step of a streamed answer.
struct Delta {
  enum class Kind : uint8_t {
    kStart,          // id, model, created_at; at most once, first
    kText,           // text of part `part`
    kRefusal,        // text of part `part`
    kReasoning,      // text of part `part`
    kSignature,      // text: signature of reasoning or of a tool call, part `part`
    kToolCall,       // begins part `part`: id, name; text: first arguments, may be empty
    kToolArguments,  // text: more arguments of part `part`
    kLogprobs,       // logprobs of the choice, to be appended
    kUsage,          // usage so far; the last one counts
    kFinish,         // finish, stop_sequence; once per choice
  };
  Kind kind = Kind::kText;
  int choice = 0;
  // Which part of the choice is continued. Parts are numbered from 0 without gaps in the order of
  // their beginning; a delta of a new number begins a part of the kind it implies.
  int part = 0;
  std::string text;
  std::string id;
  std::string name;
  std::string model;
  int64_t created_at = 0;
  bool is_redacted = false;  // kReasoning or kSignature
  FinishReason finish = FinishReason::kStop;
  std::string stop_sequence;
  Usage usage;
  Json logprobs;
};

// The kind of the part that it begins or continues.
Part::Kind PartKindOf(const Delta& delta);
// Whether the model has begun to answer with this (DESIGN section 3, commit point).
bool IsOutput(const Delta& delta);

// Appends the token lists of one logprobs object to another.
void AddLogprobs(const Json& more, Json& all);

// Puts a streamed answer together. Not thread-safe.
class AnswerBuilder {
 public:
  void Add(const Delta& delta);
  const Answer& answer() const { return answer_; }

 private:
  Choice& ChoiceAt(int index);
  Part& PartAt(const Delta& delta);

  Answer answer_;
};

}  // namespace gateway
