// A value that a coroutine waits for and something else on the same thread delivers, once at a
// time. Not thread-safe: everything happens on one io_context's thread.
#pragma once

#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "absl/functional/any_invocable.h"

namespace gateway {

template <typename T>
class OneShot {
 public:
  // Waits for Deliver. At most one waiter; the object must live until it is resumed.
  boost::asio::awaitable<T> Wait() {
    return boost::asio::async_initiate<const boost::asio::use_awaitable_t<>, void(T)>(
        [this](auto handler) { handler_ = std::move(handler); }, boost::asio::use_awaitable);
  }

  bool HasWaiter() const { return static_cast<bool>(handler_); }

  // Resumes the waiter before it returns. Does nothing without one.
  void Deliver(T value) {
    if (!handler_) return;
    auto handler = std::exchange(handler_, nullptr);
    std::move(handler)(std::move(value));
  }

 private:
  absl::AnyInvocable<void(T) &&> handler_;
};

}  // namespace gateway
