// How one target serves one client's request: relayed when the client speaks the provider's
// dialect, else translated through the neutral conversation. Pure; not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gateway/dialects/dialect.h"

namespace gateway {

// A client's request as far as a provider's dialect matters. References must outlive it.
class ClientAsk {
 public:
  ClientAsk(Endpoint endpoint, const RequestScan& scan, std::string_view body,
            std::string_view request_id, int64_t now_seconds)
      : endpoint_(endpoint),
        scan_(scan),
        body_(body),
        request_id_(request_id),
        now_seconds_(now_seconds) {}

  Endpoint endpoint() const { return endpoint_; }
  const RequestScan& scan() const { return scan_; }
  std::string_view body() const { return body_; }
  std::string_view request_id() const { return request_id_; }
  int64_t now_seconds() const { return now_seconds_; }
  // Parsed when a target first needs it, once.
  const std::variant<Conversation, Failure>& conversation();

 private:
  Endpoint endpoint_;
  const RequestScan& scan_;
  std::string_view body_;
  std::string_view request_id_;
  int64_t now_seconds_;
  std::optional<std::variant<Conversation, Failure>> conversation_;
};

// How a provider of OpenAI's dialect serves clients of the Responses API.
enum class ResponsesMode : uint8_t {
  kAuto,        // natively until it says that it has no such route
  kNative,      // by its own Responses API
  kTranslated,  // through chat completions
};
enum class ResponsesService : uint8_t { kNative, kTranslated };
// `is_route_missing`: the provider has said so.
ResponsesService ChooseResponses(ResponsesMode mode, bool is_route_missing);

// Whether a target is asked in the client's own words.
bool IsRelayed(const Dialect& dialect, Endpoint endpoint, ResponsesService responses);

class ProviderCall {
 public:
  virtual ~ProviderCall() = default;
  // Valid while the call and the client's body live.
  const UpstreamRequest& request() const { return request_; }
  // Whole header lines, each ending in CRLF, that have nothing to do with the dialect.
  void AddHeaders(std::string_view lines);
  // What was left out of the request, in the client's words.
  const std::vector<std::string>& dropped() const { return dropped_; }

  // Judges the complete answer, whose text `reply` views in `body`, and makes `body` the client's.
  virtual std::optional<Failure> TakeReply(const UpstreamReply& reply, std::string& body) = 0;
  // For a 2xx whose content type is an event stream. The call must outlive it.
  virtual std::unique_ptr<StreamReader> NewStreamReader() = 0;
  // After TakeReply: tokens as the provider counted them; 0 when it did not say.
  int64_t tokens_used() const { return tokens_used_; }
  // After TakeReply: the provider has no route for this endpoint, so what failed says nothing of
  // the model. The same target may be asked in translation instead.
  bool has_no_route() const { return has_no_route_; }
  // Takes from a failure the words that clients of this request would not know.
  virtual void FitWords(Failure&) const {}

 protected:
  UpstreamRequest request_;
  std::vector<std::string> dropped_;
  int64_t tokens_used_ = 0;
  bool has_no_route_ = false;
};

// A failure is the caller's: the target cannot do what is asked, or the request is malformed.
// `ask` and `provider` must outlive the call.
std::variant<std::unique_ptr<ProviderCall>, Failure> PlanCall(const Dialect& dialect,
                                                              const ProviderEndpoint& provider,
                                                              std::string_view model,
                                                              ResponsesService responses,
                                                              ClientAsk& ask);

}  // namespace gateway
