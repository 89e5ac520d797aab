#include "workload_api/workload_service.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "pki/issuer.h"
#include "pki/root.h"
#include "tests/support/fake_call.h"
#include "tests/support/fake_clock.h"
#include "tests/support/loop_driver.h"
#include "tests/support/temp_dir.h"
#include "workload_api/proto/workloadapi.pb.h"

namespace lanyard {
namespace {

using std::chrono::seconds;

// An authority in memory; signs on the loop.
class TestSource : public IdentitySource {
 public:
  TestSource(EventLoop& loop, FakeClock& clock) : loop_(loop), clock_(clock) { NewRoot(); }

  void NewRoot() {
    const TrustDomain domain = TrustDomain::Parse("example.org").value();
    root_.emplace(
        MakeRootCa(domain, KeyType::kEcP256, clock_.WallNow() - seconds(60), clock_.WallNow() + std::chrono::hours(24))
            .value());
    bundle_ = std::make_shared<const Bundle>(Bundle::Create(domain, {root_->certificate}).value());
    if (on_bundle_change_) on_bundle_change_();
  }

  void Issue(IssueRequest request, IssueDone done) override {
    loop_.Post([this, request = std::move(request), done = std::move(done)]() mutable {
      if (!broken.ok()) return std::move(done)(broken);
      const Issuer issuer = Issuer::Create({root_->certificate}, root_->key).value();
      ++issued;
      std::move(done)(issuer.IssueLeaf({.id = request.entry->id,
                                        .key_type = request.key_type,
                                        .dns_names = request.entry->dns_names,
                                        .not_before = clock_.WallNow() - seconds(10),
                                        .not_after = clock_.WallNow() + request.ttl}));
    });
  }
  std::shared_ptr<const Bundle> bundle() const override { return bundle_; }
  void OnBundleChange(Listener listener) override { on_bundle_change_ = std::move(listener); }
  void OnSignerChange(Listener) override {}
  HealthReport health() const override { return {}; }

  Status broken;
  int issued = 0;

 private:
  EventLoop& loop_;
  FakeClock& clock_;
  std::optional<SelfSignedCa> root_;
  std::shared_ptr<const Bundle> bundle_;
  Listener on_bundle_change_;
};

// Gives the selector "unix:uid:<n>", or nothing but a reason.
class TestAttestor : public Attestor {
 public:
  TestAttestor(EventLoop& loop, std::string& selector, Status& broken)
      : loop_(loop), selector_(selector), broken_(broken) {}
  std::string_view type() const override { return "unix"; }
  std::unique_ptr<Attempt> Attest(std::shared_ptr<const Subject>, Deadline, Done done) override {
    struct Pending : Attempt {
      std::shared_ptr<bool> cancelled = std::make_shared<bool>(false);
      ~Pending() override { *cancelled = true; }
    };
    auto attempt = std::make_unique<Pending>();
    loop_.Post([this, cancelled = attempt->cancelled, done = std::move(done)]() mutable {
      if (*cancelled) return;
      if (!broken_.ok()) return std::move(done)(broken_);
      std::move(done)(Findings{.selectors = {Selector::Parse(selector_).value()}, .gaps = {}});
    });
    return attempt;
  }

 private:
  EventLoop& loop_;
  std::string& selector_;
  Status& broken_;
};

constexpr char kOneEntry[] = R"(entries:
  - spiffe_id: spiffe://example.org/bot
    selectors: ["unix:uid:1000"]
    x509_ttl: 60s
    hint: internal
)";
constexpr char kTwoEntries[] = R"(entries:
  - spiffe_id: spiffe://example.org/zebra
    selectors: ["unix:uid:1000"]
  - spiffe_id: spiffe://example.org/ant
    selectors: ["unix:uid:1000"]
)";

class WorkloadServiceTest : public testing::Test {
 protected:
  WorkloadServiceTest() { SetRegistry(kOneEntry); }

  void SetRegistry(const std::string& yaml) {
    std::ofstream(directory_.path() + "/entries.yaml") << yaml;
    if (registry_ == nullptr) {
      auto store = RegistryStore::Open(
          loop_, clock_, {.trust_domain = TrustDomain::Parse("example.org").value(), .paths = {directory_.path()}});
      ASSERT_TRUE(store.ok()) << store.status();
      registry_ = *std::move(store);
      registry_->OnChange([this] { hub_->NotifyRegistry(); });
      BuildServices();
    } else {
      bool loaded = false;
      registry_->Reload([&](const Status& status) {
        EXPECT_TRUE(status.ok()) << status;
        loaded = true;
      });
      ASSERT_TRUE(RunUntil(loop_, [&] { return loaded; }));
      Settle();
    }
  }

  void BuildServices() {
    std::vector<std::unique_ptr<Attestor>> attestors;
    attestors.push_back(std::make_unique<TestAttestor>(loop_, selector_, attestor_broken_));
    attestors_ = std::make_unique<AttestorSet>(loop_, clock_, std::move(attestors));
    svids_ =
        std::make_unique<SvidCache>(source_, clock_, SvidCacheOptions{.default_ttl = seconds(60)}, [] { return 0.5; });
    hub_ = std::make_unique<UpdateHub>(*svids_, source_, clock_);
    services_.reset(new WorkloadServices{.caller = {.attestors = *attestors_,
                                                    .registry = *registry_,
                                                    .clock = clock_,
                                                    .denials = denials_,
                                                    .attestation_timeout = seconds(5)},
                                         .svids = *svids_,
                                         .source = source_,
                                         .hub = *hub_,
                                         .responses = ResponseShare(clock_)});
    methods_ = WorkloadMethods(*services_);
  }

  // Runs everything that is under way, with a little time for batched updates.
  void Settle() {
    for (int round = 0; round < 10; ++round) {
      RunUntilIdle(loop_);
      clock_.Advance(std::chrono::milliseconds(10));
    }
    RunUntilIdle(loop_);
  }

  struct OpenCall {
    explicit OpenCall(const std::string& name) : call("/SpiffeWorkloadAPI/" + name) {}
    FakeCall call;
    std::unique_ptr<CallHandler> handler;
  };

  std::unique_ptr<OpenCall> Open(const std::string& name, std::vector<std::string> header = {"true"}) {
    auto open = std::make_unique<OpenCall>(name);
    for (const std::string& value : header) open->call.metadata.emplace("workload.spiffe.io", value);
    open->handler = methods_.at("/SpiffeWorkloadAPI/" + name)(open->call);
    if (open->handler != nullptr) {
      grpc::Slice empty;
      open->handler->OnMessage(grpc::ByteBuffer(&empty, 1));
    }
    return open;
  }

  EventLoop loop_;
  FakeClock clock_;
  TempDir directory_;
  TestSource source_{loop_, clock_};
  std::string selector_ = "unix:uid:1000";
  Status attestor_broken_;
  DenialLog denials_{clock_};
  std::unique_ptr<RegistryStore> registry_;
  std::unique_ptr<AttestorSet> attestors_;
  std::unique_ptr<SvidCache> svids_;
  std::unique_ptr<UpdateHub> hub_;
  std::unique_ptr<WorkloadServices> services_;
  Methods methods_;
};

TEST_F(WorkloadServiceTest, HandsOutAnSvidWithItsKeyBundleAndHint) {
  auto stream = Open("FetchX509SVID");
  Settle();

  const auto response = stream->call.Last<X509SVIDResponse>();
  ASSERT_EQ(response.svids_size(), 1);
  const auto& svid = response.svids(0);
  EXPECT_EQ(svid.spiffe_id(), "spiffe://example.org/bot");
  EXPECT_EQ(svid.hint(), "internal");
  EXPECT_EQ(svid.bundle(), source_.bundle()->X509Der());
  const auto parsed = X509Svid::Create(Certificate::ListFromDer(svid.x509_svid()).value(),
                                       PrivateKey::FromPkcs8Der(svid.x509_svid_key()).value());
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->id().str(), "spiffe://example.org/bot");
  EXPECT_FALSE(stream->call.status) << "the stream stays open";
}

TEST_F(WorkloadServiceTest, ListsTheSvidsInTheOrderOfTheRegistry) {
  SetRegistry(kTwoEntries);
  auto stream = Open("FetchX509SVID");
  Settle();

  const auto response = stream->call.Last<X509SVIDResponse>();
  ASSERT_EQ(response.svids_size(), 2);
  EXPECT_EQ(response.svids(0).spiffe_id(), "spiffe://example.org/zebra");
  EXPECT_EQ(response.svids(1).spiffe_id(), "spiffe://example.org/ant");
}

TEST_F(WorkloadServiceTest, RefusesACallWithoutTheSecurityHeader) {
  for (const char* method : {"FetchX509SVID", "FetchX509Bundles", "FetchJWTSVID"}) {
    EXPECT_EQ(Open(method, {})->call.status->code(), StatusCode::kInvalidArgument) << method;
    EXPECT_EQ(Open(method, {"false"})->call.status->code(), StatusCode::kInvalidArgument) << method;
    EXPECT_EQ(Open(method, {"TRUE"})->call.status->code(), StatusCode::kInvalidArgument) << method;
    EXPECT_EQ(Open(method, {"true", "true"})->call.status->code(), StatusCode::kInvalidArgument) << method;
  }
}

TEST_F(WorkloadServiceTest, AnswersUnimplementedForJwtAndWit) {
  for (const char* method : {"FetchJWTSVID", "FetchJWTBundles", "ValidateJWTSVID", "FetchWITSVID", "FetchWITBundles"}) {
    EXPECT_EQ(Open(method)->call.status->code(), StatusCode::kUnimplemented) << method;
  }
}

TEST_F(WorkloadServiceTest, DeniesACallerThatNoEntryMatches) {
  selector_ = "unix:uid:4711";
  for (const char* method : {"FetchX509SVID", "FetchX509Bundles"}) {
    auto stream = Open(method);
    Settle();
    ASSERT_TRUE(stream->call.status) << method;
    EXPECT_EQ(stream->call.status->code(), StatusCode::kPermissionDenied);
    EXPECT_TRUE(stream->call.messages.empty());
  }
  EXPECT_EQ(denials_.denials(), 2u);
}

TEST_F(WorkloadServiceTest, HandsOutNothingWhenTheAttestorFails) {
  attestor_broken_ = Error(StatusCode::kInternal, "proc is not mounted");
  auto stream = Open("FetchX509SVID");
  Settle();

  ASSERT_TRUE(stream->call.status);
  EXPECT_EQ(stream->call.status->code(), StatusCode::kUnavailable);
  EXPECT_NE(Message(*stream->call.status).find("proc is not mounted"), std::string_view::npos);
  EXPECT_TRUE(stream->call.messages.empty());
}

TEST_F(WorkloadServiceTest, IsUnavailableWhenTheFirstSvidCannotBeIssued) {
  source_.broken = Error(StatusCode::kUnavailable, "the authority is away");
  auto stream = Open("FetchX509SVID");
  Settle();

  ASSERT_TRUE(stream->call.status);
  EXPECT_EQ(stream->call.status->code(), StatusCode::kUnavailable);
}

TEST_F(WorkloadServiceTest, PushesTheRenewedSvidAtHalfLife) {
  auto stream = Open("FetchX509SVID");
  Settle();
  const std::string first = stream->call.Last<X509SVIDResponse>().svids(0).x509_svid();
  stream->call.Deliver();

  clock_.Advance(seconds(35));
  Settle();

  ASSERT_EQ(stream->call.messages.size(), 2u);
  EXPECT_NE(stream->call.Last<X509SVIDResponse>().svids(0).x509_svid(), first);
}

TEST_F(WorkloadServiceTest, SkipsVersionsForAStreamThatIsSlow) {
  auto stream = Open("FetchX509SVID");
  Settle();
  for (int renewal = 0; renewal < 4; ++renewal) {
    clock_.Advance(seconds(35));
    Settle();
  }
  ASSERT_EQ(stream->call.messages.size(), 1u) << "the first message is still on its way";

  stream->call.Deliver();
  Settle();

  ASSERT_EQ(stream->call.messages.size(), 2u);
  const std::string leaf = stream->call.Last<X509SVIDResponse>().svids(0).x509_svid();
  EXPECT_GT(Certificate::FromDer(leaf)->not_after(), clock_.WallNow()) << "the newest, not the next";
  stream->call.Deliver();
  Settle();
  EXPECT_EQ(stream->call.messages.size(), 2u) << "nothing was queued";
}

TEST_F(WorkloadServiceTest, KeepsTheStreamOpenWhileRenewalFails) {
  auto stream = Open("FetchX509SVID");
  Settle();
  stream->call.Deliver();
  source_.broken = Error(StatusCode::kUnavailable, "the authority is away");
  clock_.Advance(seconds(40));
  Settle();
  EXPECT_FALSE(stream->call.status);

  source_.broken = OkStatus();
  clock_.Advance(seconds(31));
  Settle();

  EXPECT_FALSE(stream->call.status);
  EXPECT_GE(stream->call.messages.size(), 2u);
}

TEST_F(WorkloadServiceTest, EndsAnOpenStreamWhenItsLastEntryGoes) {
  auto svids = Open("FetchX509SVID");
  auto bundles = Open("FetchX509Bundles");
  Settle();
  ASSERT_FALSE(svids->call.status);
  ASSERT_FALSE(bundles->call.status);

  SetRegistry("entries: []\n");

  ASSERT_TRUE(svids->call.status);
  EXPECT_EQ(svids->call.status->code(), StatusCode::kPermissionDenied);
  ASSERT_TRUE(bundles->call.status);
  EXPECT_EQ(bundles->call.status->code(), StatusCode::kPermissionDenied);
}

TEST_F(WorkloadServiceTest, PushesAnEntryThatWasAdded) {
  auto stream = Open("FetchX509SVID");
  Settle();
  stream->call.Deliver();

  SetRegistry(std::string(kOneEntry) +
              "  - spiffe_id: spiffe://example.org/second\n    selectors: [\"unix:uid:1000\"]\n");

  ASSERT_EQ(stream->call.messages.size(), 2u);
  EXPECT_EQ(stream->call.Last<X509SVIDResponse>().svids_size(), 2);
}

TEST_F(WorkloadServiceTest, DoesNotDisturbAStreamWhoseEntriesAreUnchanged) {
  auto stream = Open("FetchX509SVID");
  Settle();
  stream->call.Deliver();
  const int issued = source_.issued;

  SetRegistry(std::string("# a comment\n") + kOneEntry +
              "  - spiffe_id: spiffe://example.org/x\n    selectors: [\"unix:uid:7\"]\n");

  EXPECT_EQ(stream->call.messages.size(), 1u);
  EXPECT_EQ(source_.issued, issued);
}

TEST_F(WorkloadServiceTest, PushesTheBundleWhenItChanges) {
  auto svids = Open("FetchX509SVID");
  auto bundles = Open("FetchX509Bundles");
  Settle();
  svids->call.Deliver();
  bundles->call.Deliver();

  source_.NewRoot();
  Settle();

  ASSERT_EQ(bundles->call.messages.size(), 2u);
  EXPECT_EQ(bundles->call.Last<X509BundlesResponse>().bundles().at("spiffe://example.org"),
            source_.bundle()->X509Der());
  ASSERT_EQ(svids->call.messages.size(), 2u);
  EXPECT_EQ(svids->call.Last<X509SVIDResponse>().svids(0).bundle(), source_.bundle()->X509Der());
}

TEST_F(WorkloadServiceTest, SignsOnceForManyStreamsOfOneEntry) {
  std::vector<std::unique_ptr<OpenCall>> streams;
  for (int i = 0; i < 20; ++i) streams.push_back(Open("FetchX509SVID"));
  Settle();

  EXPECT_EQ(source_.issued, 1);
  for (const auto& stream : streams) EXPECT_EQ(stream->call.messages, streams.front()->call.messages);
}

TEST_F(WorkloadServiceTest, ForgetsACallThatEndsInTheMiddleOfAttestation) {
  auto stream = Open("FetchX509SVID");
  stream.reset();
  Settle();

  EXPECT_EQ(source_.issued, 0);
  EXPECT_EQ(hub_->subscriptions(), 0u);
}

}  // namespace
}  // namespace lanyard
