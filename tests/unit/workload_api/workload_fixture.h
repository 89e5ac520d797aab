// The workload service on a loop and a clock of the test's, with an authority in memory and an attestor that says what
// the test wants to hear.
//
// Thread: the test's.
#pragma once

#include <gtest/gtest.h>

#include <fstream>

#include "pki/issuer.h"
#include "pki/root.h"
#include "tests/support/fake_call.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_records.h"
#include "tests/support/loop_driver.h"
#include "tests/support/temp_dir.h"
#include "workload_api/workload_service.h"

namespace lanyard {

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
    ShowBundle();
  }
  void NewTokenKeys() {
    jwt_signer_ = TokenSigner::Create(PrivateKey::Generate(KeyType::kEcP256).value()).value();
    wit_signer_ = TokenSigner::Create(PrivateKey::Generate(KeyType::kEcP256).value()).value();
    for (Listener& listener : on_token_signer_change_) listener();
    ShowBundle();
  }
  void LoseTokenKeys() {
    token_keys_ = false;
    ShowBundle();
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
  void IssueJwt(JwtRequest request, JwtDone done) override {
    jwts_asked_.push_back([this, request = std::move(request), done = std::move(done)]() mutable {
      if (!broken.ok()) return std::move(done)(broken);
      ++issued_jwt;
      std::move(done)(JwtSvid::Issue(jwt_signer_, {.id = request.entry->id,
                                                   .audiences = request.audiences,
                                                   .issued_at = clock_.WallNow(),
                                                   .expires = clock_.WallNow() + request.ttl}));
    });
    if (!hold_jwts) SignJwts();
  }
  void SignJwts() {
    for (auto& sign : std::exchange(jwts_asked_, {})) loop_.Post(std::move(sign));
  }
  void IssueWit(WitRequest request, WitDone done) override {
    loop_.Post([this, request = std::move(request), done = std::move(done)]() mutable {
      if (!broken.ok()) return std::move(done)(broken);
      std::move(done)(WitSvid::Issue(wit_signer_, {.id = request.entry->id,
                                                   .key_type = request.key_type,
                                                   .not_before = clock_.WallNow() - seconds(10),
                                                   .issued_at = clock_.WallNow(),
                                                   .expires = clock_.WallNow() + request.ttl}));
    });
  }
  std::shared_ptr<const Bundle> bundle() const override { return bundle_; }
  std::vector<Issuer> issuers() const { return {Issuer::Create({root_->certificate}, root_->key).value()}; }
  void LoseBundle() { bundle_ = nullptr; }
  void OnBundleChange(Listener listener) override { on_bundle_change_.push_back(std::move(listener)); }
  void OnSignerChange(Listener) override {}
  void OnTokenSignerChange(Listener listener) override { on_token_signer_change_.push_back(std::move(listener)); }
  HealthReport health() const override { return {HealthLevel::kGood, "the health of the source"}; }
  const TokenSigner& jwt_signer() const { return jwt_signer_; }

  Status broken;
  int issued = 0, issued_jwt = 0;
  bool hold_jwts = false;  // until SignJwts()

 private:
  void ShowBundle() {
    TokenAuthorities keys;
    if (token_keys_) keys = {.jwt = {jwt_signer_.authority()}, .wit = {wit_signer_.authority()}};
    bundle_ = std::make_shared<const Bundle>(
        Bundle::Create(TrustDomain::Parse("example.org").value(), {root_->certificate}, {}, std::move(keys)).value());
    for (Listener& listener : on_bundle_change_) listener();
  }

  EventLoop& loop_;
  FakeClock& clock_;
  std::optional<SelfSignedCa> root_;
  TokenSigner jwt_signer_ = TokenSigner::Create(PrivateKey::Generate(KeyType::kEcP256).value()).value();
  TokenSigner wit_signer_ = TokenSigner::Create(PrivateKey::Generate(KeyType::kEcP256).value()).value();
  bool token_keys_ = true;
  std::shared_ptr<const Bundle> bundle_;
  std::vector<Listener> on_bundle_change_, on_token_signer_change_;
  std::vector<absl::AnyInvocable<void()>> jwts_asked_;
};

// Gives what is wanted of the selector "unix:uid:<n>" and `more`, or nothing but a reason.
class TestAttestor : public Attestor {
 public:
  TestAttestor(EventLoop& loop, std::string& selector, std::vector<std::string>& more, Status& broken, int& looks)
      : loop_(loop), selector_(selector), more_(more), broken_(broken), looks_(looks) {}
  std::string_view type() const override { return "unix"; }
  std::unique_ptr<Attempt> Attest(std::shared_ptr<const Subject> subject, Deadline, Done done) override {
    struct Pending : Attempt {
      std::shared_ptr<bool> cancelled = std::make_shared<bool>(false);
      ~Pending() override { *cancelled = true; }
    };
    auto attempt = std::make_unique<Pending>();
    ++looks_;
    loop_.Post([this, cancelled = attempt->cancelled, subject, done = std::move(done)]() mutable {
      if (*cancelled) return;
      if (!broken_.ok()) return std::move(done)(broken_);
      Findings findings;
      const auto add = [&](const std::string& text) {
        Selector selector = Selector::Parse(text).value();
        if (subject->wanted().Has("unix", selector.value.substr(0, selector.value.find(':'))))
          findings.selectors.push_back(std::move(selector));
      };
      add(selector_);
      for (const std::string& text : more_) add(text);
      std::move(done)(std::move(findings));
    });
    return attempt;
  }

 private:
  EventLoop& loop_;
  std::string& selector_;
  std::vector<std::string>& more_;
  Status& broken_;
  int& looks_;
};

inline constexpr char kOneEntry[] = R"(entries:
  - spiffe_id: spiffe://example.org/bot
    selectors: ["unix:uid:1000"]
    x509_ttl: 60s
    hint: internal
)";
inline constexpr char kTwoEntries[] = R"(entries:
  - spiffe_id: spiffe://example.org/zebra
    selectors: ["unix:uid:1000"]
  - spiffe_id: spiffe://example.org/ant
    selectors: ["unix:uid:1000"]
)";

class WorkloadServiceTest : public ::testing::Test {
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
      foreign_ = ForeignBundles::Open(loop_, clock_, {}).value();
      foreign_->OnChange([this](const std::vector<TrustDomain>&) { hub_->NotifyBundles(); });
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
    attestors.push_back(std::make_unique<TestAttestor>(loop_, selector_, more_selectors_, attestor_broken_, looks_));
    attestors_ = std::make_unique<AttestorSet>(loop_, clock_, std::move(attestors));
    svids_ = std::make_unique<SvidCache>(source_, loop_, clock_, SvidCacheOptions{.default_ttl = seconds(60)},
                                         [] { return 0.5; });
    wits_ = std::make_unique<WitSvidCache>(source_, loop_, clock_, SvidCacheOptions{.default_ttl = seconds(60)},
                                           [] { return 0.5; });
    jwts_ = std::make_unique<JwtSvidCache>(source_, loop_, clock_, JwtSvidCacheOptions{}, [] { return 0.5; });
    hub_ = std::make_unique<UpdateHub>(*svids_, *wits_, source_, clock_);
    StartCrls();
    BindCrls();
  }

  // New services with the keeper of now.
  void BindCrls() {
    services_.reset(new WorkloadServices{.caller = {.attestors = *attestors_,
                                                    .registry = *registry_,
                                                    .clock = clock_,
                                                    .access = access_,
                                                    .attestation_timeout = seconds(5)},
                                         .svids = *svids_,
                                         .wits = *wits_,
                                         .jwts = *jwts_,
                                         .source = source_,
                                         .crls = *crls_,
                                         .foreign = *foreign_,
                                         .hub = *hub_,
                                         .loop = loop_,
                                         .responses = ResponseShare(clock_)});
    services_->caller.random = [] { return 0.5; };
    methods_ = WorkloadMethods(*services_);
  }

  void StartCrls() {
    crls_ = CrlKeeper::Start(
                {}, source_, [this] { return source_.issuers(); }, {}, state_, loop_, clock_)
                .value();
    crls_->OnChange([this] { hub_->NotifyCrls(); });
    RunUntilIdle(loop_);
  }

  // Runs everything that is under way, with a little time for batched updates.
  void Settle() {
    for (int round = 0; round < 10; ++round) {
      RunUntilIdle(loop_);
      clock_.Advance(std::chrono::milliseconds(10));
    }
    RunUntilIdle(loop_);
  }

  // Lets time pass while the loop turns: alarms fall due in their order with what is posted.
  void Pass(std::chrono::nanoseconds time) {
    for (; time > std::chrono::nanoseconds(0); time -= std::chrono::milliseconds(500)) {
      clock_.Advance(std::min<std::chrono::nanoseconds>(time, std::chrono::milliseconds(500)));
      RunUntilIdle(loop_);
    }
    Settle();
  }

  struct OpenCall {
    explicit OpenCall(const std::string& name) : call("/SpiffeWorkloadAPI/" + name) {}
    FakeCall call;
    std::unique_ptr<CallHandler> handler;
  };

  // With the bytes of its request message.
  std::unique_ptr<OpenCall> Ask(const std::string& name, const std::string& request,
                                std::vector<std::string> header = {"true"}) {
    auto open = std::make_unique<OpenCall>(name);
    for (const std::string& value : header) open->call.metadata.emplace("workload.spiffe.io", value);
    open->handler = methods_.at("/SpiffeWorkloadAPI/" + name)(open->call);
    if (open->handler != nullptr) {
      grpc::Slice bytes(request);
      open->handler->OnMessage(grpc::ByteBuffer(&bytes, 1));
    }
    return open;
  }
  std::unique_ptr<OpenCall> Open(const std::string& name, std::vector<std::string> header = {"true"}) {
    return Ask(name, "", std::move(header));
  }

  EventLoop loop_;
  FakeClock clock_;
  TempDir directory_;
  TestSource source_{loop_, clock_};
  std::string selector_ = "unix:uid:1000";
  std::vector<std::string> more_selectors_;
  Status attestor_broken_;
  int looks_ = 0;  // of the attestor at callers
  FakeAuditLog audit_{loop_};
  AccessLog access_{audit_, clock_};
  FakeStateStore state_{loop_};
  std::unique_ptr<RegistryStore> registry_;
  std::unique_ptr<ForeignBundles> foreign_;
  std::unique_ptr<AttestorSet> attestors_;
  std::unique_ptr<SvidCache> svids_;
  std::unique_ptr<WitSvidCache> wits_;
  std::unique_ptr<JwtSvidCache> jwts_;
  std::unique_ptr<CrlKeeper> crls_;
  std::unique_ptr<UpdateHub> hub_;
  std::unique_ptr<WorkloadServices> services_;
  Methods methods_;
};

}  // namespace lanyard
