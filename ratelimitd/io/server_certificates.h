// The certificates of one gRPC port. Each handshake takes those that are current, so that they are
// replaced without a restart; connections that are there stay as they are. TLS 1.2 or newer.
// Thread-safe.
#pragma once

#include <grpc/grpc_security.h>
#include <grpcpp/security/server_credentials.h>

#include <memory>
#include <mutex>

#include "absl/status/statusor.h"
#include "common/tls_files.h"

namespace ratelimitd {

class ServerCertificates {
 public:
  // With a ca_file clients must present a certificate of one of its authorities.
  // InvalidArgument: what is wrong with the files, one complaint a line.
  static absl::StatusOr<std::unique_ptr<ServerCertificates>> Read(const common::TlsPaths& paths);

  // Takes what the files hold now. Whether that was anything new; InvalidArgument as for Read, and
  // then the ones before stay.
  absl::StatusOr<bool> Reload();
  // Until when the certificate in use is valid.
  common::WallTime end() const;
  const common::TlsPaths& paths() const { return paths_; }

  // For one port of a server that this object must outlive. Call once.
  std::shared_ptr<grpc::ServerCredentials> Credentials();

 private:
  explicit ServerCertificates(common::TlsPaths paths) : paths_(std::move(paths)) {}
  static grpc_ssl_certificate_config_reload_status Fetch(
      void* self, grpc_ssl_server_certificate_config** config);

  const common::TlsPaths paths_;
  mutable std::mutex mutex_;
  common::TlsFiles files_;   // guarded by mutex_
  bool is_fetched_ = false;  // guarded by mutex_: gRPC has these files
};

}  // namespace ratelimitd
