// An agent's own authorities on a disk and a clock of the test's.
#pragma once

#include "node_agent/identity/root_keeper.h"
#include "tests/unit/identity/identity_fixture.h"

namespace lanyard::testing {

struct RootKeeperTest : ::testing::Test {
  TempDir temp;
  World world;
  std::optional<DataDirLock> lock = DataDirLock::Acquire(temp.path()).value();
  CaOptions options{.trust_domain = ExampleOrg(), .ca_ttl = 600s, .usual_leaf_ttl = 60s, .usual_jwt_ttl = 60s};
  std::unique_ptr<CaKeeper> keeper;

  Status Start() {
    keeper.reset();
    auto made = MakeEmbeddedCa(options, *lock, world.loop, world.clock);
    if (made.ok()) keeper = *std::move(made);
    return made.status();
  }
  // The agent is gone, and comes back after a while.
  void Restart(std::chrono::seconds after = 0s) {
    keeper.reset();
    world.Settle();
    world.clock.Advance(after);
    const Status started = Start();
    ASSERT_TRUE(started.ok()) << Text(started);
  }
  Result<X509Svid> Issue(std::chrono::seconds ttl = 60s) {
    std::optional<Result<X509Svid>> answer;
    keeper->source().Issue({.entry = MakeEntry("refund"), .ttl = ttl},
                           [&](Result<X509Svid> svid) { answer = std::move(svid); });
    EXPECT_TRUE(RunUntil(world.loop, [&] { return answer.has_value(); }));
    return *answer;
  }
  bool Verifies(const X509Svid& svid) {
    BundleSet bundles;
    bundles.Put(*keeper->source().bundle());
    return VerifyX509Svid(svid.chain(), bundles, world.clock.WallNow()).ok();
  }
  std::string Active() {
    for (const AuthorityInfo& info : keeper->Show()) {
      if (info.phase == AuthorityPhase::kActive) return info.id;
    }
    return "none";
  }
  std::vector<AuthorityInfo> Of(SvidKind kind) {
    std::vector<AuthorityInfo> infos = keeper->Show();
    std::erase_if(infos, [kind](const AuthorityInfo& info) { return info.kind != kind; });
    return infos;
  }
  std::vector<AuthorityInfo> Roots() { return Of(SvidKind::kX509); }
  Result<JwtSvid> IssueJwt(std::chrono::seconds ttl = 60s) {
    std::optional<Result<JwtSvid>> answer;
    keeper->source().IssueJwt({.entry = MakeEntry("refund"), .audiences = {"reports"}, .ttl = ttl},
                              [&](Result<JwtSvid> svid) { answer = std::move(svid); });
    EXPECT_TRUE(RunUntil(world.loop, [&] { return answer.has_value(); }));
    return *answer;
  }
  Result<WitSvid> IssueWit(std::chrono::seconds ttl = 60s) {
    std::optional<Result<WitSvid>> answer;
    keeper->source().IssueWit({.entry = MakeEntry("refund"), .ttl = ttl},
                              [&](Result<WitSvid> svid) { answer = std::move(svid); });
    EXPECT_TRUE(RunUntil(world.loop, [&] { return answer.has_value(); }));
    return *answer;
  }
  bool Verifies(const JwtSvid& svid) {
    const BundleSet bundles({*keeper->source().bundle()});
    return ValidateJwtSvid(svid.token(), "reports", bundles, world.clock.WallNow()).ok();
  }
  bool Verifies(const WitSvid& svid) {
    const BundleSet bundles({*keeper->source().bundle()});
    return ValidateWitToken(svid.token(), bundles, world.clock.WallNow()).ok();
  }
  std::size_t InBundle() { return keeper->source().bundle()->x509_authorities().size(); }
  std::size_t KeysOnDisk() {
    std::size_t count = 0;
    for (const auto& file : std::filesystem::directory_iterator(temp.Path("ca")))
      count += file.path().extension() == ".pem";
    return count;
  }
  Status Rotate() {
    std::optional<Status> answer;
    keeper->Rotate([&](Status status) { answer = std::move(status); });
    EXPECT_FALSE(answer) << "answered before Rotate() returned";
    EXPECT_TRUE(RunUntil(world.loop, [&] { return answer.has_value(); }));
    return *answer;
  }
};

}  // namespace lanyard::testing
