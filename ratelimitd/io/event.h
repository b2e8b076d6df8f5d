// What a completion queue hands back: every operation in flight is named by an Event.
//
// All calls of this server run on completion queues with one thread each, so the events of one call
// never overlap. A call object owns itself from Listen until its last event.
#pragma once

namespace ratelimitd {

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

}  // namespace ratelimitd
