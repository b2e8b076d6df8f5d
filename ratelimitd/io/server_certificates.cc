#include "ratelimitd/io/server_certificates.h"

#include <utility>
#include <vector>

#include "absl/strings/str_join.h"

namespace ratelimitd {
namespace {

// gRPC's C++ interface knows no certificates that a callback provides; its C interface does.
class FetchingCredentials final : public grpc::ServerCredentials {
 public:
  explicit FetchingCredentials(grpc_server_credentials* credentials) : credentials_(credentials) {}
  ~FetchingCredentials() override { grpc_server_credentials_release(credentials_); }

  // Nobody here authenticates by metadata.
  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  grpc_server_credentials* credentials_;
};

absl::StatusOr<common::TlsFiles> ReadFiles(const common::TlsPaths& paths) {
  std::vector<common::TlsComplaint> complaints;
  common::TlsFiles files =
      common::ReadTlsFiles(paths, common::SystemConfigEnvironment(), complaints);
  if (complaints.empty()) return files;
  return absl::InvalidArgumentError(
      absl::StrJoin(complaints, "\n", [](std::string* out, const common::TlsComplaint& complaint) {
        out->append(complaint.text);
      }));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ServerCertificates>> ServerCertificates::Read(
    const common::TlsPaths& paths) {
  std::unique_ptr<ServerCertificates> certificates(new ServerCertificates(paths));
  const auto is_new = certificates->Reload();
  if (!is_new.ok()) return is_new.status();
  return certificates;
}

absl::StatusOr<bool> ServerCertificates::Reload() {
  auto files = ReadFiles(paths_);
  if (!files.ok()) return files.status();
  const std::lock_guard lock(mutex_);
  if (*files == files_) return false;
  files_ = *std::move(files);
  is_fetched_ = false;
  return true;
}

common::WallTime ServerCertificates::end() const {
  const std::lock_guard lock(mutex_);
  return common::CertificateEnd(files_.cert_pem).value_or(common::WallTime());
}

std::shared_ptr<grpc::ServerCredentials> ServerCertificates::Credentials() {
  const auto request = paths_.ca_file.empty()
                           ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
                           : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY;
  return std::make_shared<FetchingCredentials>(grpc_ssl_server_credentials_create_with_options(
      grpc_ssl_server_credentials_create_options_using_config_fetcher(request, &Fetch, this)));
}

grpc_ssl_certificate_config_reload_status ServerCertificates::Fetch(
    void* self, grpc_ssl_server_certificate_config** config) {
  auto& certificates = *static_cast<ServerCertificates*>(self);
  const std::lock_guard lock(certificates.mutex_);
  if (std::exchange(certificates.is_fetched_, true)) {
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
  }
  const common::TlsFiles& files = certificates.files_;
  const grpc_ssl_pem_key_cert_pair pair{.private_key = files.key_pem.Reveal().c_str(),
                                        .cert_chain = files.cert_pem.c_str()};
  // gRPC 1.51 asserts that there are some, also where it asks no client for a certificate and so
  // never looks at them.
  const std::string& authorities = files.ca_pem.empty() ? files.cert_pem : files.ca_pem;
  *config = grpc_ssl_server_certificate_config_create(authorities.c_str(), &pair, 1);
  return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
}

}  // namespace ratelimitd
