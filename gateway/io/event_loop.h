// What everything on one event loop's thread shares. Not thread-safe by design: one per thread.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <random>
#include <string>
#include <vector>

#include "common/clock.h"

namespace gateway {

// How a coroutine waits: for a tuple that begins with the error, since nothing throws.
inline constexpr auto kAwait = boost::asio::as_tuple(boost::asio::use_awaitable);

struct EventLoop {
  explicit EventLoop(const common::Clock& the_clock)
      : clock(the_clock), random(std::random_device{}()) {}

  // A number in [0, 1).
  double Chance() { return static_cast<double>(random() >> 11) * 0x1.0p-53; }

  boost::asio::io_context context{1};
  const common::Clock& clock;
  // Bytes just read; whoever reads uses them before it waits again.
  std::vector<char> scratch = std::vector<char>(64 << 10);
  // One TLS record, between being put together and being encrypted.
  std::vector<char> record = std::vector<char>(16 << 10);
  std::mt19937_64 random;
};

}  // namespace gateway
