// fetch, watch and health against an agent that a test plays.
#include "tests/unit/app/fetch_fixture.h"

namespace lanyard {
namespace {

TEST_F(FetchTest, PrintsTheIdentityButNeverItsKey) {
  const Ran text = Lanyard({"fetch", "x509"});
  EXPECT_EQ(text.code, kExitOk) << text.err;
  EXPECT_THAT(text.out, HasSubstr("spiffe://example.org/agent"));
  const Ran json = Lanyard({"fetch", "x509", "--output", "json"});
  EXPECT_THAT(text.out + json.out, Not(HasSubstr("PRIVATE KEY")));
  const auto parsed = nlohmann::json::parse(json.out, nullptr, false);
  EXPECT_EQ(parsed["svids"][0].value("spiffe_id", ""), "spiffe://example.org/agent");
  EXPECT_TRUE(api_.has_header);
}

TEST_F(FetchTest, WritesFilesThatFitTogether) {
  const Ran ran = Lanyard({"fetch", "x509", "--write", dir_.Path("out")});
  ASSERT_EQ(ran.code, kExitOk) << ran.err;
  const auto read = [&](const char* name) {
    std::ostringstream text;
    text << std::ifstream(dir_.Path(std::string("out/") + name)).rdbuf();
    return text.str();
  };
  EXPECT_TRUE(
      X509Svid::Create(*Certificate::ListFromPem(read("svid.pem")), *PrivateKey::FromPem(read("svid.key"))).ok());
  EXPECT_EQ(*Certificate::FromPem(read("bundle.pem")), authority_.root.certificate);
  struct stat info {};
  ASSERT_EQ(stat(dir_.Path("out/svid.key").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(FetchTest, ChoosesTheIdentityThatWasAskedFor) {
  *api_.svids.add_svids() = authority_.Issue("/other");
  const Ran other = Lanyard({"fetch", "x509", "--spiffe-id", "spiffe://example.org/other"});
  EXPECT_THAT(other.out, AllOf(HasSubstr("spiffe://example.org/other"), Not(HasSubstr("spiffe://example.org/agent"))));
  const Ran none = Lanyard({"fetch", "x509", "--spiffe-id", "spiffe://example.org/admin", "--write", dir_.Path("out")});
  EXPECT_EQ(none.code, kExitDenied);
  EXPECT_THAT(none.err, HasSubstr("spiffe://example.org/agent, spiffe://example.org/other"));
  EXPECT_FALSE(std::filesystem::exists(dir_.Path("out")));
}

TEST_F(FetchTest, ADenialIsFourAndSaysWhoWasDenied) {
  api_.status = grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "no identity issued");
  for (const std::vector<std::string>& line :
       {std::vector<std::string>{"fetch", "x509"}, {"fetch", "bundle"}, {"watch"}}) {
    const Ran ran = Lanyard(line);
    EXPECT_EQ(ran.code, kExitDenied);
    EXPECT_THAT(ran.err, AllOf(HasSubstr(fmt::format("uid {}", geteuid())), HasSubstr("lanyard registry list")));
    EXPECT_THAT(ran.out, IsEmpty());
  }
}

TEST_F(FetchTest, AnAgentThatCannotAnswerNowIsNotAnAgentThatIsAway) {
  api_.status = grpc::Status(grpc::StatusCode::UNAVAILABLE, "attestor docker: timed out");
  const Ran ran = Lanyard({"fetch", "x509"});
  EXPECT_EQ(ran.code, kExitFailed);
  EXPECT_THAT(ran.err, HasSubstr("attestor docker: timed out"));
}

TEST_F(FetchTest, RefusesAKeyThatIsNotTheCertificates) {
  api_.svids.mutable_svids(0)->set_x509_svid_key(authority_.Issue("/agent").x509_svid_key());
  const Ran ran = Lanyard({"fetch", "x509", "--write", dir_.Path("out")});
  EXPECT_EQ(ran.code, kExitFailed);
  EXPECT_FALSE(std::filesystem::exists(dir_.Path("out")));
}

TEST_F(FetchTest, RefusesACertificateForSomebodyElse) {
  api_.svids.mutable_svids(0)->set_spiffe_id("spiffe://example.org/admin");
  EXPECT_EQ(Lanyard({"fetch", "x509"}).code, kExitFailed);
}

TEST_F(FetchTest, RefusesAnSvidThatItsBundleDoesNotVouchFor) {
  api_.svids.mutable_svids(0)->set_bundle(FetchAuthority::Make("example.org").root.certificate.der());
  EXPECT_EQ(Lanyard({"fetch", "x509"}).code, kExitFailed);
}

TEST_F(FetchTest, RefusesAnSvidThatHasExpired) {
  *api_.svids.mutable_svids(0) = authority_.Issue("/agent", std::chrono::minutes(-1));
  EXPECT_EQ(Lanyard({"fetch", "x509"}).code, kExitFailed);
}

TEST_F(FetchTest, RefusesAnAnswerThatLacksAMandatoryField) {
  const X509SVIDResponse whole = api_.svids;
  for (const char* field : {"spiffe_id", "x509_svid", "x509_svid_key", "bundle"}) {
    {
      const std::lock_guard lock(api_.mutex);
      api_.svids = whole;
      X509SVID& svid = *api_.svids.mutable_svids(0);
      svid.GetReflection()->ClearField(&svid, svid.GetDescriptor()->FindFieldByName(field));
    }
    const Ran ran = Lanyard({"fetch", "x509", "--write", dir_.Path("out")});
    EXPECT_EQ(ran.code, kExitFailed) << field;
    EXPECT_FALSE(std::filesystem::exists(dir_.Path("out"))) << field;
  }
  {
    const std::lock_guard lock(api_.mutex);
    api_.svids.clear_svids();
  }
  EXPECT_EQ(Lanyard({"fetch", "x509"}).code, kExitFailed);
  api_.bundles.clear_bundles();
  EXPECT_EQ(Lanyard({"fetch", "bundle"}).code, kExitFailed);
}

TEST_F(FetchTest, BundleIsPemOrADocument) {
  EXPECT_EQ(*Certificate::FromPem(Lanyard({"fetch", "bundle"}).out), authority_.root.certificate);
  EXPECT_TRUE(api_.has_header);
  const auto json = nlohmann::json::parse(Lanyard({"fetch", "bundle", "--output", "json"}).out, nullptr, false);
  EXPECT_EQ(json["spiffe://example.org"]["keys"].size(), 1u);
}

TEST_F(FetchTest, AskingForOneTrustDomainLeavesTheOthersOut) {
  const FetchAuthority partner = FetchAuthority::Make("partner.example");
  (*api_.bundles.mutable_bundles())["spiffe://partner.example"] = partner.root.certificate.der();
  const Ran all = Lanyard({"fetch", "bundle"});
  EXPECT_THAT(all.err, HasSubstr("several trust domains"));
  const Ran one = Lanyard({"fetch", "bundle", "--trust-domain", "partner.example"});
  EXPECT_EQ(*Certificate::FromPem(one.out), partner.root.certificate);
  EXPECT_EQ(Lanyard({"fetch", "bundle", "--trust-domain", "unknown.example"}).code, kExitFailed);
}

TEST_F(FetchTest, WatchComesBackWhenTheStreamEnds) {
  const Ran ran = Lanyard({"watch", "--count", "2", "--output", "json"});
  EXPECT_EQ(ran.code, kExitOk) << ran.err;
  EXPECT_EQ(api_.calls, 2);
  std::istringstream lines(ran.out);
  int updates = 0;
  for (std::string line; std::getline(lines, line); ++updates) {
    const auto json = nlohmann::json::parse(line, nullptr, false);
    EXPECT_EQ(json.value("kind", ""), "x509");
    EXPECT_EQ(json["svids"][0].value("spiffe_id", ""), "spiffe://example.org/agent");
  }
  EXPECT_EQ(updates, 2);
}

TEST_F(FetchTest, WatchDoesNotRepeatAFirstCallThatFails) {
  api_.status = grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "security header missing");
  const Ran ran = Lanyard({"watch"});
  EXPECT_EQ(ran.code, kExitFailed);
  EXPECT_THAT(ran.err, HasSubstr("security header missing"));
  EXPECT_EQ(api_.calls, 1);
}

TEST_F(FetchTest, WatchEndsWhenTheAgentRefusesTheRequestItself) {
  api_.end = grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "no such thing");
  const Ran ran = Lanyard({"watch"});
  EXPECT_EQ(ran.code, kExitFailed);
  EXPECT_THAT(ran.out, HasSubstr("spiffe://example.org/agent"));
  EXPECT_THAT(ran.err, HasSubstr("no such thing"));
  EXPECT_EQ(api_.calls, 1);
}

TEST_F(FetchTest, HealthIsOneWhenFailingAndZeroWhenDegraded) {
  admin_.SetHealth(admin::v1::HEALTH_STATUS_DEGRADED);
  auto* finding = admin_.health.add_findings();
  finding->set_component("registry");
  finding->set_severity(admin::v1::HEALTH_STATUS_DEGRADED);
  finding->set_text("broken file");
  finding->set_remedy("mend it");
  const Ran degraded = Lanyard({"health"}, "--admin-socket");
  EXPECT_EQ(degraded.code, kExitOk) << degraded.err;
  EXPECT_THAT(degraded.out, AllOf(HasSubstr("broken file"), HasSubstr("mend it")));
  admin_.SetHealth(admin::v1::HEALTH_STATUS_FAILING);
  EXPECT_EQ(Lanyard({"health"}, "--admin-socket").code, kExitFailed);
  admin_.SetHealth(admin::v1::HEALTH_STATUS_UNSPECIFIED);
  EXPECT_EQ(Lanyard({"health"}, "--admin-socket").code, kExitFailed);
}

TEST_F(FetchTest, ListsTheRegistry) {
  auto* entry = admin_.entries.add_entries();
  entry->set_spiffe_id("spiffe://example.org/agent");
  entry->add_selectors("unix:uid:1000");
  entry->mutable_x509_ttl()->set_seconds(60);
  entry->set_file("/etc/lanyard/registry.d/a.yaml");
  entry->set_line(2);
  const Ran text = Lanyard({"registry", "list"}, "--admin-socket");
  EXPECT_THAT(text.out, AllOf(HasSubstr("spiffe://example.org/agent"), HasSubstr("unix:uid:1000"), HasSubstr("1m"),
                              HasSubstr("a.yaml:2")));
  const auto json =
      nlohmann::json::parse(Lanyard({"registry", "list", "--output", "json"}, "--admin-socket").out, nullptr, false);
  EXPECT_EQ(json["entries"][0].value("x509_ttl", ""), "1m");
}

TEST_F(FetchTest, ARefusalOfTheAgentIsOneAndCannotMoveTheCursor) {
  const Ran ran = Lanyard({"ca", "rotate"}, "--admin-socket");
  EXPECT_EQ(ran.code, kExitFailed);
  EXPECT_THAT(ran.err, AllOf(HasSubstr("the issuer is given"), Not(HasSubstr("\x1b"))));
}

}  // namespace
}  // namespace lanyard
