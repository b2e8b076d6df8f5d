#include "ratelimitd/store/redis_socket.h"

#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/concat.h"

namespace ratelimitd {
namespace {

using common::Concat;
using std::chrono::milliseconds;

absl::Status Broken(std::string_view what) { return absl::UnavailableError(Concat(what)); }

std::string TlsError() {
  char text[256] = "connection closed";
  const unsigned long code = ERR_get_error();
  if (code != 0) ERR_error_string_n(code, text, sizeof text);
  ERR_clear_error();
  return text;
}

// What was wrong with the other side's certificate; nothing when that was not it.
std::string WhyUntrusted(const SSL* ssl) {
  const long verdict = SSL_get_verify_result(ssl);
  return verdict == X509_V_OK ? "" : Concat(" (", X509_verify_cert_error_string(verdict), ")");
}

bool IsIpAddress(const std::string& host) {
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return false;
  freeaddrinfo(found);
  return true;
}

}  // namespace

absl::StatusOr<std::unique_ptr<RedisSocket>> RedisSocket::Connect(const RedisAddress& address,
                                                                  const RedisSettings& settings,
                                                                  const SocketDeadline& deadline) {
  const std::string name = Concat(address.host, ":", address.port);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(address.host.c_str(), address.port.c_str(), &hints, &found);
  if (error != 0) return Broken(Concat(name, ": ", gai_strerror(error)));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, freeaddrinfo);

  absl::Status status = Broken(Concat(name, ": no address"));
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    const int descriptor =
        socket(one->ai_family, one->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, one->ai_protocol);
    if (descriptor < 0) continue;
    std::unique_ptr<RedisSocket> made(new RedisSocket(descriptor));
    const int yes = 1;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    int result = connect(descriptor, one->ai_addr, one->ai_addrlen) == 0 ? 0 : errno;
    if (result == EINPROGRESS) {
      status = made->Wait(POLLOUT, deadline);
      if (!status.ok()) continue;
      socklen_t size = sizeof result;
      getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &result, &size);
    }
    status = result == 0 ? absl::OkStatus() : Broken(std::strerror(result));
    if (status.ok() && settings.is_tls) status = made->StartTls(address, settings, deadline);
    if (status.ok()) return made;
  }
  return Broken(Concat(name, ": ", status.message()));
}

RedisSocket::~RedisSocket() {
  ssl_.reset();
  close(descriptor_);
}

absl::Status RedisSocket::StartTls(const RedisAddress& address, const RedisSettings& settings,
                                   const SocketDeadline& deadline) {
  context_.reset(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_min_proto_version(context_.get(), TLS1_2_VERSION);
  SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, nullptr);
  const bool has_authorities =
      settings.ca_file.empty()
          ? SSL_CTX_set_default_verify_paths(context_.get()) == 1
          : SSL_CTX_load_verify_locations(context_.get(), settings.ca_file.c_str(), nullptr) == 1;
  if (!has_authorities) return Broken(Concat("certificate authorities: ", TlsError()));

  ssl_.reset(SSL_new(context_.get()));
  SSL_set_fd(ssl_.get(), descriptor_);
  const std::string& expected =
      settings.tls_server_name.empty() ? address.host : settings.tls_server_name;
  if (IsIpAddress(expected)) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_.get()), expected.c_str());
  } else {
    SSL_set1_host(ssl_.get(), expected.c_str());
    SSL_set_tlsext_host_name(ssl_.get(), expected.c_str());
  }
  for (;;) {
    const int result = SSL_connect(ssl_.get());
    if (result == 1) return absl::OkStatus();
    if (absl::Status status = WaitForTls(result, deadline); !status.ok()) {
      return Broken(Concat("TLS: ", status.message(), WhyUntrusted(ssl_.get())));
    }
  }
}

absl::Status RedisSocket::Wait(short events, const SocketDeadline& deadline) const {
  for (;;) {
    const auto left = std::chrono::ceil<milliseconds>(deadline.at - deadline.clock.Monotonic());
    pollfd waiting{descriptor_, events, 0};
    const int timeout = static_cast<int>(std::clamp<int64_t>(left.count(), 0, 60'000));
    const int ready = poll(&waiting, 1, timeout);
    if (ready > 0) return absl::OkStatus();
    if (ready == 0) return Broken("no answer in time");
    if (errno != EINTR) return Broken(std::strerror(errno));
  }
}

absl::Status RedisSocket::WaitForTls(int result, const SocketDeadline& deadline) const {
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return Wait(POLLIN, deadline);
    case SSL_ERROR_WANT_WRITE:
      return Wait(POLLOUT, deadline);
    default:
      return Broken(TlsError());
  }
}

absl::Status RedisSocket::Write(std::string_view bytes, const SocketDeadline& deadline) {
  while (!bytes.empty()) {
    const ssize_t written =
        ssl_ ? SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()))
             : send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (written > 0) {
      bytes.remove_prefix(static_cast<size_t>(written));
      continue;
    }
    absl::Status status;
    if (ssl_) {
      status = WaitForTls(static_cast<int>(written), deadline);
    } else if (errno == EAGAIN) {
      status = Wait(POLLOUT, deadline);
    } else if (errno != EINTR) {
      status = Broken(std::strerror(errno));
    }
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string_view> RedisSocket::ReadSome(const SocketDeadline& deadline) {
  for (;;) {
    const ssize_t size = ssl_ ? SSL_read(ssl_.get(), buffer_, sizeof buffer_)
                              : recv(descriptor_, buffer_, sizeof buffer_, 0);
    if (size > 0) return std::string_view(buffer_, static_cast<size_t>(size));
    absl::Status status;
    if (ssl_) {
      status = WaitForTls(static_cast<int>(size), deadline);
    } else if (size == 0) {
      status = Broken("connection closed");
    } else if (errno == EAGAIN) {
      status = Wait(POLLIN, deadline);
    } else if (errno != EINTR) {
      status = Broken(std::strerror(errno));
    }
    if (!status.ok()) return status;
  }
}

}  // namespace ratelimitd
