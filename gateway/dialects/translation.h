// The two halves of a translation: what a client's dialect does with a neutral conversation, and
// what turns a provider's stream into neutral deltas. Pure; not thread-safe where they have state.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gateway/core/outcome.h"
#include "gateway/core/sse.h"
#include "gateway/dialects/conversation.h"

namespace gateway {

// Writes a streamed answer in the client's dialect.
class StreamRenderer {
 public:
  virtual ~StreamRenderer() = default;
  // Appends the events for `delta` to `out`.
  virtual void Render(const Delta& delta, std::string& out) = 0;
  // Appends what ends a complete stream, the dialect's marker of success included. Called once,
  // after kFinish of every choice.
  virtual void RenderEnd(std::string& out) = 0;
  // Set when what has come cannot be told in this dialect; nothing may be rendered after it.
  virtual std::optional<Failure> failure() const { return std::nullopt; }
  // Of a Responses stream: the number of the next event, and the id of the response.
  virtual int64_t sequence_number() const { return 0; }
  virtual std::string response_id() const { return {}; }
};

// What surrounds an answer that is rendered.
struct RenderContext {
  const Conversation& conversation;  // must outlive the renderer
  std::string id;                    // fresh and unique: for what the provider gave no id
  int64_t now_seconds = 0;           // Unix time, for providers that give none
};

// A client's dialect. Without state, shared by all threads.
class ClientDialect {
 public:
  virtual ~ClientDialect() = default;
  // `body` has passed ScanRequest. Failure kBadRequest with `param`: a value of a wrong type or out
  // of range, a field that no provider can be asked for through translation.
  virtual std::variant<Conversation, Failure> ParseRequest(std::string_view body) const = 0;
  // The body of a complete answer.
  virtual std::string RenderAnswer(const Answer& answer, const RenderContext& context) const = 0;
  virtual std::unique_ptr<StreamRenderer> NewStreamRenderer(const RenderContext& context) const = 0;
};

// The dialect of an endpoint; nullptr for what is no conversation.
const ClientDialect* FindClientDialect(Endpoint endpoint);

// What one event of a provider's stream amounted to.
struct EventVerdict {
  enum class Kind : uint8_t {
    kGoesOn,
    kComplete,  // the dialect's own end marker
    kError,     // the event is an error or no event of this dialect: classify its data
  };
  Kind kind = Kind::kGoesOn;
  // For errors that the dialect itself tells apart (a prompt that was blocked); classified from the
  // event's data when absent.
  std::optional<Failure> failure = std::nullopt;
};

// Reads a provider's stream, event by event.
class DeltaParser {
 public:
  virtual ~DeltaParser() = default;
  // `event` has data. Appends to `deltas`.
  virtual EventVerdict Take(const SseEvent& event, std::vector<Delta>& deltas) = 0;
  // The provider has closed a well-formed body without kComplete. kComplete when this dialect ends
  // so (Gemini has no end marker) and the answer is whole, with the last deltas; kError with a
  // failure when it has ended and is no answer; kGoesOn: it broke off.
  virtual EventVerdict TakeEnd(std::vector<Delta>&) { return {EventVerdict::Kind::kGoesOn}; }
};

}  // namespace gateway
