// What fetch and watch do with the bundles of other trust domains.
#include "tests/unit/app/fetch_fixture.h"

namespace lanyard {
namespace {

using FetchFederatedTest = FetchTest;

TEST_F(FetchFederatedTest, WritesACredentialFolderWithAFileForEachTrustDomain) {
  const FetchAuthority partner = FetchAuthority::Make("partner.example");
  (*api_.svids.mutable_federated_bundles())["spiffe://partner.example"] = partner.root.certificate.der();
  (*api_.svids.mutable_federated_bundles())["spiffe://revoked.example"] = "";
  const Ran ran = Lanyard({"fetch", "x509", "--write", dir_.Path("out")});
  ASSERT_EQ(ran.code, kExitOk) << ran.err;
  const auto read = [&](const char* name) {
    std::ostringstream text;
    text << std::ifstream(dir_.Path(std::string("out/") + name)).rdbuf();
    return text.str();
  };
  EXPECT_EQ(read("credential-bundle.private-key.pem"), read("svid.key") + read("svid.pem"));
  EXPECT_THAT(read("credential-bundle.private-key.pem"), testing::StartsWith("-----BEGIN PRIVATE KEY-----\n"));
  EXPECT_EQ(read("example.org.spiffe-trust-bundle.pem"), authority_.root.certificate.ToPem());
  EXPECT_EQ(read("partner.example.spiffe-trust-bundle.pem"), partner.root.certificate.ToPem());
  EXPECT_EQ(read("bundle.pem"), authority_.root.certificate.ToPem()) << "never those of several trust domains";
  EXPECT_FALSE(std::filesystem::exists(dir_.Path("out/revoked.example.spiffe-trust-bundle.pem")));
  struct stat info {};
  ASSERT_EQ(stat(dir_.Path("out/credential-bundle.private-key.pem").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);

  api_.svids.clear_federated_bundles();
  ASSERT_EQ(Lanyard({"fetch", "x509", "--write", dir_.Path("out")}).code, kExitOk);
  EXPECT_FALSE(std::filesystem::is_symlink(dir_.Path("out/partner.example.spiffe-trust-bundle.pem")))
      << "whoever is not federated with any more is not believed any more";
}

TEST_F(FetchFederatedTest, ATrustDomainWhoseNameDoesNotFitIntoAFilesIsLeftOutAndNamed) {
  const std::string name(240, 'a');
  const FetchAuthority partner = FetchAuthority::Make(name.c_str());
  (*api_.svids.mutable_federated_bundles())["spiffe://" + name] = partner.root.certificate.der();
  const Ran ran = Lanyard({"fetch", "x509", "--write", dir_.Path("out")});
  EXPECT_EQ(ran.code, kExitOk);
  EXPECT_THAT(ran.err, HasSubstr(name + " is not written"));
}

TEST_F(FetchFederatedTest, ShowsFederatedTrustDomains) {
  const FetchAuthority partner = FetchAuthority::Make("partner.example");
  (*api_.svids.mutable_federated_bundles())["spiffe://partner.example"] = partner.root.certificate.der();
  (*api_.bundles.mutable_bundles())["spiffe://partner.example"] = partner.root.certificate.der();
  EXPECT_THAT(Lanyard({"fetch", "x509"}).out, HasSubstr("federated spiffe://partner.example: 1 authority\n"));
  const auto json = nlohmann::json::parse(Lanyard({"fetch", "x509", "--output", "json"}).out, nullptr, false);
  EXPECT_EQ(json["federated_bundles"].value("spiffe://partner.example", ""), partner.root.certificate.ToPem());
  EXPECT_THAT(Lanyard({"watch", "x509", "--count", "1"}).out, HasSubstr("; federated spiffe://partner.example; "));
  EXPECT_THAT(Lanyard({"watch", "bundle", "--count", "1"}).out,
              AllOf(HasSubstr("spiffe://partner.example 1 authority"), HasSubstr("spiffe://example.org 1 authority")));
}

}  // namespace
}  // namespace lanyard
