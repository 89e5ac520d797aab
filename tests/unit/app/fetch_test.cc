// fetch, watch and health against an agent that a test plays.
#include <gmock/gmock.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <sys/stat.h>

#include <atomic>
#include <mutex>
#include <nlohmann/json.hpp>
#include <sstream>

#include "node_agent/admin/proto/admin.grpc.pb.h"
#include "node_agent/app/cli.h"
#include "pki/issuer.h"
#include "pki/root.h"
#include "tests/support/temp_dir.h"
#include "workload_api/proto/workloadapi.grpc.pb.h"

namespace lanyard {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

struct Authority {
  TrustDomain trust_domain;
  SelfSignedCa root;

  static Authority Make(const char* name) {
    const auto now = std::chrono::system_clock::now();
    TrustDomain trust_domain = *TrustDomain::Parse(name);
    SelfSignedCa root =
        *MakeRootCa(trust_domain, KeyType::kEcP256, now - std::chrono::hours(1), now + std::chrono::hours(24));
    return {std::move(trust_domain), std::move(root)};
  }

  X509SVID Issue(const char* path, std::chrono::seconds ttl = std::chrono::hours(1)) const {
    const auto now = std::chrono::system_clock::now();
    const Issuer issuer = *Issuer::Create({root.certificate}, root.key);
    const X509Svid svid = *issuer.IssueLeaf({.id = *SpiffeId::FromTrustDomainAndPath(trust_domain, path),
                                             .key_type = KeyType::kEcP256,
                                             .dns_names = {},
                                             .not_before = now - std::chrono::minutes(30),
                                             .not_after = now + ttl});
    X509SVID message;
    message.set_spiffe_id(svid.id().str());
    message.set_x509_svid(svid.ChainDer());
    const SecretBytes key = *svid.key().ToPkcs8Der();
    message.set_x509_svid_key(key.data(), key.size());
    message.set_bundle(root.certificate.der());
    return message;
  }
};

class FakeWorkloadApi final : public SpiffeWorkloadAPI::Service {
 public:
  grpc::Status FetchX509SVID(grpc::ServerContext* context, const X509SVIDRequest*,
                             grpc::ServerWriter<X509SVIDResponse>* writer) override {
    const auto header = context->client_metadata().find("workload.spiffe.io");
    has_header = header != context->client_metadata().end() && header->second == "true";
    ++calls;
    if (!status.ok()) return status;
    const std::lock_guard lock(mutex);
    writer->Write(svids);
    return end;  // of the stream, so that a watch has to come back
  }
  grpc::Status FetchX509Bundles(grpc::ServerContext* context, const X509BundlesRequest*,
                                grpc::ServerWriter<X509BundlesResponse>* writer) override {
    const auto header = context->client_metadata().find("workload.spiffe.io");
    has_header = header != context->client_metadata().end() && header->second == "true";
    if (!status.ok()) return status;
    writer->Write(bundles);
    return grpc::Status::OK;
  }

  grpc::Status status;  // instead of an update
  grpc::Status end;     // after one
  std::mutex mutex;     // guards svids where they change after a first call
  X509SVIDResponse svids;
  X509BundlesResponse bundles;
  std::atomic<bool> has_header{false};
  std::atomic<int> calls{0};
};

class FakeAdmin final : public admin::v1::Admin::Service {
 public:
  grpc::Status GetHealth(grpc::ServerContext*, const admin::v1::GetHealthRequest*,
                         admin::v1::GetHealthResponse* response) override {
    const std::lock_guard lock(mutex);
    *response = health;
    return grpc::Status::OK;
  }
  grpc::Status ListEntries(grpc::ServerContext*, const admin::v1::ListEntriesRequest*,
                           admin::v1::ListEntriesResponse* response) override {
    *response = entries;
    return grpc::Status::OK;
  }
  grpc::Status RotateCa(grpc::ServerContext*, const admin::v1::RotateCaRequest*,
                        admin::v1::RotateCaResponse*) override {
    return grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, "the issuer is given\x1b[2J");
  }
  void SetHealth(admin::v1::HealthStatus status) {
    const std::lock_guard lock(mutex);
    health.set_status(status);
  }

  std::mutex mutex;  // guards health where it changes after a first call
  admin::v1::GetHealthResponse health;
  admin::v1::ListEntriesResponse entries;
};

struct Ran {
  int code;
  std::string out, err;
};

class FetchTest : public testing::Test {
 protected:
  FetchTest() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + socket_, grpc::InsecureServerCredentials());
    builder.RegisterService(&api_);
    builder.RegisterService(&admin_);
    server_ = builder.BuildAndStart();
    *api_.svids.add_svids() = authority_.Issue("/agent");
    (*api_.bundles.mutable_bundles())["spiffe://example.org"] = authority_.root.certificate.der();
  }
  ~FetchTest() override { server_->Shutdown(); }

  Ran Lanyard(std::vector<std::string> arguments, const char* option = "--socket") {
    arguments.insert(arguments.end(), {option, "unix://" + socket_});
    std::ostringstream out, err;
    const int code = RunCommandLine(std::move(arguments), Console{out, err});
    return {code, out.str(), err.str()};
  }

  TempDir dir_;
  const std::string socket_ = dir_.Path("odd name%.sock");
  Authority authority_ = Authority::Make("example.org");
  FakeWorkloadApi api_;
  FakeAdmin admin_;
  std::unique_ptr<grpc::Server> server_;
};

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
  api_.svids.mutable_svids(0)->set_bundle(Authority::Make("example.org").root.certificate.der());
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
  const Authority partner = Authority::Make("partner.example");
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
