// The certificates of every listener that speaks TLS, replaced when their files change; bad ones
// are refused and those before stay. Every result is logged and counted.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/log.h"
#include "ratelimitd/io/metrics.h"
#include "ratelimitd/io/server_certificates.h"

namespace ratelimitd {

class CertificateReloader {
 public:
  CertificateReloader(Metrics& metrics, common::Log& log) : metrics_(metrics), log_(log) {}

  // Those of one more listener, which this object must outlive; null without TLS. Fails as
  // ServerCertificates::Read. Not thread-safe: before the first Reload.
  absl::StatusOr<ServerCertificates*> Add(const common::TlsPaths& paths);

  // The files to watch.
  std::vector<std::string> Paths() const;

  // Takes what the files hold now. Thread-safe.
  void Reload();

 private:
  void ShowEnd();

  std::vector<std::unique_ptr<ServerCertificates>> all_;
  Metrics& metrics_;
  common::Log& log_;
};

}  // namespace ratelimitd
