#include "common/tls_files.h"

#include <gtest/gtest.h>

#include "tests/support/certificate_files.h"

namespace common {
namespace {

TEST(TlsFilesTest, MistakesAreNamedWithTheirFile) {
  const CertificateDirectory files;
  const CertificatePem good = SelfSigned();
  const TlsPaths sound = files.Write(good);
  const auto with = [&](auto change) {
    TlsPaths paths = sound;
    change(paths);
    return paths;
  };
  const struct {
    const char* name;
    TlsPaths paths;
    std::optional<TlsPart> part;
    std::string want;
  } cases[] = {
      {"sound", sound, std::nullopt, ""},
      {"nothing named", {}, std::nullopt, ""},
      {"only authorities", {.ca_file = sound.cert_file}, std::nullopt, ""},
      {"two certificates",
       with([&](auto& p) { p.ca_file = files.Write("two", good.cert + SelfSigned().cert); }),
       std::nullopt, ""},
      {"absent", with([](auto& p) { p.cert_file = "/no/such/file"; }), TlsPart::kCertificate,
       "/no/such/file"},
      {"empty", with([&](auto& p) { p.key_file = files.Write("empty", ""); }), TlsPart::kKey,
       "empty"},
      {"no PEM", with([&](auto& p) { p.cert_file = files.Write("text", "hello"); }),
       TlsPart::kCertificate, "text"},
      {"the second is damaged", with([&](auto& p) {
         p.ca_file = files.Write("cut", good.cert + good.cert.substr(0, good.cert.size() / 2));
       }),
       TlsPart::kAuthorities, "damaged"},
      {"no key", with([&](auto& p) { p.key_file = p.cert_file; }), TlsPart::kKey, "no private key"},
      {"another's key", with([&](auto& p) { p.key_file = files.Write("other", SelfSigned().key); }),
       TlsPart::kKey, "not that of the first certificate"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    std::vector<TlsComplaint> complaints;
    ReadTlsFiles(c.paths, SystemConfigEnvironment(), complaints);
    ASSERT_EQ(complaints.size(), c.part ? 1u : 0u);
    if (!c.part) continue;
    EXPECT_EQ(complaints[0].part, *c.part);
    EXPECT_NE(complaints[0].text.find(c.want), std::string::npos) << complaints[0].text;
    EXPECT_EQ(complaints[0].text.find("PRIVATE KEY"), std::string::npos);
  }
}

TEST(TlsFilesTest, AKeyTooShortForOpenSslIsNoUse) {
  const CertificateDirectory files;
  std::vector<TlsComplaint> complaints;

  ReadTlsFiles(files.Write(SelfSigned(EVP_RSA_gen(512))), SystemConfigEnvironment(), complaints);

  ASSERT_EQ(complaints.size(), 1u);
  EXPECT_NE(complaints[0].text.find("too small"), std::string::npos) << complaints[0].text;
}

TEST(TlsFilesTest, TheEndIsThatOfTheFirstCertificate) {
  const auto now = std::chrono::system_clock::now();
  const auto end = CertificateEnd(SelfSigned().cert);
  ASSERT_TRUE(end.has_value());
  EXPECT_NEAR(std::chrono::duration<double>(*end - now).count(), 3600, 60);
  EXPECT_FALSE(CertificateEnd("hello"));
}

}  // namespace
}  // namespace common
