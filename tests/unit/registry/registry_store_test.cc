#include "node_agent/registry/registry_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/fake_clock.h"
#include "tests/support/loop_driver.h"
#include "tests/support/temp_dir.h"

namespace lanyard {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
namespace fs = std::filesystem;

std::string FileText(std::string_view path, std::string_view more = "") {
  return fmt::format("entries:\n- spiffe_id: spiffe://example.org{}\n  selectors: [\"unix:uid:1\"]\n{}", path, more);
}

class RegistryStoreTest : public testing::Test {
 protected:
  RegistryStoreTest() { dir_.Write("a.yaml", FileText("/a")); }

  void Open() {
    auto store = RegistryStore::Open(loop_, clock_, Options());
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
    store_->OnChange([this] { ++changes_; });
  }

  RegistryOptions Options() const {
    return {.trust_domain = TrustDomain::Parse("example.org").value(), .paths = {dir_.path()}};
  }

  // Lets the watcher see what was done and the load that follows finish.
  void Settle() {
    for (int i = 0; i < 3; ++i) loop_.RunOnce(0);
    clock_.Advance(std::chrono::seconds(2));
    ASSERT_TRUE(RunUntilIdle(loop_));
  }

  Status Reload() {
    Status answer = Error(StatusCode::kInternal, "no answer");
    store_->Reload([&](Status status) { answer = std::move(status); });
    EXPECT_TRUE(RunUntilIdle(loop_));
    return answer;
  }

  std::vector<std::string> Paths() const {
    std::vector<std::string> paths;
    const auto registry = store_->registry();
    for (const Registry::Item& item : registry->items()) paths.emplace_back(item.entry->id.path());
    return paths;
  }

  EventLoop loop_;
  FakeClock clock_;
  TempDir dir_;
  int changes_ = 0;
  std::unique_ptr<RegistryStore> store_;
};

TEST_F(RegistryStoreTest, DoesNotOpenABrokenRegistry) {
  dir_.Write("b.yaml", "entries: 1\n");
  const auto store = RegistryStore::Open(loop_, clock_, Options());
  ASSERT_FALSE(store.ok());
  EXPECT_THAT(std::string(Message(store.status())), HasSubstr("b.yaml:1:1: "));
}

TEST_F(RegistryStoreTest, TakesOverAChangeAndTellsOnce) {
  Open();
  const auto before = store_->registry();
  dir_.Write("b.yaml", FileText("/b"));
  Settle();
  EXPECT_THAT(Paths(), ElementsAre("/a", "/b"));
  EXPECT_EQ(changes_, 1);
  EXPECT_EQ(before->size(), 1u);  // who holds the old snapshot still has it
  EXPECT_EQ(store_->registry()->items()[0].entry, before->items()[0].entry);
}

TEST_F(RegistryStoreTest, TellsNothingWhenOnlyCommentsOrPositionsChange) {
  Open();
  dir_.Write("a.yaml", "# a comment\n\n" + FileText("/a"));
  Settle();
  EXPECT_EQ(changes_, 0);
  EXPECT_EQ(store_->registry()->items()[0].position.line, 4);
}

TEST_F(RegistryStoreTest, KeepsWhatWasGoodAndSaysWhatIsBrokenUntilItIsRepaired) {
  Open();
  dir_.Write("a.yaml", "entries: 1\n");
  Settle();
  EXPECT_THAT(Paths(), ElementsAre("/a"));
  EXPECT_THAT(store_->problems(), ElementsAre(HasSubstr("a.yaml:1:1: ")));
  EXPECT_EQ(store_->failed_loads(), 1u);
  EXPECT_EQ(changes_, 0);
  dir_.Write("a.yaml", FileText("/a"));
  Settle();
  EXPECT_THAT(store_->problems(), IsEmpty());
  EXPECT_EQ(changes_, 0);
}

TEST_F(RegistryStoreTest, SurvivesTheLossOfItsDirectory) {
  TempDir other;
  fs::create_directory(other.Path("r"));
  other.Write("r/a.yaml", FileText("/a"));
  auto store = RegistryStore::Open(
      loop_, clock_, {.trust_domain = TrustDomain::Parse("example.org").value(), .paths = {other.Path("r")}});
  ASSERT_TRUE(store.ok()) << store.status();
  store_ = *std::move(store);
  fs::remove_all(other.Path("r"));
  Settle();
  EXPECT_THAT(Paths(), ElementsAre("/a"));
  EXPECT_FALSE(store_->problems().empty());
  fs::create_directory(other.Path("r"));
  other.Write("r/a.yaml", FileText("/b"));
  Settle();
  EXPECT_THAT(Paths(), ElementsAre("/b"));
  EXPECT_THAT(store_->problems(), IsEmpty());
}

TEST_F(RegistryStoreTest, ReloadAnswersWithTheErrorsOfThatLoad) {
  Open();
  EXPECT_TRUE(Reload().ok());
  dir_.Write("a.yaml", "entries: 1\n");
  EXPECT_THAT(std::string(Message(Reload())), HasSubstr("a.yaml:1:1: "));
}

TEST_F(RegistryStoreTest, AReloadAskedForDuringALoadReadsOnceMore) {
  Open();
  int answers = 0;
  store_->Reload([&](Status) { ++answers; });
  store_->Reload([&](Status status) {
    EXPECT_TRUE(status.ok());
    ++answers;
  });
  store_->Reload([&](Status) { ++answers; });
  dir_.Write("b.yaml", FileText("/b"));
  EXPECT_TRUE(RunUntil(loop_, [&] { return answers == 3; }));
  EXPECT_THAT(Paths(), ElementsAre("/a", "/b"));
}

TEST_F(RegistryStoreTest, TellsOfRemovalAndOfANewOrder) {
  dir_.Write("b.yaml", FileText("/b"));
  Open();
  fs::rename(dir_.Path("a.yaml"), dir_.Path("c.yaml"));
  Settle();
  EXPECT_THAT(Paths(), ElementsAre("/b", "/a"));  // another default identity
  EXPECT_EQ(changes_, 1);
  fs::remove(dir_.Path("c.yaml"));
  Settle();
  EXPECT_THAT(Paths(), ElementsAre("/b"));
  EXPECT_EQ(changes_, 2);
}

TEST_F(RegistryStoreTest, OtherPathsReplaceTheOldOnesOnceTheyCouldBeRead) {
  Open();
  const auto set_paths = [&](std::vector<std::string> paths) {
    std::optional<Status> answer;
    store_->SetPaths(std::move(paths), [&](Status status) { answer = std::move(status); });
    EXPECT_TRUE(RunUntilIdle(loop_));
    return answer.value_or(Error(StatusCode::kInternal, "no answer"));
  };
  const std::string other = dir_.Path("other.d");
  const Status missing = set_paths({other});
  EXPECT_FALSE(missing.ok());
  EXPECT_THAT(Paths(), ElementsAre("/a")) << "a wrong path takes nothing away";
  EXPECT_EQ(changes_, 0);
  EXPECT_THAT(store_->problems(), testing::Contains(HasSubstr(other)));
  EXPECT_THAT(store_->problems(), testing::Contains(HasSubstr("in force until")));
  dir_.Write("a.yaml", FileText("/never"));
  EXPECT_FALSE(Reload().ok());
  EXPECT_THAT(Paths(), ElementsAre("/a")) << "what is not configured is not read";

  fs::create_directory(other);
  EXPECT_TRUE(Reload().ok());
  EXPECT_THAT(Paths(), IsEmpty()) << "the new path is there, and says that there is none";
  EXPECT_THAT(store_->problems(), IsEmpty());
}

TEST_F(RegistryStoreTest, APathThatIsNotConfiguredAnyMoreGoesAlthoughAnotherThatWasGoodIsBroken) {
  TempDir second;
  second.Write("b.yaml", FileText("/b"));
  Open();
  store_->SetPaths({dir_.path(), second.path()});
  ASSERT_TRUE(RunUntilIdle(loop_));
  ASSERT_THAT(Paths(), ElementsAre("/a", "/b"));
  second.Write("b.yaml", "entries: [{");
  store_->SetPaths({second.path()});
  ASSERT_TRUE(RunUntilIdle(loop_));
  EXPECT_THAT(Paths(), ElementsAre("/b"));
}

TEST_F(RegistryStoreTest, MayBeDestroyedWhileItLoads) {
  Open();
  store_->Reload([](Status) { FAIL() << "the store is gone"; });
  store_.reset();
  EXPECT_TRUE(RunUntilIdle(loop_));
  EXPECT_EQ(changes_, 0);
}

}  // namespace
}  // namespace lanyard
