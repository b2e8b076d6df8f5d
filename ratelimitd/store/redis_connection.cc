#include "ratelimitd/store/redis_connection.h"

#include "absl/strings/str_replace.h"
#include "common/concat.h"

namespace ratelimitd {
namespace {

using common::Concat;

// Of one reply; the state of a fleet is a thousandth of that.
constexpr size_t kMaxReplyBytes = size_t{64} << 20;

}  // namespace

RedisConnection::RedisConnection(std::string name, std::unique_ptr<RedisSocket> socket)
    : name_(std::move(name)), socket_(std::move(socket)), reader_(redisReaderCreate()) {}

absl::StatusOr<std::unique_ptr<RedisConnection>> RedisConnection::Open(
    const RedisAddress& address, const RedisSettings& settings, const Login& login,
    const SocketDeadline& deadline) {
  auto socket = RedisSocket::Connect(address, settings, deadline);
  if (!socket.ok()) return socket.status();
  std::unique_ptr<RedisConnection> connection(
      new RedisConnection(Concat(address.host, ":", address.port), *std::move(socket)));
  std::vector<std::string_view> words = {"AUTH"};
  if (!login.username.empty()) words.push_back(login.username);
  words.push_back(login.password);
  absl::Status status;
  if (!login.password.empty()) status = connection->Call(words, deadline).status();
  const std::string database = std::to_string(login.database);
  if (status.ok() && login.database != 0) {
    status = connection->Call({"SELECT", database}, deadline).status();
  }
  if (status.ok()) return connection;
  std::string why(status.message());
  // A server that knows no AUTH repeats what came with it.
  if (!login.password.empty()) why = absl::StrReplaceAll(why, {{login.password, "[redacted]"}});
  return absl::Status(status.code(), Concat(connection->name(), ": ", why));
}

absl::StatusOr<RedisReply> RedisConnection::Call(const std::vector<std::string_view>& words,
                                                 const SocketDeadline& deadline) {
  std::string command = Concat("*", words.size(), "\r\n");
  for (const std::string_view word : words) {
    command.append(Concat("$", word.size(), "\r\n"));
    command.append(word).append("\r\n");
  }
  if (absl::Status status = socket_->Write(command, deadline); !status.ok()) return status;
  size_t received = 0;
  for (;;) {
    void* raw = nullptr;
    if (redisReaderGetReply(reader_.get(), &raw) != REDIS_OK) {
      return absl::UnavailableError(Concat("not a Redis: ", std::string_view(reader_->errstr)));
    }
    if (raw != nullptr) {
      RedisReply reply(static_cast<redisReply*>(raw));
      if (reply->type != REDIS_REPLY_ERROR) return reply;
      return absl::FailedPreconditionError(
          Concat(std::string_view(reply->str, static_cast<size_t>(reply->len))));
    }
    auto piece = socket_->ReadSome(deadline);
    if (!piece.ok()) return piece.status();
    received += piece->size();
    if (received > kMaxReplyBytes) return absl::UnavailableError("a reply of absurd size");
    redisReaderFeed(reader_.get(), piece->data(), piece->size());
  }
}

}  // namespace ratelimitd
