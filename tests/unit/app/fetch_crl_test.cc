// What fetch and watch do with revocation lists.
#include "tests/unit/app/fetch_fixture.h"

namespace lanyard {
namespace {

using FetchCrlTest = FetchTest;

TEST_F(FetchCrlTest, WritesTheRevocationListsWithTheSet) {
  const FetchAuthority other = FetchAuthority::Make("example.org");
  api_.svids.add_crl(authority_.SignCrl(1, {"0a0b"}).der());
  api_.svids.add_crl(other.SignCrl(1).der());
  const Ran ran = Lanyard({"fetch", "x509", "--write", dir_.Path("out")});
  ASSERT_EQ(ran.code, kExitOk) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("2 revocation lists, 1 certificate revoked, the first until"));
  std::ostringstream text;
  text << std::ifstream(dir_.Path("out/crl.pem")).rdbuf();
  const auto crls = Crl::ListFromPem(text.str());
  ASSERT_TRUE(crls.ok()) << crls.status();
  ASSERT_EQ(crls->size(), 2u);
  EXPECT_EQ(crls->at(0).der(), api_.svids.crl(0));
  EXPECT_EQ(crls->at(1).der(), api_.svids.crl(1));
  const auto json = nlohmann::json::parse(Lanyard({"fetch", "x509", "--output", "json"}).out, nullptr, false);
  EXPECT_EQ(json["crl"][0]["revoked"], nlohmann::json::array({"0a0b"}));
}

TEST_F(FetchCrlTest, AnAnswerWithoutListsLeavesNoneOfAnEarlierSet) {
  api_.svids.add_crl(authority_.SignCrl(1).der());
  ASSERT_EQ(Lanyard({"fetch", "x509", "--write", dir_.Path("out")}).code, kExitOk);
  {
    const std::lock_guard lock(api_.mutex);
    api_.svids.clear_crl();
  }
  ASSERT_EQ(Lanyard({"fetch", "x509", "--write", dir_.Path("out")}).code, kExitOk);
  EXPECT_EQ(std::filesystem::file_size(dir_.Path("out/crl.pem")), 0u);
}

TEST_F(FetchCrlTest, RefusesAnAnswerWhoseRevocationListIsNone) {
  api_.svids.add_crl("nonsense");
  const Ran ran = Lanyard({"fetch", "x509", "--write", dir_.Path("out")});
  EXPECT_EQ(ran.code, kExitFailed);
  EXPECT_THAT(ran.err, HasSubstr("revocation list 1"));
  EXPECT_FALSE(std::filesystem::exists(dir_.Path("out")));
  api_.bundles.add_crl("nonsense");
  EXPECT_EQ(Lanyard({"fetch", "bundle"}).code, kExitFailed);
}

TEST_F(FetchCrlTest, WritesABundleAndItsListsButPrintsTheBundleAlone) {
  api_.bundles.add_crl(authority_.SignCrl(1).der());
  const Ran ran = Lanyard({"fetch", "bundle", "--write", dir_.Path("out")});
  ASSERT_EQ(ran.code, kExitOk) << ran.err;
  EXPECT_THAT(ran.out, Not(HasSubstr("X509 CRL")));
  const auto read = [&](const char* name) {
    std::ostringstream text;
    text << std::ifstream(dir_.Path(std::string("out/") + name)).rdbuf();
    return text.str();
  };
  EXPECT_EQ(*Certificate::FromPem(read("bundle.pem")), authority_.root.certificate);
  EXPECT_EQ(Crl::ListFromPem(read("crl.pem"))->front().der(), api_.bundles.crl(0));

  (*api_.bundles.mutable_bundles())["spiffe://partner.example"] = authority_.root.certificate.der();
  EXPECT_EQ(Lanyard({"fetch", "bundle", "--write", dir_.Path("several")}).code, kExitFailed);
  EXPECT_FALSE(std::filesystem::exists(dir_.Path("several")));
}

TEST_F(FetchCrlTest, WatchSaysWhenTheRevocationListsAreOthers) {
  api_.updates = {authority_.SignCrl(1), authority_.SignCrl(2, {"0a0b"})};
  const Ran text = Lanyard({"watch", "--count", "2"});
  EXPECT_EQ(text.code, kExitOk) << text.err;
  EXPECT_THAT(text.out, HasSubstr("1 revocation list, 0 certificates revoked, until "));
  EXPECT_THAT(text.out, HasSubstr("1 revocation list, 1 certificate revoked, until "));
  const std::string second = text.out.substr(text.out.find('\n') + 1);
  EXPECT_THAT(text.out.substr(0, text.out.find('\n')), Not(HasSubstr("(changed)")));
  EXPECT_THAT(second, HasSubstr("(changed)"));
  const Ran json = Lanyard({"watch", "--count", "2", "--output", "json"});
  EXPECT_THAT(json.out.substr(0, json.out.find('\n')), HasSubstr("\"crl_changed\":false"));
  EXPECT_THAT(json.out.substr(json.out.find('\n')), HasSubstr("\"crl_changed\":true"));
}

}  // namespace
}  // namespace lanyard
