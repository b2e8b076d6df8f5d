// What the gateway needs to know of a provider's API. One object per dialect, without state, shared
// by all threads; one StreamReader per streamed attempt.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/clock.h"
#include "gateway/core/client_request.h"
#include "gateway/core/endpoint.h"
#include "gateway/core/headers.h"
#include "gateway/core/outcome.h"
#include "gateway/dialects/conversation.h"
#include "gateway/dialects/translation.h"

namespace gateway {

enum class StreamUsage : uint8_t {
  kAuto,   // where the provider is known to take the option
  kAsk,    // always
  kLeave,  // never
};

// The configured provider as far as the wire needs it.
struct ProviderEndpoint {
  std::string host;         // for the Host header: "api.openai.com" or "10.0.0.1:8000"
  std::string base_path;    // "/v1" or empty; never ends in '/'
  std::string api_version;  // azure
  std::string credential;   // empty: none
  // Whether relayed streams are made to tell their tokens, see RequestScan::usage_edit.
  StreamUsage stream_usage = StreamUsage::kAuto;
};

// A request ready to be sent: `head` ends in the empty line, the body is the pieces one after
// another.
struct UpstreamRequest {
  std::string head;
  // Views into the client's body and into `rewritten`; valid while both live.
  std::vector<std::string_view> body;
  std::string rewritten;
  // The stream will tell its tokens only because we ask, not the client.
  bool asks_for_usage = false;
};

// What a client gets of the chunk that tells nothing but a stream's tokens.
enum class UsageChunk : uint8_t { kPassed, kTakenOut };

// A complete answer, not streamed.
struct UpstreamReply {
  int status = 0;
  const Headers& headers;
  std::string_view body;
  common::WallTime received_at;
};

// What a piece of a provider's stream meant to the client.
struct StreamStep {
  // Bytes for the client, in its dialect; empty while held back before the commit point.
  std::string client_bytes;
  // The model has begun to answer: from now on the status is out.
  bool is_committed = false;
  // The dialect's own end marker was seen: the stream is complete.
  bool is_complete = false;
  // Set once; nothing of the failure itself is in client_bytes.
  std::optional<Failure> failure;
};

// Where a stream of events stands that clients number (Responses).
struct StreamPosition {
  int64_t next_sequence_number = 0;
  std::string response_id;
};

class StreamReader {
 public:
  virtual ~StreamReader() = default;
  // The next bytes of the provider's body, cut anywhere. Not called after failure or completion.
  virtual StreamStep Feed(std::string_view bytes) = 0;
  // The provider closed the body. Without the end marker before it, this is a failure.
  virtual StreamStep Finish() = 0;
  // Input and output tokens as the provider counted them; 0 when it did not say.
  virtual int64_t TokensUsed() const = 0;
  virtual StreamPosition position() const { return {}; }
};

// How a client wants its embeddings.
struct EmbeddingsForm {
  size_t count = 0;        // of texts, each of which has one vector
  bool is_base64 = false;  // 32-bit floats, little-endian, instead of numbers
};

// A conversation, or texts to be embedded, in a provider's dialect.
struct TranslatedRequest {
  UpstreamRequest request;
  // Fields that the provider cannot honour and that are dropped by the documented rule (README), in
  // the client's words.
  std::vector<std::string> dropped;
  EmbeddingsForm embeddings = {};
};

class Dialect {
 public:
  virtual ~Dialect() = default;
  virtual std::string_view name() const = 0;

  // The header that carries the provider's request id, in lower case.
  virtual std::string_view RequestIdHeader() const = 0;
  // Whether its error objects are those that clients of `endpoint` know, so that its words may stay
  // verbatim.
  virtual bool SpeaksErrorsOf(Endpoint endpoint) const = 0;

  // Relaying: whether clients of `endpoint` speak this dialect themselves. The rest of this group
  // is for such endpoints only.
  virtual bool Relays(Endpoint endpoint) const = 0;
  // `model` is the target's name for the model.
  virtual UpstreamRequest BuildRelay(const ProviderEndpoint& provider, Endpoint endpoint,
                                     std::string_view model, const RequestScan& scan,
                                     std::string_view client_body) const = 0;
  // Nothing when the model has answered; else what went wrong, told by status, headers and body
  // together. A 2xx is inspected too: P1 says that a 2xx means the model answered.
  virtual std::optional<Failure> ClassifyReply(Endpoint endpoint,
                                               const UpstreamReply& reply) const = 0;
  // For a 2xx whose content type is an event stream.
  virtual std::unique_ptr<StreamReader> NewRelayedStream(Endpoint endpoint,
                                                         UsageChunk usage_chunk) const = 0;
  // Tokens of a complete successful answer; 0 when it did not say.
  virtual int64_t TokensUsed(Endpoint endpoint, std::string_view body) const = 0;

  // Translating, for clients of any other dialect. Failure kBadRequest (RefuseField, RefuseAt) for
  // what this dialect cannot express.
  virtual std::variant<TranslatedRequest, Failure> BuildConversation(
      const ProviderEndpoint& provider, std::string_view model,
      const Conversation& conversation) const = 0;
  // The complete answer, or what went wrong, as ClassifyReply does.
  virtual std::variant<Answer, Failure> ReadAnswer(const UpstreamReply& reply) const = 0;
  virtual std::unique_ptr<DeltaParser> NewDeltaParser() const = 0;

  // Embeddings for clients of OpenAI's API. `client_body` has passed ScanRequest. Refused with 400
  // where the provider has none.
  virtual std::variant<TranslatedRequest, Failure> BuildEmbeddings(
      const ProviderEndpoint& provider, std::string_view model, std::string_view client_body) const;
  // Turns the provider's complete answer in `body`, which `reply` views, into OpenAI's.
  virtual std::optional<Failure> TranslateEmbeddings(const UpstreamReply& reply,
                                                     std::string_view model,
                                                     const EmbeddingsForm& form,
                                                     std::string& body) const;
};

// The dialect called `name` in the configuration, or nullptr. Lives for the whole program.
const Dialect* FindDialect(std::string_view name);
// Their names, in the order of the one explicit list.
std::vector<std::string_view> DialectNames();

// RFC 3986 2.3: what is not unreserved is written as %XX.
std::string PercentEncode(std::string_view text);

// What is the same in every request: POST with a JSON body that is sent as `pieces`. `credential`
// holds whole header lines, each ending in CRLF.
struct RequestHead {
  const ProviderEndpoint& provider;
  std::string_view path;  // with its query
  std::string_view credential;
  bool is_stream = false;
};
std::string RenderRequestHead(const RequestHead& head, size_t body_size);
// A whole request around a body that was built here.
UpstreamRequest MakeRequest(const RequestHead& head, std::string body);
enum class UsageQuestion : uint8_t { kNotAsked, kAsked };
// The client's body with the target's name for the model in its place, and with `scan.usage_edit`,
// where there is one, when the usage is asked for.
UpstreamRequest MakeRelay(const RequestHead& head, std::string_view model, const RequestScan& scan,
                          std::string_view client_body,
                          UsageQuestion usage = UsageQuestion::kNotAsked);

}  // namespace gateway
