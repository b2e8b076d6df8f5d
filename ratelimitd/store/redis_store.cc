#include "ratelimitd/store/redis_store.h"

#include <openssl/sha.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/concat.h"
#include "ratelimitd/store/redis_scripts.h"

namespace ratelimitd {
namespace {

using common::Concat;
using std::chrono::milliseconds;

constexpr milliseconds kConnectTimeout = std::chrono::seconds(1);
constexpr milliseconds kFirstRetry{50};
constexpr milliseconds kLastRetry = std::chrono::seconds(1);
// Refused is one request and not the next, while one key is in the way: it works again when none
// has been for this long. Every replica asks once a second at least.
constexpr milliseconds kWithoutRefusal = std::chrono::seconds(3);
constexpr std::string_view kHostLifetimeMs = "60000";
constexpr std::string_view kProviderLifetimeMs = "600000";
// No provider's name is then a word of the script's own.
constexpr std::string_view kProviderMark = "p:";
constexpr std::string_view kVersionField = "v";

std::string Sha1Hex(std::string_view text) {
  unsigned char hash[SHA_DIGEST_LENGTH];
  SHA1(reinterpret_cast<const unsigned char*>(text.data()), text.size(), hash);
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(hash), sizeof hash));
}

std::string_view TextOf(const redisReply& reply) {
  if (reply.str == nullptr) return {};
  return {reply.str, static_cast<size_t>(reply.len)};
}

int64_t NumberOf(const redisReply& reply) {
  if (reply.type == REDIS_REPLY_INTEGER) return reply.integer;
  const std::string_view text = TextOf(reply);
  int64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

std::span<redisReply*> ItemsOf(const redisReply& reply) {
  if (reply.type != REDIS_REPLY_ARRAY) return {};
  return {reply.element, static_cast<size_t>(reply.elements)};
}

LoadedDocument ParseDocument(const redisReply& reply) {
  using State = LoadedDocument::State;
  if (reply.type == REDIS_REPLY_INTEGER) {
    return {.state = reply.integer == 1 ? State::kUnchanged : State::kMissing};
  }
  LoadedDocument document{.state = State::kChanged};
  const auto items = ItemsOf(reply);
  for (size_t i = 0; i + 1 < items.size(); i += 2) {
    const std::string_view name = TextOf(*items[i]);
    if (name == kVersionField) {
      document.version = TextOf(*items[i + 1]);
    } else {
      document.fields.emplace_back(name, TextOf(*items[i + 1]));
    }
  }
  return document;
}

absl::StatusOr<LoadResult> ParseLoad(const redisReply& reply, size_t documents) {
  const auto items = ItemsOf(reply);
  if (items.size() != documents + 2) return absl::UnavailableError("an unexpected reply");
  LoadResult result;
  result.now = std::chrono::seconds(NumberOf(*items[0])) + StoreTime(NumberOf(*items[1]));
  for (const redisReply* item : items.subspan(2)) {
    result.documents.push_back(ParseDocument(*item));
  }
  return result;
}

// What a server says that is not, or not yet, the master.
bool IsElsewhere(std::string_view error) {
  for (const std::string_view word :
       {"READONLY", "LOADING", "MASTERDOWN", "MOVED", "CLUSTERDOWN", "NOAUTH", "UNBLOCKED"}) {
    if (error.substr(0, word.size()) == word) return true;
  }
  return false;
}

// What the server says, and what helps.
std::string DescribeRefusal(std::string_view error, const std::string& prefix) {
  const std::string acl = Concat(
      "its ACL must allow ratelimitd's user the keys \"{", prefix, "}:*\" and +select +role ",
      "+script|load +eval +evalsha +time +hget +hgetall +hset +hdel +pexpire");
  const std::pair<std::string_view, std::string> remedies[] = {
      {"OOM", "give the Redis more memory than maxmemory allows now"},
      {"NOREPLICAS", "bring its replicas back, or lower min-replicas-to-write"},
      {"MISCONF", "it cannot save to its disk: look at that"},
      {"WRONGTYPE", Concat("another program writes keys that begin with \"{", prefix,
                           "}\": delete those, or choose another prefix")},
      {"NOAUTH", "it wants a password: give the store password_file"},
      {"WRONGPASS", "look at username and password_file of the store"},
      {"NOPERM", acl},
      {"can't run this command", acl}};
  for (const auto& [word, remedy] : remedies) {
    if (error.find(word) != std::string_view::npos) return Concat(error, "; ", remedy);
  }
  return std::string(error);
}

}  // namespace

RedisStore::RedisStore(RedisSettings settings, const common::Clock& clock, OnLink on_link)
    : settings_(std::move(settings)),
      clock_(clock),
      on_link_(std::move(on_link)),
      load_{kLoadScript, Sha1Hex(kLoadScript)},
      commit_{kCommitScript, Sha1Hex(kCommitScript)},
      share_{kShareScript, Sha1Hex(kShareScript)},
      thread_([this] { Run(); }) {}

RedisStore::~RedisStore() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void RedisStore::Run() {
  std::unique_lock lock(mutex_);
  milliseconds delay = kFirstRetry;
  while (!is_stopping_) {
    if (connection_ != nullptr) {
      changed_.wait(lock, [this] { return is_stopping_ || connection_ == nullptr; });
      continue;
    }
    lock.unlock();
    auto made = Connect();
    TellOfConnecting(made.status());
    lock.lock();
    if (made.ok()) {
      connection_ = *std::move(made);
      changed_.notify_all();
      delay = kFirstRetry;
      continue;
    }
    changed_.wait_for(lock, delay, [this] { return is_stopping_; });
    delay = std::min(2 * delay, kLastRetry);
  }
}

void RedisStore::TellOfConnecting(const absl::Status& status) const {
  const std::string why(status.message());
  if (absl::IsFailedPrecondition(status)) {
    on_link_(StoreLink::kRefused, DescribeRefusal(why, settings_.prefix));
  } else {
    on_link_(status.ok() ? StoreLink::kReached : StoreLink::kUnreachable, why);
  }
}

bool RedisStore::WaitForLink(milliseconds timeout) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, timeout, [this] { return connection_ != nullptr; });
}

absl::StatusOr<std::unique_ptr<RedisConnection>> RedisStore::Connect() const {
  const SocketDeadline deadline{clock_, clock_.Monotonic() + kConnectTimeout};
  auto address = FindMaster(deadline);
  if (!address.ok()) return address.status();
  auto connection = RedisConnection::Open(
      *address, settings_, {settings_.username, settings_.password.Reveal(), settings_.database},
      deadline);
  if (!connection.ok()) return connection.status();
  if (absl::Status status = Prepare(**connection, deadline); !status.ok()) {
    return absl::Status(status.code(), Concat((*connection)->name(), ": ", status.message()));
  }
  return connection;
}

absl::Status RedisStore::Prepare(RedisConnection& connection,
                                 const SocketDeadline& deadline) const {
  auto role = connection.Call({"ROLE"}, deadline);
  if (!role.ok()) return role.status();
  const auto items = ItemsOf(**role);
  if (items.empty() || TextOf(*items[0]) != "master") {
    return absl::UnavailableError("is not the master");
  }
  for (const Script* script : {&load_, &commit_, &share_}) {
    auto loaded = connection.Call({"SCRIPT", "LOAD", script->text}, deadline);
    if (!loaded.ok()) return loaded.status();
  }
  return absl::OkStatus();
}

absl::StatusOr<RedisAddress> RedisStore::FindMaster(const SocketDeadline& deadline) const {
  if (settings_.sentinels.empty()) return settings_.address;
  std::string complaints;
  for (const RedisAddress& sentinel : settings_.sentinels) {
    // One that hangs must leave time for the others.
    const auto share = kConnectTimeout / static_cast<int>(settings_.sentinels.size() + 1);
    const SocketDeadline own{clock_, std::min(deadline.at, clock_.Monotonic() + share)};
    auto connection = RedisConnection::Open(sentinel, settings_,
                                            {"", settings_.sentinel_password.Reveal(), 0}, own);
    absl::Status status = connection.status();
    if (status.ok()) {
      auto reply =
          (*connection)
              ->Call({"SENTINEL", "get-master-addr-by-name", settings_.sentinel_master}, own);
      const auto items = reply.ok() ? ItemsOf(**reply) : std::span<redisReply*>();
      if (items.size() == 2) {
        return RedisAddress{std::string(TextOf(*items[0])), std::string(TextOf(*items[1]))};
      }
      status = reply.ok() ? absl::NotFoundError("does not know the master") : reply.status();
    }
    complaints = Concat(complaints, complaints.empty() ? "" : "; ", "sentinel ", sentinel.host, ":",
                        sentinel.port, ": ", status.message());
  }
  return absl::UnavailableError(complaints);
}

void RedisStore::Drop(const absl::Status& why) {
  const std::string told = Concat(connection_->name(), ": ", why.message());
  connection_.reset();
  refused_at_.reset();
  changed_.notify_all();
  on_link_(StoreLink::kUnreachable, told);
}

void RedisStore::TakeAnswer(const absl::Status& status) {
  const common::MonotonicTime now = clock_.Monotonic();
  if (status.ok()) {
    if (!refused_at_ || now - *refused_at_ < kWithoutRefusal) return;
    refused_at_.reset();
    return on_link_(StoreLink::kReached, "");
  }
  const std::string why(status.message());
  if (absl::IsUnavailable(status) || IsElsewhere(why)) return Drop(status);
  if (std::exchange(refused_at_, now)) return;
  on_link_(StoreLink::kRefused,
           Concat(connection_->name(), ": ", DescribeRefusal(why, settings_.prefix)));
}

absl::StatusOr<RedisReply> RedisStore::RunScript(const Script& script,
                                                 const std::vector<std::string_view>& words) {
  std::unique_lock lock(mutex_);
  if (connection_ == nullptr) return absl::UnavailableError("not connected");
  const SocketDeadline deadline{clock_, clock_.Monotonic() + settings_.timeout};
  std::vector<std::string_view> call = {"EVALSHA", script.digest};
  call.insert(call.end(), words.begin(), words.end());
  auto reply = connection_->Call(call, deadline);
  if (!reply.ok() && reply.status().message().substr(0, 8) == "NOSCRIPT") {
    call[0] = "EVAL";
    call[1] = script.text;
    reply = connection_->Call(call, deadline);
  }
  TakeAnswer(reply.status());
  if (reply.ok()) return reply;
  return absl::UnavailableError(reply.status().message());
}

std::string RedisStore::KeyOf(const DocumentKey& key) const {
  const std::string_view kind = key.kind == DocumentKind::kProvider ? "}:provider:" : "}:client:";
  return Concat("{", settings_.prefix, kind, key.name);
}

absl::StatusOr<LoadResult> RedisStore::Load(std::span<const DocumentRead> reads) {
  std::vector<std::string> keys;
  keys.reserve(reads.size());
  for (const DocumentRead& read : reads) keys.push_back(KeyOf(read.key));
  const std::string count = std::to_string(keys.size());
  std::vector<std::string_view> words = {count};
  words.insert(words.end(), keys.begin(), keys.end());
  for (const DocumentRead& read : reads) words.push_back(read.known_version);
  auto reply = RunScript(load_, words);
  if (!reply.ok()) return reply.status();
  return ParseLoad(**reply, reads.size());
}

absl::StatusOr<CommitResult> RedisStore::Commit(std::span<const DocumentWrite> writes) {
  std::vector<std::string> texts;  // filled before it is viewed
  texts.push_back(std::to_string(writes.size()));
  for (const DocumentWrite& write : writes) {
    texts.push_back(KeyOf(write.key));
    texts.push_back(std::to_string(write.lifetime.count()));
    texts.push_back(std::to_string(write.set_fields.size()));
    texts.push_back(std::to_string(write.erased_fields.size()));
  }
  std::vector<std::string_view> words = {texts[0]};
  for (size_t i = 0; i < writes.size(); ++i) words.push_back(texts[1 + 4 * i]);
  for (size_t i = 0; i < writes.size(); ++i) {
    const DocumentWrite& write = writes[i];
    words.insert(words.end(), {write.expected_version, write.new_version});
    for (size_t n = 2; n <= 4; ++n) words.push_back(texts[n + 4 * i]);
    for (const auto& [name, bytes] : write.set_fields) words.insert(words.end(), {name, bytes});
    for (const std::string& name : write.erased_fields) words.push_back(name);
  }
  auto reply = RunScript(commit_, words);
  if (!reply.ok()) return reply.status();
  if ((*reply)->type == REDIS_REPLY_INTEGER) {
    return CommitResult{.is_committed = true, .current = {}};
  }
  auto current = ParseLoad(**reply, writes.size());
  if (!current.ok()) return current.status();
  return CommitResult{.is_committed = false, .current = *std::move(current)};
}

absl::StatusOr<std::vector<std::string>> RedisStore::Share(std::string_view what,
                                                           std::string_view lifetime_ms,
                                                           const std::vector<std::string>& told) {
  const std::string key = Concat("{", settings_.prefix, "}:", what);
  std::vector<std::string_view> words = {"1", key, lifetime_ms};
  words.insert(words.end(), told.begin(), told.end());
  auto reply = RunScript(share_, words);
  if (!reply.ok()) return reply.status();
  std::vector<std::string> all;
  for (const redisReply* item : ItemsOf(**reply)) all.emplace_back(TextOf(*item));
  return all;
}

absl::StatusOr<std::vector<uint64_t>> RedisStore::ShareHosts(std::span<const uint64_t> hosts) {
  std::vector<std::string> told;
  told.reserve(hosts.size());
  for (const uint64_t host : hosts) told.push_back(std::to_string(host));
  const auto heard = Share("hosts", kHostLifetimeMs, told);
  if (!heard.ok()) return heard.status();
  std::vector<uint64_t> all;
  for (const std::string& text : *heard) {
    uint64_t host = 0;
    std::from_chars(text.data(), text.data() + text.size(), host);
    if (host != 0) all.push_back(host);
  }
  return all;
}

absl::StatusOr<std::vector<std::string>> RedisStore::ShareProviders(
    std::span<const std::string> names) {
  std::vector<std::string> told;
  told.reserve(names.size());
  for (const std::string& name : names) told.push_back(Concat(kProviderMark, name));
  const auto heard = Share("providers", kProviderLifetimeMs, told);
  if (!heard.ok()) return heard.status();
  std::vector<std::string> all;
  for (const std::string& text : *heard) {
    if (text.starts_with(kProviderMark)) all.push_back(text.substr(kProviderMark.size()));
  }
  return all;
}

}  // namespace ratelimitd
