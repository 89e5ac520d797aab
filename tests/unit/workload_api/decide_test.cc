#include <gtest/gtest.h>

#include "workload_api/caller.h"

namespace lanyard {
namespace {

EntryPtr MakeEntry(const std::string& id, const std::vector<std::string>& selectors) {
  Entry entry{.id = SpiffeId::Parse(id).value()};
  for (const std::string& selector : selectors) entry.selectors.push_back(Selector::Parse(selector).value());
  std::sort(entry.selectors.begin(), entry.selectors.end());
  return std::make_shared<const Entry>(std::move(entry));
}

std::shared_ptr<const Registry> MakeRegistry(const std::vector<EntryPtr>& entries) {
  std::vector<Registry::Item> items;
  for (const EntryPtr& entry : entries) items.push_back({entry, {}});
  return Registry::Build(std::move(items));
}

Findings Found(const std::vector<std::string>& selectors, std::vector<Gap> gaps = {}) {
  Findings findings{.selectors = {}, .gaps = std::move(gaps)};
  for (const std::string& selector : selectors) findings.selectors.push_back(Selector::Parse(selector).value());
  std::sort(findings.selectors.begin(), findings.selectors.end());
  return findings;
}

const Status kTimedOut = Error(StatusCode::kDeadlineExceeded, "no answer within 5 s");

TEST(DecideTest, GivesTheEntriesWhoseSelectorsWereAllFound) {
  const EntryPtr bot = MakeEntry("spiffe://example.org/bot", {"unix:uid:1000", "process:cgroup:/bots"});
  const EntryPtr any = MakeEntry("spiffe://example.org/any", {"unix:uid:1000"});
  const auto registry = MakeRegistry({bot, any, MakeEntry("spiffe://example.org/other", {"unix:uid:1001"})});

  const auto entries = Decide(Found({"unix:uid:1000", "process:cgroup:/bots"}), *registry);

  ASSERT_TRUE(entries.ok()) << entries.status();
  EXPECT_EQ(*entries, (Entries{bot, any}));
}

TEST(DecideTest, DeniesACallerThatEarnsNothing) {
  const auto registry = MakeRegistry({MakeEntry("spiffe://example.org/bot", {"unix:uid:1000"})});

  const auto entries = Decide(Found({"unix:uid:1001"}), *registry);

  EXPECT_EQ(entries.status().code(), StatusCode::kPermissionDenied);
}

TEST(DecideTest, AnswersUnavailableInsteadOfFewerIdentitiesWhenAnAttestorCouldNotFindOut) {
  const auto registry = MakeRegistry(
      {MakeEntry("spiffe://example.org/plain", {"unix:uid:1000"}),
       MakeEntry("spiffe://example.org/hashed", {"unix:uid:1000", "unix:sha256:" + std::string(64, 'a')})});

  const auto entries = Decide(Found({"unix:uid:1000"}, {{"unix:sha256", kTimedOut}}), *registry);

  EXPECT_EQ(entries.status().code(), StatusCode::kUnavailable);
  EXPECT_NE(Message(entries.status()).find("unix:sha256"), std::string_view::npos) << Message(entries.status());
}

TEST(DecideTest, IsNotDisturbedByAGapOnWhichNoEntryOfTheCallerDepends) {
  const EntryPtr plain = MakeEntry("spiffe://example.org/plain", {"unix:uid:1000"});
  const auto registry = MakeRegistry(
      {plain, MakeEntry("spiffe://example.org/hashed", {"unix:uid:2000", "unix:sha256:" + std::string(64, 'a')})});

  const auto entries = Decide(Found({"unix:uid:1000"}, {{"unix:sha256", kTimedOut}}), *registry);

  ASSERT_TRUE(entries.ok()) << entries.status();
  EXPECT_EQ(*entries, Entries{plain});
}

TEST(DecideTest, DoesNotTellACallerWhichEntriesItMightEarn) {
  const auto registry =
      MakeRegistry({MakeEntry("spiffe://example.org/secret-project", {"docker:label:a:b", "unix:uid:1000"})});

  const auto entries = Decide(Found({"unix:uid:1000"}, {{"docker", kTimedOut}}), *registry);

  EXPECT_EQ(Message(entries.status()).find("secret-project"), std::string_view::npos);
}

}  // namespace
}  // namespace lanyard
