// One server stream on a completion queue that shows the newest state: while a message is being
// written nothing is queued, the next tick tells what changed meanwhile.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/async_stream.h>
#include <prometheus/gauge.h>

#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#include "ratelimitd/io/call_queue.h"
#include "ratelimitd/io/rpc_error.h"
#include "ratelimitd/io/watch_hub.h"

namespace ratelimitd {

template <typename Service, typename Request, typename Response>
class WatchCall final : public Watcher,
                        public std::enable_shared_from_this<WatchCall<Service, Request, Response>> {
 public:
  using RequestMethod = void (Service::*)(grpc::ServerContext*, Request*,
                                          grpc::ServerAsyncWriter<Response>*,
                                          grpc::CompletionQueue*, grpc::ServerCompletionQueue*,
                                          void*);
  using MakeSource = std::function<std::unique_ptr<WatchSource<Response>>(const Request&)>;

  // What every call of one method needs; all but the function must outlive the server.
  struct Method {
    Service& service;
    RequestMethod request;
    MakeSource make_source;
    WatchHub& hub;
    prometheus::Gauge& open_calls;
  };

  static void Listen(const Method& method, CallQueue& queue) {
    std::shared_ptr<WatchCall> call(new WatchCall(method, queue));
    call->self_ = call;
    call->context_.AsyncNotifyWhenDone(&call->on_done_);
    (method.service.*method.request)(&call->context_, &call->request_, &call->writer_, queue.get(),
                                     queue.get(), &call->on_start_);
  }

  void OnTick(const WatchTick& tick) override {
    const std::lock_guard lock(mutex_);
    is_behind_ = is_writing_;
    if (is_writing_ || is_finishing_ || is_done_) return;
    response_.Clear();
    if (!source_->Next(tick, response_)) return;
    // There may be more than one message can say.
    is_behind_ = source_->version() < tick.version;
    is_writing_ = true;
    writer_.Write(response_, &on_write_);
  }

  uint64_t version() override {
    const std::lock_guard lock(mutex_);
    return source_->version();
  }

  void OnDrain() override { End(DrainingError()); }

 private:
  WatchCall(const Method& method, CallQueue& queue) : method_(method), hold_(queue) {}

  void OnStart(bool ok) {
    if (!ok) {
      self_.reset();
      return;
    }
    Listen(method_, hold_.queue());
    method_.open_calls.Increment();
    {
      const std::lock_guard lock(mutex_);
      source_ = method_.make_source(request_);
    }
    if (!method_.hub.Add(self_)) {
      End(MakeRpcError(grpc::StatusCode::RESOURCE_EXHAUSTED, "TOO_MANY_WATCHERS",
                       "too many streams are open; close one or ask again later", kRoomInAWhile));
    }
  }

  void OnWrite(bool) {
    const auto keep = self_;
    bool is_behind = false;
    {
      const std::lock_guard lock(mutex_);
      is_writing_ = false;
      is_behind = is_behind_;
      if (is_ending_) FinishNow();
      LetGoWhenOver();
    }
    if (is_behind) method_.hub.Wake();
  }

  void OnFinish(bool) {
    const auto keep = self_;
    const std::lock_guard lock(mutex_);
    is_finished_ = true;
    LetGoWhenOver();
  }

  // The call is over for gRPC: answered, cancelled, or the connection is gone.
  void OnDone(bool) {
    const auto keep = self_;
    method_.open_calls.Decrement();
    const std::lock_guard lock(mutex_);
    is_done_ = true;
    LetGoWhenOver();
  }

  void End(const grpc::Status& status) {
    const std::lock_guard lock(mutex_);
    if (is_ending_ || is_done_) return;
    is_ending_ = true;
    end_ = status;
    if (!is_writing_) FinishNow();
  }

  void FinishNow() {
    if (is_finishing_ || is_done_) return;
    is_finishing_ = true;
    writer_.Finish(end_, &on_finish_);
  }

  void LetGoWhenOver() {
    if (is_done_ && !is_writing_ && is_finishing_ == is_finished_) self_.reset();
  }

  const Method method_;
  CallQueue::Hold hold_;
  grpc::ServerContext context_;
  Request request_;
  grpc::ServerAsyncWriter<Response> writer_{&context_};
  EventOf<WatchCall> on_start_{*this, &WatchCall::OnStart};
  EventOf<WatchCall> on_write_{*this, &WatchCall::OnWrite};
  EventOf<WatchCall> on_finish_{*this, &WatchCall::OnFinish};
  EventOf<WatchCall> on_done_{*this, &WatchCall::OnDone};
  // Shared by the operations in flight and, for a moment, by the hub.
  std::shared_ptr<WatchCall> self_;

  std::mutex mutex_;
  std::unique_ptr<WatchSource<Response>> source_;  // guarded by mutex_, as all below
  Response response_;
  grpc::Status end_;
  bool is_writing_ = false;
  bool is_behind_ = false;  // something may have changed while a message was written
  bool is_ending_ = false;
  bool is_finishing_ = false;
  bool is_finished_ = false;
  bool is_done_ = false;
};

}  // namespace ratelimitd
