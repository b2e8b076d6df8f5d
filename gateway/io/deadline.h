// A deadline that is moved far more often than it expires. Moving it later costs nothing: the timer
// underneath is set again only when it fires too early, or must fire earlier than it is set.
// Not thread-safe: lives on one io_context's thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "common/clock.h"

namespace gateway {

class Deadline {
 public:
  // `on_expired` is called from the event loop at most once per Set, never after destruction.
  Deadline(boost::asio::io_context& context, absl::AnyInvocable<void()> on_expired)
      : state_(std::make_shared<State>(context, std::move(on_expired))) {}
  ~Deadline() {
    state_->is_set = false;
    state_->has_owner = false;
    state_->on_expired = nullptr;
    state_->timer.cancel();
  }
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

  void Set(common::MonotonicTime at) {
    state_->at = at;
    state_->is_set = true;
    if (!state_->is_armed || at < state_->armed_for) Arm(state_);
  }
  void Clear() { state_->is_set = false; }
  bool IsSet() const { return state_->is_set; }

 private:
  // Shared by the owner and the pending timer handler, which may outlive the owner by one turn.
  struct State {
    State(boost::asio::io_context& context, absl::AnyInvocable<void()> callback)
        : timer(context), on_expired(std::move(callback)) {}
    boost::asio::steady_timer timer;
    absl::AnyInvocable<void()> on_expired;
    common::MonotonicTime at;
    common::MonotonicTime armed_for;
    bool is_set = false;
    bool is_armed = false;
    bool has_owner = true;
  };

  static void Arm(const std::shared_ptr<State>& state) {
    state->is_armed = true;
    state->armed_for = state->at;
    state->timer.expires_at(state->at);  // Aborts an earlier wait.
    state->timer.async_wait([state](boost::system::error_code error) {
      if (error) return;
      OnTimer(state);
    });
  }

  static void OnTimer(const std::shared_ptr<State>& state) {
    state->is_armed = false;
    if (!state->is_set) return;
    if (state->at > state->armed_for) {
      Arm(state);
      return;
    }
    state->is_set = false;
    // The callback may end the owner, which must not destroy what is running.
    absl::AnyInvocable<void()> on_expired = std::move(state->on_expired);
    on_expired();
    if (state->has_owner) state->on_expired = std::move(on_expired);
  }

  std::shared_ptr<State> state_;
};

}  // namespace gateway
