// A program's certificate, its key and the authorities it trusts, from PEM files. They are checked
// before anybody uses them, so that an operator is told the mistake and its remedy, and a server
// that runs never gives up good ones for bad ones. Plain functions: thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "common/config_environment.h"
#include "common/secret.h"

namespace common {

// Empty: not configured.
struct TlsPaths {
  std::string cert_file = {};  // ours, then those between it and its authority
  std::string key_file = {};   // not encrypted
  std::string ca_file = {};    // whom to trust
  bool operator==(const TlsPaths&) const = default;
};

// What the files hold.
struct TlsFiles {
  std::string cert_pem = {};
  Secret key_pem = {};
  std::string ca_pem = {};
  bool operator==(const TlsFiles&) const = default;
};

enum class TlsPart { kCertificate, kKey, kAuthorities };

struct TlsComplaint {
  TlsPart part;
  std::string text;  // names the file and the remedy, never what a key holds
};

// Reads the files that are named and appends what is wrong with them to `complaints`: not readable,
// no PEM, a key that is not the certificate's.
TlsFiles ReadTlsFiles(const TlsPaths& paths, const ConfigEnvironment& environment,
                      std::vector<TlsComplaint>& complaints);

// Until when the first certificate in `cert_pem` is valid; nothing when there is none.
std::optional<WallTime> CertificateEnd(std::string_view cert_pem);

}  // namespace common
