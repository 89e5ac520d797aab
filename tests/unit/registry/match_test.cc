#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "attestors/attestor.h"
#include "node_agent/registry/registry.h"

namespace lanyard {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<Selector> Selectors(std::initializer_list<std::string_view> texts) {
  std::vector<Selector> selectors;
  for (const std::string_view text : texts) selectors.push_back(Selector::Parse(text).value());
  std::sort(selectors.begin(), selectors.end());
  return selectors;
}

Registry::Item Item(std::string_view path, std::vector<Selector> selectors, std::string hint = "") {
  auto entry =
      std::make_shared<const Entry>(Entry{.id = SpiffeId::Parse(fmt::format("spiffe://example.org{}", path)).value(),
                                          .selectors = std::move(selectors),
                                          .hint = std::move(hint)});
  return {std::move(entry), {"f.yaml", 1, 1}};
}

std::vector<std::string> Paths(const std::vector<EntryPtr>& entries) {
  std::vector<std::string> paths;
  for (const EntryPtr& entry : entries) paths.emplace_back(entry->id.path());
  return paths;
}

Gap MakeGap(std::string prefix) {
  return {std::move(prefix), Error(StatusCode::kUnavailable, "silent")};
}

TEST(MatchTest, EarnsAnEntryOnlyWithAllOfItsSelectors) {
  const auto registry =
      Registry::Build({Item("/both", Selectors({"unix:uid:1", "unix:gid:2"})), Item("/uid", Selectors({"unix:uid:1"})),
                       Item("/other", Selectors({"unix:uid:3"}))});
  EXPECT_THAT(Paths(registry->Match(Findings{Selectors({"unix:uid:1"}), {}}).earned), ElementsAre("/uid"));
  EXPECT_THAT(Paths(registry->Match(Findings{Selectors({"unix:gid:2", "unix:uid:1", "unix:user:x"}), {}}).earned),
              ElementsAre("/both", "/uid"));
  EXPECT_THAT(registry->Match(Findings{Selectors({"unix:gid:2"}), {}}).earned, IsEmpty());
  EXPECT_THAT(registry->Match(Findings{}).earned, IsEmpty());
  EXPECT_THAT(Registry::Build({})->Match(Findings{Selectors({"unix:uid:1"}), {}}).earned, IsEmpty());
}

TEST(MatchTest, ComparesWholeSelectors) {
  const auto registry = Registry::Build({Item("/a", Selectors({"unix:uid:10"}))});
  for (const char* almost : {"unix:uid:1", "unix:uid:100", "unix:gid:10", "process:uid:10"}) {
    EXPECT_THAT(registry->Match(Findings{Selectors({almost}), {}}).earned, IsEmpty()) << almost;
  }
}

TEST(MatchTest, KeepsTheOrderOfTheRegistry) {
  const auto registry = Registry::Build({Item("/c", Selectors({"unix:uid:1"})), Item("/a", Selectors({"unix:gid:1"})),
                                         Item("/b", Selectors({"unix:uid:1"}))});
  EXPECT_THAT(Paths(registry->Match(Findings{Selectors({"unix:gid:1", "unix:uid:1"}), {}}).earned),
              ElementsAre("/c", "/a", "/b"));
}

TEST(MatchTest, AnEntryWithoutSelectorsIsNobodys) {
  const auto registry = Registry::Build({Item("/a", {})});
  EXPECT_THAT(registry->Match(Findings{Selectors({"unix:uid:1"}), {MakeGap("unix")}}).earned, IsEmpty());
}

TEST(MatchTest, ServesOnlyTheFirstOfTwoEntriesWithOneHintAndNamesBoth) {
  const auto registry =
      Registry::Build({Item("/plain", Selectors({"unix:uid:1"})), Item("/first", Selectors({"unix:uid:1"}), "h"),
                       Item("/second", Selectors({"unix:uid:1"}), "h"), Item("/third", Selectors({"unix:uid:2"}), "h"),
                       Item("/plain2", Selectors({"unix:uid:1"}))});
  const Verdicts verdicts = registry->Match(Findings{Selectors({"unix:uid:1"}), {}});
  EXPECT_THAT(Paths(verdicts.earned), ElementsAre("/plain", "/first", "/plain2"));
  ASSERT_EQ(verdicts.hint_conflicts.size(), 1u);
  EXPECT_EQ(verdicts.hint_conflicts[0].first->id.path(), "/first");
  EXPECT_EQ(verdicts.hint_conflicts[0].second->id.path(), "/second");
  EXPECT_THAT(Paths(registry->Match(Findings{Selectors({"unix:uid:2"}), {}}).earned), ElementsAre("/third"));
}

TEST(MatchTest, TellsUndeterminedFromNotEarned) {
  const auto registry = Registry::Build({
      Item("/uid", Selectors({"unix:uid:1"})),                             // earned
      Item("/uid-and-hash", Selectors({"unix:uid:1", "unix:sha256:aa"})),  // open
      Item("/hash", Selectors({"unix:sha256:aa"})),                        // open
      Item("/other-uid", Selectors({"unix:uid:2", "unix:sha256:aa"})),     // not, whatever the hash is
      Item("/docker", Selectors({"docker:image:x", "unix:uid:1"})),        // open
  });
  const Findings findings{Selectors({"unix:uid:1"}), {MakeGap("docker"), MakeGap("unix:sha256")}};
  const Verdicts verdicts = registry->Match(findings);
  EXPECT_THAT(Paths(verdicts.earned), ElementsAre("/uid"));
  ASSERT_EQ(verdicts.undetermined.size(), 3u);
  EXPECT_EQ(verdicts.undetermined[0].entry->id.path(), "/uid-and-hash");
  EXPECT_EQ(verdicts.undetermined[0].gap, 1u);
  EXPECT_EQ(verdicts.undetermined[1].entry->id.path(), "/hash");
  EXPECT_EQ(verdicts.undetermined[2].entry->id.path(), "/docker");
  EXPECT_EQ(verdicts.undetermined[2].gap, 0u);
}

TEST(MatchTest, EarnsByASelectorThatWasFoundDespiteAGapAroundIt) {
  const auto registry = Registry::Build({Item("/a", Selectors({"unix:supplementary_gid:5"}))});
  const Verdicts verdicts = registry->Match(Findings{Selectors({"unix:supplementary_gid:5"}), {MakeGap("unix")}});
  EXPECT_THAT(Paths(verdicts.earned), ElementsAre("/a"));
  EXPECT_THAT(verdicts.undetermined, IsEmpty());
}

TEST(MatchTest, AGapCoversItsPrefixUpToAColonAndNothingElse) {
  const auto registry = Registry::Build(
      {Item("/exact", Selectors({"process:cgroup:/work"})), Item("/below", Selectors({"process:cgroup:/work:x"})),
       Item("/longer", Selectors({"process:cgroup:/work2"})), Item("/path", Selectors({"process:cgroup:/work/sub"})),
       Item("/bang", Selectors({"process:cgroup:/work!"})), Item("/type", Selectors({"process-x:cgroup:/work"}))});
  const auto open = [&](std::string prefix) {
    std::vector<EntryPtr> entries;
    for (const Undetermined& one : registry->Match(Findings{{}, {MakeGap(std::move(prefix))}}).undetermined)
      entries.push_back(one.entry);
    return Paths(entries);
  };
  EXPECT_THAT(open("process:cgroup:/work"), ElementsAre("/exact", "/below"));
  EXPECT_THAT(open("process:cgroup"), ElementsAre("/exact", "/below", "/longer", "/path", "/bang"));
  EXPECT_THAT(open("process"), ElementsAre("/exact", "/below", "/longer", "/path", "/bang"));
  EXPECT_THAT(open("proc"), IsEmpty());
  EXPECT_THAT(open("zzz"), IsEmpty());
  EXPECT_THAT(open(""), IsEmpty());
}

TEST(MatchTest, KnowsWhereItsEntriesAreWritten) {
  auto item = Item("/a", Selectors({"unix:uid:1"}));
  item.position = {"x.yaml", 7, 3};
  const auto registry = Registry::Build({item});
  EXPECT_EQ(registry->PositionOf(item.entry).str(), "x.yaml:7:3");
  EXPECT_EQ(registry->PositionOf(Item("/a", {}).entry).file, "");
}

// The index against the definition, on many small random registries.
TEST(MatchTest, AgreesWithTheDefinition) {
  std::mt19937 random(20260101);
  const auto pick = [&](size_t below) { return std::uniform_int_distribution<size_t>(0, below - 1)(random); };
  const std::vector<std::string> kinds = {"unix:uid",       "unix:gid",     "unix:sha256",
                                          "process:cgroup", "docker:image", "unix-x:uid"};
  const std::vector<std::string> prefixes = {"unix",   "unix:gid", "unix:sha256:1", "process",
                                             "docker", "unix-x",   "process:cgroup"};
  const auto random_selector = [&] {
    return Selector::Parse(fmt::format("{}:{}", kinds[pick(kinds.size())], pick(3))).value();
  };
  for (int round = 0; round < 3000; ++round) {
    std::vector<Registry::Item> items;
    for (size_t entries = pick(12); entries > 0; --entries) {
      std::vector<Selector> selectors;
      for (size_t count = 1 + pick(3); count > 0; --count) selectors.push_back(random_selector());
      std::sort(selectors.begin(), selectors.end());
      selectors.erase(std::unique(selectors.begin(), selectors.end()), selectors.end());
      items.push_back(Item(fmt::format("/{}", entries), std::move(selectors)));
    }
    Findings findings;
    for (size_t count = pick(8); count > 0; --count) findings.selectors.push_back(random_selector());
    for (size_t count = pick(3); count > 0; --count) findings.gaps.push_back(MakeGap(prefixes[pick(prefixes.size())]));

    std::vector<std::string> earned;
    std::vector<std::string> open;
    for (const Registry::Item& item : items) {
      const auto found = [&](const Selector& s) {
        return std::count(findings.selectors.begin(), findings.selectors.end(), s) > 0;
      };
      const auto covered = [&](const Selector& s) {
        return std::any_of(findings.gaps.begin(), findings.gaps.end(), [&](const Gap& gap) {
          return s.str() == gap.prefix || s.str().starts_with(gap.prefix + ":");
        });
      };
      const auto& needs = item.entry->selectors;
      if (std::all_of(needs.begin(), needs.end(), found)) {
        earned.emplace_back(item.entry->id.path());
      } else if (std::all_of(needs.begin(), needs.end(), [&](const Selector& s) { return found(s) || covered(s); })) {
        open.emplace_back(item.entry->id.path());
      }
    }
    const Verdicts verdicts = Registry::Build(std::move(items))->Match(findings);
    std::vector<EntryPtr> undetermined;
    for (const Undetermined& one : verdicts.undetermined) undetermined.push_back(one.entry);
    ASSERT_EQ(Paths(verdicts.earned), earned) << "round " << round;
    ASSERT_EQ(Paths(undetermined), open) << "round " << round;
  }
}

}  // namespace
}  // namespace lanyard
