// One unary RPC on a completion queue: waits for a request, hands it to a handler, sends the answer
// when the handler is done, and starts over with a new call object.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/async_unary_call.h>

#include <functional>

#include "ratelimitd/io/call_queue.h"

namespace ratelimitd {

// Ends a call; to be called exactly once, from any thread.
using Finish = std::function<void(const grpc::Status&)>;

template <typename Service, typename Request, typename Response>
class UnaryCall {
 public:
  using Handler = std::function<void(const grpc::ServerContext& context, const Request& request,
                                     Response& response, const Finish& finish)>;
  using RequestMethod = void (Service::*)(grpc::ServerContext*, Request*,
                                          grpc::ServerAsyncResponseWriter<Response>*,
                                          grpc::CompletionQueue*, grpc::ServerCompletionQueue*,
                                          void*);

  // Takes calls until the server shuts down. `service` and `queue` must outlive that.
  static void Listen(Service& service, RequestMethod method, CallQueue& queue, Handler handler) {
    new UnaryCall(service, method, queue, std::move(handler));
  }

 private:
  UnaryCall(Service& service, RequestMethod method, CallQueue& queue, Handler handler)
      : service_(service), method_(method), hold_(queue), handler_(std::move(handler)) {
    (service_.*method_)(&context_, &request_, &writer_, hold_.queue().get(), hold_.queue().get(),
                        &on_request_);
  }

  void OnRequest(bool ok) {
    if (!ok) {
      delete this;
      return;
    }
    Listen(service_, method_, hold_.queue(), handler_);
    handler_(context_, request_, response_, [this](const grpc::Status& status) {
      if (status.ok()) {
        writer_.Finish(response_, status, &on_finish_);
      } else {
        writer_.FinishWithError(status, &on_finish_);
      }
    });
  }

  void OnFinish(bool) { delete this; }

  Service& service_;
  RequestMethod method_;
  CallQueue::Hold hold_;
  Handler handler_;
  grpc::ServerContext context_;
  Request request_;
  Response response_;
  grpc::ServerAsyncResponseWriter<Response> writer_{&context_};
  EventOf<UnaryCall> on_request_{*this, &UnaryCall::OnRequest};
  EventOf<UnaryCall> on_finish_{*this, &UnaryCall::OnFinish};
};

}  // namespace ratelimitd
