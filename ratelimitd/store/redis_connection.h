// A connection to one Redis server that is ready for commands. Not thread-safe.
#pragma once

#include <hiredis/hiredis.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "ratelimitd/store/redis_socket.h"

namespace ratelimitd {

struct FreeRedisReply {
  void operator()(redisReply* reply) const { freeReplyObject(reply); }
};
using RedisReply = std::unique_ptr<redisReply, FreeRedisReply>;

class RedisConnection {
 public:
  struct Login {
    std::string username;  // with a password only
    std::string password;  // empty: none
    int database = 0;
  };

  // Connects and logs in. Unavailable, or FailedPrecondition: the server refuses that, in its own
  // words. The message names the address.
  static absl::StatusOr<std::unique_ptr<RedisConnection>> Open(const RedisAddress& address,
                                                               const RedisSettings& settings,
                                                               const Login& login,
                                                               const SocketDeadline& deadline);

  // "host:port", for people.
  const std::string& name() const { return name_; }

  // One command and its reply. Unavailable: the connection is of no use any more.
  // FailedPrecondition: the server refused; the message is its own, for instance "NOSCRIPT No
  // matching script".
  absl::StatusOr<RedisReply> Call(const std::vector<std::string_view>& words,
                                  const SocketDeadline& deadline);

 private:
  struct FreeReader {
    void operator()(redisReader* reader) const { redisReaderFree(reader); }
  };

  RedisConnection(std::string name, std::unique_ptr<RedisSocket> socket);

  const std::string name_;
  std::unique_ptr<RedisSocket> socket_;
  std::unique_ptr<redisReader, FreeReader> reader_;
};

}  // namespace ratelimitd
