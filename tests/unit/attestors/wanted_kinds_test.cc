#include "attestors/wanted_kinds.h"

#include <gtest/gtest.h>

#include <set>

#include "attestors/attestation.h"
#include "attestors/process_attestor.h"
#include "attestors/unix_attestor.h"
#include "tests/support/fake_clock.h"
#include "tests/support/loop_driver.h"
#include "tests/unit/attestors/test_process.h"

namespace lanyard {
namespace {

using namespace std::chrono_literals;

WantedKinds Wanting(std::initializer_list<Selector> selectors) {
  WantedKinds kinds;
  for (const Selector& selector : selectors) kinds.Add(selector);
  return kinds;
}

TEST(WantedKindsTest, AKindIsWantedOfItsOwnTypeOnly) {
  const WantedKinds kinds = Wanting({{"unix", "path:/usr/bin/agent"}, {"process", "cgroup:pids:/a:b"}});
  EXPECT_TRUE(kinds.Has("unix", "path"));
  EXPECT_TRUE(kinds.Has("process", "cgroup"));
  EXPECT_FALSE(kinds.Has("process", "path"));
  EXPECT_FALSE(kinds.Has("unix", "pat"));
  EXPECT_TRUE(kinds.HasType("unix"));
  EXPECT_FALSE(kinds.HasType("docker"));
}

TEST(WantedKindsTest, CoversWhatAsksForNoMore) {
  const WantedKinds less = Wanting({{"unix", "uid:1"}});
  const WantedKinds more = Wanting({{"unix", "uid:2"}, {"unix", "sha256:00"}});
  EXPECT_TRUE(more.Covers(less));
  EXPECT_FALSE(less.Covers(more));
  EXPECT_TRUE(WantedKinds::All()->Covers(more));
  EXPECT_FALSE(more.Covers(*WantedKinds::All()));
  EXPECT_TRUE(WantedKinds().Covers(WantedKinds()));
}

// Both attestors on a real process.
class WantedOfProcessTest : public testing::Test {
 protected:
  Findings Attest(const PeerProcess& peer, WantedKindsPtr wanted) {
    std::optional<Result<Findings>> result;
    auto attestation =
        set_.Attest(peer, clock_.MonoNow() + 1s, [&](Result<Findings> answer) { result = std::move(answer); },
                    {.wanted = std::move(wanted)});
    EXPECT_TRUE(RunUntil(loop_, [&] { return result.has_value(); }));
    EXPECT_TRUE(result && result->ok()) << (*result).status();
    return result && result->ok() ? **std::move(result) : Findings{};
  }
  static std::string KindOf(const Selector& selector) {
    return selector.type + ":" + selector.value.substr(0, selector.value.find(':'));
  }
  std::vector<std::unique_ptr<Attestor>> Both() {
    std::vector<std::unique_ptr<Attestor>> both;
    both.push_back(MakeUnixAttestor({}, tools_));
    both.push_back(MakeProcessAttestor({}, tools_));
    return both;
  }

  EventLoop loop_;
  FakeClock clock_;
  HostTools tools_{loop_, clock_};
  AttestorSet set_{loop_, clock_, Both()};
};

TEST_F(WantedOfProcessTest, WhatIsWantedAloneIsFoundAsIfEverythingWereWanted) {
  TestProcess process([] {});
  const PeerProcess peer = process.Peer(geteuid());
  const Findings all = Attest(peer, WantedKinds::All());
  std::set<std::string> kinds;
  for (const Selector& selector : all.selectors) kinds.insert(KindOf(selector));
  EXPECT_GE(kinds.size(), 6u);
  for (const std::string& kind : kinds) {
    auto wanted = std::make_shared<WantedKinds>();
    wanted->Add(Selector::Parse(kind + ":x").value());
    std::vector<std::string> expected, found;
    for (const Selector& selector : all.selectors) {
      if (KindOf(selector) == kind) expected.push_back(selector.str());
    }
    for (const Selector& selector : Attest(peer, wanted).selectors) {
      if (KindOf(selector) == kind) found.push_back(selector.str());
    }
    EXPECT_EQ(found, expected) << kind;
  }
}

TEST_F(WantedOfProcessTest, ExecutableAndAncestorsAreNotLookedUpForWhoAsksForUidsOnly) {
  TestProcess process([] {});
  auto wanted = std::make_shared<WantedKinds>();
  wanted->Add({"unix", "uid:0"});
  for (const Selector& selector : Attest(process.Peer(geteuid()), wanted).selectors) {
    EXPECT_TRUE(selector.str().starts_with("unix:uid:") || selector.str().starts_with("unix:gid:")) << selector.str();
  }
}

}  // namespace
}  // namespace lanyard
