// One TCP connection, with or without TLS, whose every operation ends by a deadline. Not
// thread-safe.
#pragma once

#include <openssl/ssl.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/clock.h"
#include "ratelimitd/store/redis_settings.h"

namespace ratelimitd {

// A moment to be met, by the clock that is to be asked.
struct SocketDeadline {
  const common::Clock& clock;
  common::MonotonicTime at;
};

class RedisSocket {
 public:
  // Resolving the name may take longer than the deadline: not for a thread that has others waiting.
  // Unavailable: the message names the address and the reason.
  static absl::StatusOr<std::unique_ptr<RedisSocket>> Connect(const RedisAddress& address,
                                                              const RedisSettings& settings,
                                                              const SocketDeadline& deadline);
  ~RedisSocket();
  RedisSocket(const RedisSocket&) = delete;
  RedisSocket& operator=(const RedisSocket&) = delete;

  // Unavailable: the connection is of no use any more.
  absl::Status Write(std::string_view bytes, const SocketDeadline& deadline);
  // At least one byte.
  absl::StatusOr<std::string_view> ReadSome(const SocketDeadline& deadline);

 private:
  struct FreeSsl {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  };

  explicit RedisSocket(int descriptor) : descriptor_(descriptor) {}
  absl::Status StartTls(const RedisAddress& address, const RedisSettings& settings,
                        const SocketDeadline& deadline);
  absl::Status Wait(short events, const SocketDeadline& deadline) const;
  // After an SSL call that gave `result`: OK when it is to be called again.
  absl::Status WaitForTls(int result, const SocketDeadline& deadline) const;

  int descriptor_;
  std::unique_ptr<SSL_CTX, FreeSsl> context_;
  std::unique_ptr<SSL, FreeSsl> ssl_;
  char buffer_[16384];
};

}  // namespace ratelimitd
