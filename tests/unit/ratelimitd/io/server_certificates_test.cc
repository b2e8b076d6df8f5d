#include "ratelimitd/io/server_certificates.h"

#include <gtest/gtest.h>

#include "tests/support/certificate_files.h"

namespace ratelimitd {
namespace {

TEST(ServerCertificatesTest, BadFilesAreRefusedFromTheStart) {
  const CertificateDirectory files;
  const auto paths = files.Write({SelfSigned().cert, SelfSigned().key});
  EXPECT_EQ(ServerCertificates::Read(paths).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(ServerCertificatesTest, ReloadTellsNewsAndKeepsGoodOnes) {
  const CertificateDirectory files;
  const auto paths = files.Write(SelfSigned());
  const auto certificates = *ServerCertificates::Read(paths);
  EXPECT_FALSE(*certificates->Reload());

  const auto end = certificates->end();
  files.Write("server.key", "hello");
  EXPECT_FALSE(certificates->Reload().ok());
  EXPECT_EQ(certificates->end(), end);

  files.Write(SelfSigned());
  EXPECT_TRUE(*certificates->Reload());
  EXPECT_FALSE(*certificates->Reload());
}

}  // namespace
}  // namespace ratelimitd
