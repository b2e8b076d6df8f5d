// A completion queue with the one thread that serves it, and the events it hands back.
//
// A call object owns itself from Listen until its last event. The events of one call never overlap,
// since all come from one thread. Operations may be started from any thread while the call lives.
#pragma once

#include <grpcpp/completion_queue.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

namespace ratelimitd {

// Names an operation in flight.
class Event {
 public:
  virtual ~Event() = default;
  // `ok` as gRPC's CompletionQueue::Next gives it. May delete the event's owner.
  virtual void Run(bool ok) = 0;
};

// Calls a method of its owner.
template <typename Owner>
class EventOf final : public Event {
 public:
  using Method = void (Owner::*)(bool ok);
  EventOf(Owner& owner, Method method) : owner_(owner), method_(method) {}
  void Run(bool ok) override { (owner_.*method_)(ok); }

 private:
  Owner& owner_;
  Method method_;
};

class CallQueue {
 public:
  explicit CallQueue(std::unique_ptr<grpc::ServerCompletionQueue> queue);
  // Waits until every call on it is over: shut the server down before.
  ~CallQueue();

  // Starts the thread. Without it the destructor's own thread takes the last events.
  void Start();
  grpc::ServerCompletionQueue* get() { return queue_.get(); }

  // Every call object holds its queue: gRPC allows no operation on one that was shut down.
  class Hold {
   public:
    explicit Hold(CallQueue& queue);
    ~Hold();
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;
    CallQueue& queue() const { return queue_; }

   private:
    CallQueue& queue_;
  };

 private:
  void Serve();

  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::mutex mutex_;
  std::condition_variable idle_;
  int calls_ = 0;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace ratelimitd
