// What the tests of the identity room share: entries, a source that answers when it is told to, and a driver for clock
// and loop.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "node_agent/base/event_loop.h"
#include "node_agent/identity/identity_source.h"
#include "pki/issuer.h"
#include "pki/root.h"
#include "pki/verifier.h"
#include "tests/support/fake_clock.h"
#include "tests/support/loop_driver.h"
#include "tests/support/temp_dir.h"

namespace lanyard::testing {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

inline TrustDomain ExampleOrg() {
  return TrustDomain::Parse("example.org").value();
}

inline EntryPtr MakeEntry(const std::string& name, std::optional<std::chrono::seconds> ttl = std::nullopt) {
  Entry entry{.id = SpiffeId::Parse("spiffe://example.org/" + name).value()};
  entry.x509_ttl = ttl;
  return std::make_shared<const Entry>(std::move(entry));
}

inline std::string Text(const Status& status) {
  return std::string(Message(status));
}

// A loop and a clock that the test moves; time passes in small steps, so that work in the pool is done when it was
// asked for.
struct World {
  EventLoop loop;
  FakeClock clock;

  void Settle() { EXPECT_TRUE(RunUntilIdle(loop)); }
  void Pass(std::chrono::nanoseconds time, std::chrono::nanoseconds step = 1s) {
    Settle();
    while (time > 0ns) {
      const auto now = std::min(time, step);
      clock.Advance(now);
      Settle();
      time -= now;
    }
  }
};

// Signs with a root that never changes; answers on the next turn of the loop, or when Answer() is called.
class FakeSource : public IdentitySource {
 public:
  FakeSource(EventLoop& loop, const Clock& clock)
      : loop_(loop),
        clock_(clock),
        root_(MakeRootCa(ExampleOrg(), KeyType::kEcP256, clock.WallNow() - 24h, clock.WallNow() + 8760h).value()),
        issuer_(Issuer::Create({root_.certificate}, root_.key).value()),
        bundle_(std::make_shared<const Bundle>(Bundle::Create(ExampleOrg(), {root_.certificate}).value())) {}

  void Issue(IssueRequest request, IssueDone done) override {
    asked.push_back(request);
    waiting_.emplace_back(std::move(request), std::move(done));
    most_at_once = std::max(most_at_once, waiting_.size());
    if (automatic) loop_.Post([this] { Answer(1); });
  }
  void Answer(std::size_t count) {
    for (; count > 0 && !waiting_.empty(); --count) {
      auto [request, done] = std::move(waiting_.front());
      waiting_.pop_front();
      if (!failure.ok()) {
        std::move(done)(failure);
        continue;
      }
      const WallTime now = clock_.WallNow();
      std::move(done)(issuer_.IssueLeaf({.id = answer_with ? answer_with->id : request.entry->id,
                                         .key_type = request.key_type,
                                         .dns_names = {},
                                         .not_before = now - 10s,
                                         .not_after = now + request.ttl}));
    }
  }
  // Tokens: the same, with another key.
  void IssueJwt(JwtRequest request, JwtDone done) override {
    asked_jwt.push_back(request);
    waiting_jwt_.emplace_back(std::move(request), std::move(done));
    if (automatic) loop_.Post([this] { AnswerJwt(1); });
  }
  void AnswerJwt(std::size_t count) {
    for (; count > 0 && !waiting_jwt_.empty(); --count) {
      auto [request, done] = std::move(waiting_jwt_.front());
      waiting_jwt_.pop_front();
      if (!failure.ok()) {
        std::move(done)(failure);
        continue;
      }
      const WallTime now = clock_.WallNow();
      std::move(done)(JwtSvid::Issue(signer_, {.id = answer_with ? answer_with->id : request.entry->id,
                                               .audiences = request.audiences,
                                               .issued_at = now,
                                               .expires = now + request.ttl}));
    }
  }
  void IssueWit(WitRequest request, WitDone done) override {
    asked_wit.push_back(request);
    loop_.Post([this, request = std::move(request), done = std::move(done)]() mutable {
      if (!failure.ok()) return std::move(done)(failure);
      const WallTime now = clock_.WallNow();
      std::move(done)(WitSvid::Issue(signer_, {.id = request.entry->id,
                                               .key_type = request.key_type,
                                               .not_before = now - 10s,
                                               .issued_at = now,
                                               .expires = now + request.ttl}));
    });
  }
  void ChangeTokenSigner() {
    signer_ = TokenSigner::Create(PrivateKey::Generate(KeyType::kEcP256).value()).value();
    for (Listener& listener : token_signer_listeners_) listener();
  }
  void ChangeSigner() {
    for (Listener& listener : signer_listeners_) listener();
  }
  // Another key for tokens in it, and the same root.
  void ChangeTokenKeys() {
    const PublicKey key = PrivateKey::Generate(KeyType::kEcP256).value().public_key();
    bundle_ = std::make_shared<const Bundle>(
        Bundle::Create(ExampleOrg(), {root_.certificate}, {}, {.jwt = {JwtAuthority::Create(key).value()}}).value());
    ChangeBundle();
  }
  // Another root in it, and the same keys for tokens.
  void ChangeRoot() {
    const SelfSignedCa other =
        MakeRootCa(ExampleOrg(), KeyType::kEcP256, clock_.WallNow() - 24h, clock_.WallNow() + 8760h).value();
    bundle_ = std::make_shared<const Bundle>(
        Bundle::Create(ExampleOrg(), {other.certificate}, {}, {.jwt = bundle_->jwt_authorities()}).value());
    ChangeBundle();
  }
  void ChangeBundle() {
    for (Listener& listener : bundle_listeners_) listener();
  }

  const Issuer& issuer() const { return issuer_; }
  std::shared_ptr<const Bundle> bundle() const override { return bundle_; }
  void OnBundleChange(Listener listener) override { bundle_listeners_.push_back(std::move(listener)); }
  void OnSignerChange(Listener listener) override { signer_listeners_.push_back(std::move(listener)); }
  void OnTokenSignerChange(Listener listener) override { token_signer_listeners_.push_back(std::move(listener)); }
  HealthReport health() const override { return {}; }

  bool automatic = true;
  Status failure;
  EntryPtr answer_with;
  std::vector<IssueRequest> asked;
  std::vector<JwtRequest> asked_jwt;
  std::vector<WitRequest> asked_wit;
  std::size_t most_at_once = 0;

 private:
  EventLoop& loop_;
  const Clock& clock_;
  SelfSignedCa root_;
  Issuer issuer_;
  std::shared_ptr<const Bundle> bundle_;
  std::deque<std::pair<IssueRequest, IssueDone>> waiting_;
  TokenSigner signer_ = TokenSigner::Create(PrivateKey::Generate(KeyType::kEcP256).value()).value();
  std::deque<std::pair<JwtRequest, JwtDone>> waiting_jwt_;
  std::vector<Listener> token_signer_listeners_;
  std::vector<Listener> bundle_listeners_;
  std::vector<Listener> signer_listeners_;
};

}  // namespace lanyard::testing
