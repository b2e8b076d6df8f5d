#include "ratelimitd/io/certificate_reloader.h"

#include <algorithm>
#include <utility>

namespace ratelimitd {

using common::LogLevel;

absl::StatusOr<ServerCertificates*> CertificateReloader::Add(const common::TlsPaths& paths) {
  if (paths.cert_file.empty()) return nullptr;
  auto certificates = ServerCertificates::Read(paths);
  if (!certificates.ok()) return certificates.status();
  all_.push_back(*std::move(certificates));
  ShowEnd();
  return all_.back().get();
}

std::vector<std::string> CertificateReloader::Paths() const {
  std::vector<std::string> paths;
  for (const auto& certificates : all_) {
    const common::TlsPaths& of = certificates->paths();
    for (const std::string& path : {of.cert_file, of.key_file, of.ca_file}) {
      if (!path.empty()) paths.push_back(path);
    }
  }
  return paths;
}

void CertificateReloader::Reload() {
  for (const auto& certificates : all_) {
    const auto is_new = certificates->Reload();
    if (is_new.ok() && !*is_new) continue;
    ShowEnd();
    const std::string path = certificates->paths().cert_file;
    const std::string why(is_new.status().message());
    if (is_new.ok()) log_.Write(LogLevel::kInfo, "certificates_reloaded", {{"path", path}});
    if (!is_new.ok()) {
      log_.Write(LogLevel::kError, "certificates_refused", {{"path", path}, {"error", why}});
    }
    metrics_.CountCertificateReload(is_new.status());
  }
}

void CertificateReloader::ShowEnd() {
  const auto by_end = [](const auto& a, const auto& b) { return a->end() < b->end(); };
  metrics_.ShowCertificateEnd((*std::min_element(all_.begin(), all_.end(), by_end))->end());
}

}  // namespace ratelimitd
