// A self-signed certificate and its key in PEM, and a directory for them that goes with the test.
#pragma once

#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "common/tls_files.h"

struct CertificatePem {
  std::string cert;
  std::string key;
};

template <typename Write>
std::string ToPem(Write write) {
  BIO* bio = BIO_new(BIO_s_mem());
  write(bio);
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio, &text);
  std::string pem(text, static_cast<size_t>(size));
  BIO_free(bio);
  return pem;
}

// Valid for an hour. Takes the key.
inline CertificatePem SelfSigned(EVP_PKEY* key = EVP_EC_gen("P-256")) {
  X509* certificate = X509_new();
  X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, key);
  X509_NAME* name = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("test"), -1, -1, 0);
  X509_set_issuer_name(certificate, name);
  X509_sign(certificate, key, EVP_sha256());
  CertificatePem pem{ToPem([&](BIO* bio) { PEM_write_bio_X509(bio, certificate); }),
                     ToPem([&](BIO* bio) {
                       PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
                     })};
  X509_free(certificate);
  EVP_PKEY_free(key);
  return pem;
}

class CertificateDirectory {
 public:
  CertificateDirectory()
      : path_(std::filesystem::path(testing::TempDir()) / ("tls_" + std::to_string(getpid()))) {
    std::filesystem::create_directories(path_);
  }
  ~CertificateDirectory() { std::filesystem::remove_all(path_); }

  std::string Write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name) << text;
    return path_ / name;
  }
  common::TlsPaths Write(const CertificatePem& pem) const {
    return {.cert_file = Write("server.pem", pem.cert), .key_file = Write("server.key", pem.key)};
  }

 private:
  std::filesystem::path path_;
};
