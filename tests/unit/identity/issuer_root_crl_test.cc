// Lists with a given issuer: its own, signed here, and those of the CAs above it, from a file. Certificates and lists
// of others are made by openssl: see OpensslCli::MakeCertificate and MakeCrl for the commands.
#include "node_agent/identity/issuer_root_crl.h"

#include "tests/unit/identity/crl_fixture.h"

namespace lanyard::testing {
namespace {

using ::testing::AllOf;
using ::testing::IsEmpty;
using IssuerRootCrlTest = GivenIssuerCrlTest;

TEST_F(IssuerRootCrlTest, ItsOwnListServesThoseWhoCheckTheLeafAndTheRootsListCompletesTheChain) {
  Start();
  world.Settle();
  EXPECT_EQ(Lists().size(), 1u);
  const X509Svid good = Issue("good"), bad = Issue("bad");
  EXPECT_EQ(Verify(good, "-crl_check").exit_code, 0) << Verify(good, "-crl_check").output;
  EXPECT_THAT(Verify(good).output, HasSubstr("unable to get certificate CRL"));

  openssl.MakeCrl("root", "root");
  GiveRootCrl(openssl.Read("root.crl"));
  Restart();
  RevokedSerial revoked = Revoked(bad.serial_hex());
  ASSERT_TRUE(Revoke(revoked).ok());
  world.Pass(1s);
  EXPECT_EQ(Lists().size(), 2u);
  EXPECT_EQ(Verify(good).exit_code, 0) << Verify(good).output;
  EXPECT_THAT(Verify(bad).output, HasSubstr("error 23 at 0 depth lookup: certificate revoked"));
  EXPECT_EQ(crls->health().level, HealthLevel::kGood) << crls->health().text;
}

TEST_F(IssuerRootCrlTest, TakesANewFileByItselfAndTellsOfIt) {
  openssl.MakeCrl("first", "root");
  GiveRootCrl(openssl.Read("first.crl"));
  Start();
  world.Settle();
  const int told = changes;
  openssl.MakeCrl("second", "root", {"0badc0de"});
  GiveRootCrl(openssl.Read("second.crl"));
  EXPECT_TRUE(RunUntil(world.loop, [&] {
    world.clock.Advance(100ms);  // the watcher waits until the burst is over
    return changes > told;
  }));
  EXPECT_EQ(Lists().at(1), Crl::ListFromPem(openssl.Read("second.crl"))->front());
}

TEST_F(IssuerRootCrlTest, MayBeDer) {
  openssl.MakeCrl("root", "root");
  openssl.Run("crl -in root.crl -outform DER -out root.der");
  GiveRootCrl(openssl.Read("root.der"));
  Start();
  world.Settle();
  EXPECT_EQ(Lists().size(), 2u);
}

TEST_F(IssuerRootCrlTest, ABadFileKeepsTheLastGoodListAndHealthSaysWhy) {
  openssl.MakeCrl("root", "root");
  GiveRootCrl(openssl.Read("root.crl"));
  Start();
  world.Settle();
  const std::vector<Crl> before = Lists();
  openssl.MakeCertificate("stranger", "", kCaExtensions, "/O=Stranger");
  openssl.MakeCertificate("impostor", "", kCaExtensions, "/O=Upstream/CN=root");
  openssl.MakeCrl("stranger", "stranger");
  openssl.MakeCrl("impostor", "impostor");
  openssl.MakeCrl("forged", "impostor", {}, "");  // of version 1, which does not tell whose key it was
  openssl.MakeCrl("of_one", "one");
  openssl.MakeCrl("expired", "root", {}, "authorityKeyIdentifier=keyid\n",
                  "-crl_lastupdate 20200101000000Z -crl_nextupdate 20200201000000Z");
  openssl.MakeCrl("tomorrow", "root", {}, "authorityKeyIdentifier=keyid\n",
                  "-crl_lastupdate 20900101000000Z -crl_nextupdate 20910101000000Z");
  const std::string good = openssl.Read("root.crl");
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"garbage", "read CRL"},
      {"", "read CRL"},
      {openssl.Read("root.crt"), "no X509 CRL block found"},
      {openssl.Read("stranger.crl"), "it is of none of the CAs above the issuer: the CRL names another issuer"},
      {openssl.Read("impostor.crl"), "with this name, but another key"},
      {openssl.Read("forged.crl"), "the signature of the CRL is not its issuer's"},
      {openssl.Read("of_one.crl"), "it is of the issuer itself, whose list is signed here"},
      {openssl.Read("expired.crl"), "it has expired on 2020-02-01T00:00:00Z"},
      {openssl.Read("tomorrow.crl"), "it begins only on 2090-01-01T00:00:00Z"},
      {good + good, "list 2: it is the second of one CA"},
  };
  for (const auto& [file, why] : cases) {
    GiveRootCrl(file);
    crls->Reload();
    world.Settle();
    EXPECT_EQ(Lists(), before) << why;
    EXPECT_EQ(crls->health().level, HealthLevel::kDegraded) << why;
    EXPECT_THAT(crls->health().text, AllOf(HasSubstr(options.given->issuer_root_crl), HasSubstr(why)));
    GiveRootCrl(good);
    crls->Reload();
    world.Settle();
    EXPECT_EQ(crls->health().level, HealthLevel::kGood) << crls->health().text;
  }
  std::filesystem::remove(options.given->issuer_root_crl);
  crls->Reload();
  world.Settle();
  EXPECT_EQ(Lists(), before);
}

TEST_F(IssuerRootCrlTest, ABadFileAtStartIsToldAndStopsNothing) {
  GiveRootCrl("garbage");
  Start();
  world.Settle();
  EXPECT_EQ(Lists().size(), 1u);
  EXPECT_EQ(crls->health().level, HealthLevel::kBroken);
  EXPECT_THAT(crls->health().text, HasSubstr("refuse everybody"));
  openssl.MakeCrl("root", "root");
  GiveRootCrl(openssl.Read("root.crl"));
  world.Pass(10s);  // also without an event it is tried again
  EXPECT_EQ(Lists().size(), 2u);
}

TEST_F(IssuerRootCrlTest, AListThatRunsOutIsToldBeforeAndAfter) {
  openssl.MakeCrl("root", "root", {}, "authorityKeyIdentifier=keyid\n", "-crlhours 2");
  GiveRootCrl(openssl.Read("root.crl"));
  Start();
  world.Settle();
  EXPECT_EQ(crls->health().level, HealthLevel::kGood) << crls->health().text;
  world.Pass(110min, 60s);
  EXPECT_EQ(crls->health().level, HealthLevel::kDegraded);
  EXPECT_THAT(crls->health().text, HasSubstr("put a newer one in its place"));
  world.Pass(11min, 60s);
  EXPECT_EQ(crls->health().level, HealthLevel::kBroken);
  EXPECT_THAT(crls->health().text, HasSubstr("has expired"));
  EXPECT_EQ(Lists().size(), 2u) << "verifiers refuse just the same without it";
}

TEST_F(IssuerRootCrlTest, EveryCaOfALongerChainIsAskedFor) {
  openssl.MakeCertificate("two", "one", kCaExtensions, "/O=Upstream/CN=two", "10");
  Put(options.given->issuer_cert, openssl.Read("two.crt") + openssl.Read("one.crt"), 0644);
  Put(options.given->issuer_key, openssl.Read("two.key"), 0600);
  openssl.MakeCrl("root", "root");
  openssl.MakeCrl("one", "one");
  GiveRootCrl(openssl.Read("root.crl"));
  Start();
  world.Settle();
  EXPECT_EQ(Lists().size(), 1u);
  EXPECT_THAT(crls->health().text, HasSubstr("no list in it is of the CA that certified serial"));
  GiveRootCrl(openssl.Read("root.crl") + openssl.Read("one.crl"));
  crls->Reload();
  world.Settle();
  EXPECT_EQ(Lists().size(), 3u);
  const X509Svid svid = Issue();
  EXPECT_EQ(Verify(svid).exit_code, 0) << Verify(svid).output;
}

// Whose key usage lacks cRLSign.
void MakeMute(const OpensslCli& openssl) {
  openssl.MakeCertificate("mute", "root",
                          "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n"
                          "subjectKeyIdentifier=hash\n",
                          "/O=Upstream/CN=mute", "20");
}

TEST_F(IssuerRootCrlTest, AnIssuerThatMayNotSignListsHasNoneNorTheRoots) {
  MakeMute(openssl);
  Give("mute");
  openssl.MakeCrl("root", "root");
  GiveRootCrl(openssl.Read("root.crl"));
  Start();
  world.Settle();
  ASSERT_NE(crls->Current().value(), nullptr);
  EXPECT_THAT(crls->Current().value()->lists, IsEmpty()) << "with the root's list alone verifiers refuse everybody";
  EXPECT_EQ(crls->health().level, HealthLevel::kDegraded);
  EXPECT_THAT(crls->health().text, AllOf(HasSubstr("has no key usage cRLSign"), HasSubstr("are not told")));
}

TEST_F(IssuerRootCrlTest, GoingOverToAnIssuerThatMayNotSignListsIsBrokenForVerifiersWhoHaveHadOne) {
  MakeMute(openssl);
  Start();
  world.Settle();
  ASSERT_EQ(Lists().size(), 1u);
  Give("mute");
  ca->Reload();
  world.Settle();
  ASSERT_THAT(Lists(), IsEmpty());
  EXPECT_EQ(crls->health().level, HealthLevel::kBroken);
  EXPECT_THAT(crls->health().text,
              HasSubstr("verifiers that have had a list refuse everybody until they are restarted"));
  Give("one");
  ca->Reload();
  world.Pass(2s);
  EXPECT_EQ(Lists().size(), 1u);
  EXPECT_EQ(crls->health().level, HealthLevel::kGood) << crls->health().text;
}

TEST_F(IssuerRootCrlTest, AnIssuerThatWasReplacedKeepsItsLastListUntilThatEnds) {
  openssl.MakeCrl("root", "root");
  GiveRootCrl(openssl.Read("root.crl"));
  Start();
  world.Settle();
  const X509Svid old = Issue("old"), old_bad = Issue("old_bad");
  ASSERT_TRUE(Revoke(Revoked(old_bad.serial_hex())).ok());
  world.Pass(1s);
  openssl.MakeCertificate("two", "root", kCaExtensions, "/O=Upstream/CN=two", "20");
  Give("two");
  ca->Reload();
  world.Settle();
  const X509Svid fresh = Issue("fresh");
  EXPECT_EQ(Lists().size(), 3u);
  EXPECT_EQ(Verify(old).exit_code, 0) << Verify(old).output;
  EXPECT_EQ(Verify(fresh).exit_code, 0) << Verify(fresh).output;
  EXPECT_NE(Verify(old_bad).exit_code, 0);
  world.Pass(kCrlLife + 1h, 1h);
  EXPECT_EQ(Lists().size(), 2u);
}

TEST_F(IssuerRootCrlTest, AnIssuerWhoseCertificateWasRenewedIsTheSameCaWithOneList) {
  Start();
  world.Pass(2s);
  const Crl before = List();
  openssl.MakeCertificate("one", "root", kCaExtensions, "/O=Upstream/CN=one", "25");
  Give("one");
  ca->Reload();
  world.Pass(2s);
  EXPECT_GT(Number(List()), Number(before));
}

TEST_F(IssuerRootCrlTest, ARootThatSignedOnceAndIsAboveTheIssuerNowHasOneListOnly) {
  openssl.MakeCrl("root", "root");
  GiveRootCrl(openssl.Read("root.crl"));
  Give("root");
  Start();
  world.Settle();
  EXPECT_EQ(Lists().size(), 1u);
  EXPECT_THAT(crls->health().text, HasSubstr("it is of the issuer itself"));
  Give("one");
  ca->Reload();
  world.Settle();
  EXPECT_EQ(Lists().size(), 2u);
  const X509Svid svid = Issue();
  EXPECT_EQ(Verify(svid).exit_code, 0) << Verify(svid).output;
  EXPECT_EQ(crls->health().level, HealthLevel::kGood) << crls->health().text;
}

TEST_F(IssuerRootCrlTest, ARootThatSignsLeavesItselfIsItsOwnChain) {
  Give("root");
  Start();
  world.Settle();
  const X509Svid svid = Issue();
  EXPECT_EQ(Lists().size(), 1u);
  EXPECT_EQ(Verify(svid).exit_code, 0) << Verify(svid).output;
}

}  // namespace
}  // namespace lanyard::testing
