#include "common/tls_files.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <ctime>
#include <memory>

#include "common/concat.h"

namespace common {
namespace {

template <auto Free>
struct Freed {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Bio = std::unique_ptr<BIO, Freed<BIO_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Context = std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>>;

Bio OpenPem(std::string_view pem) {
  return Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

// OpenSSL would otherwise ask the terminal.
int KnowNoPassword(char*, int, int, void*) { return -1; }

// All of them; none when one is malformed.
std::vector<Certificate> ParseCertificates(std::string_view pem) {
  std::vector<Certificate> certificates;
  const Bio bio = OpenPem(pem);
  while (X509* next = PEM_read_bio_X509(bio.get(), nullptr, KnowNoPassword, nullptr)) {
    certificates.emplace_back(next);
  }
  const unsigned long why = ERR_peek_last_error();
  ERR_clear_error();
  if (ERR_GET_REASON(why) != PEM_R_NO_START_LINE) return {};
  return certificates;
}

Key ParseKey(std::string_view pem) {
  const Bio bio = OpenPem(pem);
  Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, KnowNoPassword, nullptr));
  ERR_clear_error();
  return key;
}

// What OpenSSL says when a connection is to present the certificate: it refuses, for instance, a
// key that is too short. Empty: nothing.
std::string WhyUnusable(X509* certificate) {
  const Context context(SSL_CTX_new(TLS_method()));
  if (SSL_CTX_use_certificate(context.get(), certificate) == 1) return "";
  const char* why = ERR_reason_error_string(ERR_peek_last_error());
  ERR_clear_error();
  return why == nullptr ? "refused" : why;
}

class Reader {
 public:
  Reader(const ConfigEnvironment& environment, std::vector<TlsComplaint>& complaints)
      : environment_(environment), complaints_(complaints) {}

  // Empty when it cannot be read or is not named.
  std::string Read(TlsPart part, const std::string& path) {
    if (path.empty()) return "";
    auto text = environment_.file(path);
    if (text.ok() && !text->empty()) return *std::move(text);
    Complain(part,
             Concat("cannot be read: ",
                    text.ok() ? Concat(path, " is empty") : std::string(text.status().message()),
                    "; name a PEM file that this user may read"));
    return "";
  }

  std::vector<Certificate> Certificates(TlsPart part, const std::string& path,
                                        std::string_view pem) {
    if (pem.empty()) return {};
    auto certificates = ParseCertificates(pem);
    if (certificates.empty()) {
      Complain(part, Concat(path, " holds no certificate in PEM, or a damaged one"));
    }
    return certificates;
  }

  void CheckOwn(const std::string& path, X509* certificate) {
    const std::string why = WhyUnusable(certificate);
    if (why.empty()) return;
    Complain(TlsPart::kCertificate,
             Concat("the first certificate in ", path, " cannot be used: ", why));
  }

  void CheckKey(const TlsPaths& paths, const std::string& key_pem, const X509* certificate) {
    if (key_pem.empty()) return;
    const Key key = ParseKey(key_pem);
    if (key == nullptr) {
      Complain(TlsPart::kKey,
               Concat(paths.key_file, " holds no private key in PEM, or an encrypted one"));
    } else if (certificate != nullptr && X509_check_private_key(certificate, key.get()) != 1) {
      ERR_clear_error();
      Complain(TlsPart::kKey,
               Concat("the key in ", paths.key_file, " is not that of the first certificate in ",
                      paths.cert_file, "; take both from one issue"));
    }
  }

 private:
  void Complain(TlsPart part, std::string text) { complaints_.push_back({part, std::move(text)}); }

  const ConfigEnvironment& environment_;
  std::vector<TlsComplaint>& complaints_;
};

}  // namespace

TlsFiles ReadTlsFiles(const TlsPaths& paths, const ConfigEnvironment& environment,
                      std::vector<TlsComplaint>& complaints) {
  Reader reader(environment, complaints);
  TlsFiles files{.cert_pem = reader.Read(TlsPart::kCertificate, paths.cert_file),
                 .key_pem = Secret(reader.Read(TlsPart::kKey, paths.key_file)),
                 .ca_pem = reader.Read(TlsPart::kAuthorities, paths.ca_file)};
  const auto own = reader.Certificates(TlsPart::kCertificate, paths.cert_file, files.cert_pem);
  if (!own.empty()) reader.CheckOwn(paths.cert_file, own.front().get());
  reader.CheckKey(paths, files.key_pem.Reveal(), own.empty() ? nullptr : own.front().get());
  reader.Certificates(TlsPart::kAuthorities, paths.ca_file, files.ca_pem);
  return files;
}

std::optional<WallTime> CertificateEnd(std::string_view cert_pem) {
  const auto certificates = ParseCertificates(cert_pem);
  std::tm end = {};
  if (certificates.empty() ||
      ASN1_TIME_to_tm(X509_get0_notAfter(certificates.front().get()), &end) != 1) {
    return std::nullopt;
  }
  return WallTime(std::chrono::seconds(timegm(&end)));
}

}  // namespace common
