#include "node_agent/registry/entry_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lanyard {
namespace {

using std::chrono::seconds;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

const TrustDomain& Domain() {
  static const TrustDomain domain = TrustDomain::Parse("example.org").value();
  return domain;
}

Result<FileContent> Read(std::string_view text) {
  return ReadEntries(text, "f.yaml", Domain());
}
std::string ErrorOf(std::string_view text) {
  return std::string(Message(Read(text).status()));
}

// A good entry, with `more` as further lines of it (the first is line 4 of the file).
std::string WithLines(std::string_view more) {
  return fmt::format("entries:\n- spiffe_id: spiffe://example.org/a\n  selectors: [\"unix:uid:1000\"]\n{}\n", more);
}
std::string WithId(std::string_view id) {
  return fmt::format("entries:\n- spiffe_id: {}\n  selectors: [\"unix:uid:1000\"]\n", id);
}
std::string WithSelectors(std::string_view selectors) {
  return fmt::format("entries:\n- spiffe_id: spiffe://example.org/a\n  selectors: {}\n", selectors);
}
Entry One(std::string_view text) {
  auto content = Read(text);
  EXPECT_TRUE(content.ok()) << content.status();
  EXPECT_EQ(content->items.size(), 1u);
  return *content->items.at(0).entry;
}

TEST(EntryReaderTest, ReadsEveryKey) {
  auto content = Read(R"(entries:
  - spiffe_id: spiffe://example.org/agent/refund-bot
    selectors: ["unix:user:agents", "unix:uid:1000"]
    x509_ttl: 60s
    jwt_ttl: 1m
    key_type: ec-p384
    dns_names: [refund.internal]
    federates_with: [spiffe://partner.example, other.example]
    hint: internal
    environment: production
    tier: high
    owner: {business: team-support, data: {pci: fin-data, tickets: support-data}, approved_by: risk-board, review_by: 2027-03-31}
    tools:
      payments.refund: {effect: write, actions: [create], data_classes: [pci], max_calls_per_task: 10}
      mail.read: {effect: read}
    may_begin: [spiffe://example.org/agent/helper]
)");
  ASSERT_TRUE(content.ok()) << content.status();
  EXPECT_THAT(content->warnings, testing::IsEmpty());
  ASSERT_EQ(content->items.size(), 1u);
  EXPECT_EQ(content->items[0].position.str(), "f.yaml:2:5");
  const Entry& entry = *content->items[0].entry;
  EXPECT_EQ(entry.id.str(), "spiffe://example.org/agent/refund-bot");
  EXPECT_THAT(entry.selectors, ElementsAre(Selector{"unix", "uid:1000"}, Selector{"unix", "user:agents"}));  // sorted
  EXPECT_EQ(entry.x509_ttl, seconds(60));
  EXPECT_EQ(entry.jwt_ttl, seconds(60));
  EXPECT_EQ(entry.key_type, KeyType::kEcP384);
  EXPECT_THAT(entry.dns_names, ElementsAre("refund.internal"));
  ASSERT_EQ(entry.federates_with.size(), 2u);
  EXPECT_EQ(entry.federates_with[0].name(), "other.example");
  EXPECT_EQ(entry.hint, "internal");
  EXPECT_EQ(entry.environment, Environment::kProduction);
  EXPECT_EQ(entry.tier, "high");
  ASSERT_TRUE(entry.owner);
  EXPECT_EQ(entry.owner->business, "team-support");
  EXPECT_EQ(entry.owner->data.at("pci"), "fin-data");
  EXPECT_EQ(entry.owner->approved_by, "risk-board");
  EXPECT_EQ(entry.owner->review_by, std::chrono::year(2027) / 3 / 31);
  EXPECT_EQ(entry.tools.at("payments.refund").effect, ToolEffect::kWrite);
  EXPECT_THAT(entry.tools.at("payments.refund").actions, ElementsAre("create"));
  EXPECT_THAT(entry.tools.at("payments.refund").data_classes, ElementsAre("pci"));
  EXPECT_EQ(entry.tools.at("payments.refund").max_calls_per_task, 10);
  EXPECT_EQ(entry.tools.at("mail.read").max_calls_per_task, std::nullopt);
  EXPECT_EQ(entry.may_begin.at(0).path(), "/agent/helper");
}

TEST(EntryReaderTest, LeavesUnsetWhatIsNotWritten) {
  const Entry entry = One(WithLines(""));
  EXPECT_FALSE(entry.x509_ttl || entry.jwt_ttl || entry.key_type || entry.environment || entry.owner);
  EXPECT_TRUE(entry.hint.empty() && entry.tier.empty() && entry.tools.empty());
}

TEST(EntryReaderTest, ReadsSeveralDocumentsInOrder) {
  auto content = Read(WithId("spiffe://example.org/b") + "---\n" + WithId("spiffe://example.org/a") + "---\n");
  ASSERT_TRUE(content.ok()) << content.status();
  ASSERT_EQ(content->items.size(), 2u);
  EXPECT_EQ(content->items[0].entry->id.path(), "/b");
  EXPECT_EQ(content->items[1].position.line, 6);
}

TEST(EntryReaderTest, TellsAllErrorsOfAFileInItsOrder) {
  EXPECT_EQ(ErrorOf("entries:\n"
                    "- spiffe_id: spiffe://other.org/a\n"
                    "  selectors: [\"unix:uid:1000\"]\n"
                    "  x509_ttl: 90\n"
                    "  teir: high\n"
                    "- selectors: []\n"
                    "entreis: []\n"),
            "f.yaml:2:3: spiffe://other.org/a is not in the trust domain example.org\n"
            "f.yaml:4:3: duration '90' has no unit: write for example 90s\n"
            "f.yaml:5:3: unknown key 'teir' (did you mean 'tier'?)\n"
            "f.yaml:6:3: the entry has no spiffe_id\n"
            "f.yaml:6:3: the list of selectors is empty: such an entry would be everybody's\n"
            "f.yaml:7:1: unknown key 'entreis' (did you mean 'entries'?)");
}

TEST(EntryReaderTest, RefusesDuplicateKeysBecauseOneOfTheTwoWouldBeIgnored) {
  EXPECT_THAT(ErrorOf(WithLines("  hint: a\n  hint: b")), StartsWith("f.yaml:5:3: duplicate key 'hint'"));
  EXPECT_THAT(ErrorOf("entries: []\nentries: []\n"), StartsWith("f.yaml:2:1: duplicate key"));
}

// A file that is just being written is empty for a moment; its identities must not end with that.
TEST(EntryReaderTest, RefusesAnEmptyFileButTakesAnEmptyList) {
  EXPECT_FALSE(Read("").ok());
  EXPECT_FALSE(Read(" \n\n").ok());
  EXPECT_TRUE(Read("entries: []\n").ok());
  EXPECT_TRUE(Read("# nobody yet\n").ok());
  EXPECT_THAT(ErrorOf("entries:\n"), HasSubstr("a list is needed here"));
  EXPECT_THAT(ErrorOf("{}\n"), HasSubstr("has no entries"));
  EXPECT_THAT(ErrorOf("- a\n"), HasSubstr("a map is needed here"));
  EXPECT_THAT(ErrorOf("entries: [x, ~, []]\n"), HasSubstr("a map is needed here"));
}

TEST(EntryReaderTest, DoesNotExpandVariables) {
  EXPECT_EQ(One(WithLines("  hint: ${HOME}")).hint, "${HOME}");
}

TEST(EntryReaderTest, RefusesIdsThatNoWorkloadMayHave) {
  EXPECT_THAT(ErrorOf(WithId("spiffe://example.org")), HasSubstr("has no path"));
  EXPECT_THAT(ErrorOf(WithId("spiffe://example.org.evil.com/a")), HasSubstr("is not in the trust domain"));
  EXPECT_FALSE(Read(WithId("spiffe://example.org/")).ok());
  EXPECT_FALSE(Read(WithId("https://example.org/a")).ok());
  EXPECT_FALSE(Read(WithId("spiffe://example.org/a/../b")).ok());
  EXPECT_FALSE(Read(WithId("~")).ok());
  EXPECT_FALSE(Read(WithId("[spiffe://example.org/a]")).ok());
}

TEST(EntryReaderTest, ReservesThePathSegmentTask) {
  for (const char* path : {"/task", "/task/x", "/a/task", "/a/task/b"}) {
    EXPECT_THAT(ErrorOf(WithId(fmt::format("spiffe://example.org{}", path))), StartsWith("f.yaml:2:3: ")) << path;
  }
  for (const char* path : {"/tasks", "/a/mytask", "/task-runner", "/a/Task"}) {
    EXPECT_TRUE(Read(WithId(fmt::format("spiffe://example.org{}", path))).ok()) << path;
  }
}

// The attack: whoever had it could show other trust domains another bundle as ours.
TEST(EntryReaderTest, NobodyMayHaveTheIdentityOfTheBundleEndpoint) {
  EXPECT_THAT(ErrorOf(WithId("spiffe://example.org/lanyard/bundle-endpoint")),
              AllOf(StartsWith("f.yaml:2:3: "), HasSubstr("the agent's own")));
  EXPECT_TRUE(Read(WithId("spiffe://example.org/lanyard/bundle-endpoint-client")).ok());
}

TEST(EntryReaderTest, KeepsRoomForTheIdOfATaskBelowTheId) {
  const std::string prefix = "spiffe://example.org/";
  const size_t most = 2048 - std::string("/task/0191d2a0-0000-7000-8000-000000000000").size();
  EXPECT_TRUE(Read(WithId(prefix + std::string(most - prefix.size(), 'a'))).ok());
  EXPECT_THAT(ErrorOf(WithId(prefix + std::string(most - prefix.size() + 1, 'a'))),
              HasSubstr("at most 2006 are allowed"));
}

TEST(EntryReaderTest, RefusesAnEntryThatWouldBeEverybodys) {
  EXPECT_THAT(ErrorOf("entries:\n- spiffe_id: spiffe://example.org/a\n"), HasSubstr("has no selectors"));
  EXPECT_THAT(ErrorOf(WithSelectors("[]")), HasSubstr("is empty"));
  EXPECT_FALSE(Read(WithSelectors("")).ok());
  EXPECT_FALSE(Read(WithSelectors("unix:uid:1000")).ok());
}

// What identifies stands first here; what comes behind it must not pass unread.
TEST(EntryReaderTest, ChecksEverySelectorOfAnEntry) {
  EXPECT_THAT(ErrorOf(WithSelectors("[\"unix:user:agents\", \"unix:uid:0500\", \"unix:uidd:1\"]")),
              AllOf(HasSubstr("without leading zeros"), HasSubstr("no kind \"uidd\"")));
  const auto content = Read(WithSelectors("[\"unix:uid:1000\", \"slurm:job_id:1\"]"));
  ASSERT_TRUE(content.ok()) << content.status();
  EXPECT_THAT(content->warnings, ElementsAre(HasSubstr("no attestor of type 'slurm'")));
}

TEST(EntryReaderTest, RefusesAnEntryWhoseSelectorsAProcessCanAllSetItself) {
  EXPECT_THAT(ErrorOf(WithSelectors("[\"process:no_new_privs:true\", \"process:tty:none\"]")),
              HasSubstr("f.yaml:3:3: a process can set each of these selectors itself"));
  EXPECT_TRUE(Read(WithSelectors("[\"process:no_new_privs:true\", \"unix:uid:1\"]")).ok());
}

TEST(EntryReaderTest, RefusesSelectorsThatNoAttestorCouldFind) {
  EXPECT_THAT(ErrorOf(WithSelectors("[\"unix:uiid:1000\"]")), StartsWith("f.yaml:3:15: "));
  EXPECT_FALSE(Read(WithSelectors("[\"unix:uid:me\"]")).ok());
  EXPECT_FALSE(Read(WithSelectors("[\"unix\"]")).ok());
  EXPECT_FALSE(Read(WithSelectors("[\"unix:uid:1000\", [x]]")).ok());
}

TEST(EntryReaderTest, WarnsOfASelectorWhoseAttestorIsNotBuiltIn) {
  auto content = Read(WithSelectors("[\"slurm:job_id:1\", \"unix:uid:1\"]"));
  ASSERT_TRUE(content.ok()) << content.status();
  EXPECT_THAT(content->warnings,
              ElementsAre("f.yaml:3:15: no attestor of type 'slurm' is built in; this entry cannot be earned"));
  EXPECT_EQ(content->items[0].entry->selectors.size(), 2u);  // and it stays a condition
}

TEST(EntryReaderTest, WarnsOfASelectorThatIsThereTwiceAndTakesItOnce) {
  auto content = Read(WithSelectors("[\"unix:uid:1\", \"unix:uid:1\"]"));
  ASSERT_TRUE(content.ok());
  EXPECT_THAT(content->warnings, ElementsAre("f.yaml:3:29: selector 'unix:uid:1' is in this entry twice"));
  EXPECT_EQ(content->items[0].entry->selectors.size(), 1u);
}

TEST(EntryReaderTest, BoundsLifetimes) {
  for (const char* line : {"  x509_ttl: 1s", "  x509_ttl: 720h", "  jwt_ttl: 24h"})
    EXPECT_TRUE(Read(WithLines(line)).ok()) << line;
  for (const char* line :
       {"  x509_ttl: 0s", "  x509_ttl: 721h", "  jwt_ttl: 25h", "  x509_ttl: 1500ms", "  x509_ttl: -1s",
        "  x509_ttl: 60", "  jwt_ttl: forever", "  x509_ttl:", "  x509_ttl: 99999999999h"}) {
    EXPECT_THAT(ErrorOf(WithLines(line)), StartsWith("f.yaml:4:3: ")) << line;
  }
}

TEST(EntryReaderTest, ReservesTheHintsOfTasks) {
  EXPECT_THAT(ErrorOf(WithLines("  hint: task")), HasSubstr("reserved"));
  EXPECT_THAT(ErrorOf(WithLines("  hint: task:1")), HasSubstr("reserved"));
  EXPECT_THAT(ErrorOf(WithLines("  hint: \"a\\nb\"")), HasSubstr("control bytes"));
  EXPECT_EQ(One(WithLines("  hint: tasks")).hint, "tasks");
  EXPECT_EQ(One(WithLines("  hint: \"\"")).hint, "");
}

TEST(EntryReaderTest, BoundsTheLengthOfHints) {
  EXPECT_EQ(One(WithLines("  hint: " + std::string(256, 'h'))).hint.size(), 256u);
  EXPECT_THAT(ErrorOf(WithLines("  hint: " + std::string(257, 'h'))), HasSubstr("257 bytes, at most 256"));
}

TEST(EntryReaderTest, ChecksDnsNamesKeyTypesAndTrustDomains) {
  for (const char* line :
       {"  dns_names: [\"*.example.org\"]", "  dns_names: [\"a b\"]", "  dns_names: [a.example, a.example]",
        "  dns_names: a.example", "  key_type: ed25519", "  key_type: rsa", "  federates_with: [spiffe://example.org]",
        "  federates_with: [spiffe://partner.example/path]", "  federates_with: [Partner]",
        "  federates_with: [p.example, spiffe://p.example]"}) {
    EXPECT_THAT(ErrorOf(WithLines(line)), StartsWith("f.yaml:4:")) << line;
  }
}

TEST(EntryReaderTest, ChecksTheGovernanceKeysNow) {
  for (const char* line : {"  environment: prod",
                           "  tier: \"\"",
                           "  tier: Very High",
                           "  owner: team",
                           "  owner: {busines: x}",
                           "  owner: {business: \"\"}",
                           "  owner: {review_by: 2027-02-29}",
                           "  owner: {review_by: 31.3.2027}",
                           "  owner: {review_by: 2027-3-1}",
                           "  owner: {data: [pci]}",
                           "  owner: {data: {pci: }}",
                           "  owner: {approved_by: \" x\"}",
                           "  tools: [a]",
                           "  tools: {a: {}}",
                           "  tools: {a: {effect: delete}}",
                           "  tools: {a: {effect: read, max_calls_per_task: 0}}",
                           "  tools: {a: {effect: read, max_calls_per_task: ten}}",
                           "  tools: {a: {effect: read, actions: [x, x]}}",
                           "  tools: {a: {effect: read, acts: []}}",
                           "  tools: {a: {effect: read}, a: {effect: write}}",
                           "  may_begin: [spiffe://other.org/a]",
                           "  may_begin: [spiffe://example.org/a, spiffe://example.org/a]",
                           "  may_begin: [spiffe://example.org/task/x]",
                           "  may_begin: spiffe://example.org/a"}) {
    EXPECT_THAT(ErrorOf(WithLines(line)), StartsWith("f.yaml:4:")) << line;
  }
  EXPECT_EQ(One(WithLines("  owner: {review_by: 2028-02-29}")).owner->review_by, std::chrono::year(2028) / 2 / 29);
}

TEST(EntryReaderTest, TakesTwoEntriesWithOneId) {
  auto content =
      Read(fmt::format("entries:\n- spiffe_id: spiffe://example.org/a\n  selectors: [\"unix:uid:1\"]\n"
                       "- spiffe_id: spiffe://example.org/a\n  selectors: [\"unix:uid:2\"]\n"));
  ASSERT_TRUE(content.ok()) << content.status();
  EXPECT_EQ(content->items.size(), 2u);
}

}  // namespace
}  // namespace lanyard
