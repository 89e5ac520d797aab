#include "node_agent/registry/loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/temp_dir.h"

namespace lanyard {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

std::string EntryText(std::string_view path, std::string_view selectors = "\"unix:uid:1\"",
                      std::string_view more = "") {
  return fmt::format("- spiffe_id: spiffe://example.org{}\n  selectors: [{}]\n{}", path, selectors, more);
}
std::string FileText(std::string_view entries) {
  return fmt::format("entries:\n{}", entries);
}

class LoaderTest : public testing::Test {
 protected:
  LoaderTest() {
    dir_.MakeDir("r");
    options_.paths = {dir_.Path("r")};
  }

  LoadedRegistry& Load() {
    loaded_ = LoadRegistry(options_, has_loaded_ ? &loaded_ : nullptr);
    has_loaded_ = true;
    return loaded_;
  }

  std::vector<std::string> Paths() const {
    std::vector<std::string> paths;
    for (const Registry::Item& item : loaded_.registry->items()) paths.emplace_back(item.entry->id.path());
    return paths;
  }
  EntryPtr Find(std::string_view path) const {
    for (const Registry::Item& item : loaded_.registry->items()) {
      if (item.entry->id.path() == path) return item.entry;
    }
    return nullptr;
  }

  TempDir dir_;
  RegistryOptions options_{.trust_domain = TrustDomain::Parse("example.org").value(), .paths = {}};
  LoadedRegistry loaded_;
  bool has_loaded_ = false;
};

TEST_F(LoaderTest, ReadsTheYamlFilesOfADirectorySortedByNameAndThenTheNextPath) {
  dir_.Write("r/20.yaml", FileText(EntryText("/c")));
  dir_.Write("r/10.yaml", FileText(EntryText("/b") + EntryText("/a")));
  dir_.Write("r/.hidden.yaml", "broken");
  dir_.Write("r/README.md", "broken");
  dir_.Write("r/30.yml", FileText(EntryText("/y")));
  options_.paths.push_back(dir_.Write("extra.conf", FileText(EntryText("/d"))));
  options_.paths.push_back(options_.paths[0]);
  EXPECT_TRUE(Load().ok()) << loaded_.status();
  EXPECT_THAT(Paths(), ElementsAre("/b", "/a", "/c", "/d"));
  EXPECT_THAT(loaded_.warnings, ElementsAre(HasSubstr("30.yml: not read")));
}

TEST_F(LoaderTest, FollowsTheSymlinksOfAConfigMap) {
  dir_.MakeDir("r/..1");
  dir_.Write("r/..1/a.yaml", FileText(EntryText("/a")));
  dir_.Link("..1", "r/..data");
  dir_.Link("..data/a.yaml", "r/a.yaml");
  EXPECT_TRUE(Load().ok()) << loaded_.status();
  EXPECT_THAT(Paths(), ElementsAre("/a"));
}

TEST_F(LoaderTest, ReportsEveryErrorOfEveryFileWithItsPosition) {
  dir_.Write("r/a.yaml", FileText(EntryText("/task") + EntryText("/b", "")));
  dir_.Write("r/b.yaml", "entries: [\n");
  EXPECT_FALSE(Load().ok());
  ASSERT_EQ(loaded_.errors.size(), 3u) << loaded_.status();
  EXPECT_THAT(loaded_.errors[0], StartsWith(dir_.Path("r/a.yaml") + ":2:3: "));
  EXPECT_THAT(loaded_.errors[1], StartsWith(dir_.Path("r/a.yaml") + ":5:3: "));
  EXPECT_THAT(loaded_.errors[2], StartsWith(dir_.Path("r/b.yaml") + ":"));
  EXPECT_THAT(loaded_.broken, ElementsAre(dir_.Path("r/a.yaml"), dir_.Path("r/b.yaml")));
}

TEST_F(LoaderTest, KeepsTheLastGoodStateOfABrokenFileAndTakesTheNewStateOfTheOthers) {
  dir_.Write("r/a.yaml", FileText(EntryText("/a1")));
  dir_.Write("r/b.yaml", FileText(EntryText("/b1")));
  EXPECT_TRUE(Load().ok());
  dir_.Write("r/a.yaml", FileText(EntryText("/a2") + EntryText("/task")));  // a good entry in it changes nothing
  dir_.Write("r/b.yaml", FileText(EntryText("/b2")));
  EXPECT_FALSE(Load().ok());
  EXPECT_THAT(Paths(), ElementsAre("/a1", "/b2"));
  EXPECT_FALSE(Load().ok());  // still
  EXPECT_THAT(Paths(), ElementsAre("/a1", "/b2"));
  dir_.Write("r/a.yaml", FileText(EntryText("/a3")));
  EXPECT_TRUE(Load().ok());
  EXPECT_THAT(Paths(), ElementsAre("/a3", "/b2"));
}

TEST_F(LoaderTest, AFileThatWasNeverGoodAddsNothing) {
  dir_.Write("r/a.yaml", FileText(EntryText("/a")));
  EXPECT_TRUE(Load().ok());
  dir_.Write("r/b.yaml", "entries: nonsense\n");
  EXPECT_FALSE(Load().ok());
  EXPECT_THAT(Paths(), ElementsAre("/a"));
}

TEST_F(LoaderTest, ADeletedFileIsGone) {
  dir_.Write("r/a.yaml", FileText(EntryText("/a")));
  dir_.Write("r/b.yaml", FileText(EntryText("/b")));
  EXPECT_TRUE(Load().ok());
  fs::remove(dir_.Path("r/a.yaml"));
  EXPECT_TRUE(Load().ok());
  EXPECT_THAT(Paths(), ElementsAre("/b"));
  dir_.Write("r/a.yaml", "entries: nonsense\n");  // comes back broken: what it held was given up
  EXPECT_FALSE(Load().ok());
  EXPECT_THAT(Paths(), ElementsAre("/b"));
}

TEST_F(LoaderTest, AVanishedDirectoryIsABrokenRegistryAndNotAnEmptyOne) {
  dir_.Write("r/a.yaml", FileText(EntryText("/a")));
  EXPECT_TRUE(Load().ok());
  fs::rename(dir_.Path("r"), dir_.Path("away"));
  EXPECT_FALSE(Load().ok());
  EXPECT_THAT(loaded_.errors, ElementsAre(HasSubstr(dir_.Path("r"))));
  EXPECT_THAT(Paths(), ElementsAre("/a"));
  dir_.Write("r", "a file in its place");
  EXPECT_FALSE(Load().ok());
  EXPECT_THAT(Paths(), ElementsAre("/a"));
  fs::remove(dir_.Path("r"));
  dir_.MakeDir("r");
  EXPECT_TRUE(Load().ok());  // it is there again, and really empty
  EXPECT_THAT(Paths(), IsEmpty());
}

TEST_F(LoaderTest, AVanishedFileThatWasNamedItselfKeepsItsState) {
  options_.paths = {dir_.Write("single.yaml", FileText(EntryText("/a")))};
  EXPECT_TRUE(Load().ok());
  fs::remove(dir_.Path("single.yaml"));
  EXPECT_FALSE(Load().ok());
  EXPECT_THAT(Paths(), ElementsAre("/a"));
}

TEST_F(LoaderTest, AFileThatIsADirectoryNowKeepsItsState) {
  options_.paths = {dir_.Write("single.yaml", FileText(EntryText("/a")))};
  EXPECT_TRUE(Load().ok());
  fs::remove(dir_.Path("single.yaml"));
  dir_.MakeDir("single.yaml");
  for (int i = 0; i < 2; ++i) {
    EXPECT_FALSE(Load().ok());
    EXPECT_THAT(loaded_.errors, ElementsAre(HasSubstr(dir_.Path("single.yaml") + " is a directory now")));
    EXPECT_THAT(loaded_.broken, ElementsAre(dir_.Path("single.yaml")));
    EXPECT_THAT(Paths(), ElementsAre("/a"));
  }
  fs::remove(dir_.Path("single.yaml"));
  dir_.Write("single.yaml", FileText(EntryText("/b")));
  EXPECT_TRUE(Load().ok());
  EXPECT_THAT(Paths(), ElementsAre("/b"));
}

TEST_F(LoaderTest, AMissingPathIsAnErrorAtStart) {
  options_.paths = {dir_.Path("none")};
  EXPECT_FALSE(Load().ok());
  EXPECT_THAT(loaded_.errors, ElementsAre(HasSubstr("none")));
  EXPECT_EQ(loaded_.registry->size(), 0u);
}

TEST_F(LoaderTest, ADanglingSymlinkIsBrokenAndKeepsItsState) {
  dir_.Write("target", FileText(EntryText("/a")));
  dir_.Link("../target", "r/a.yaml");
  EXPECT_TRUE(Load().ok());
  fs::remove(dir_.Path("target"));
  EXPECT_FALSE(Load().ok());
  EXPECT_THAT(Paths(), ElementsAre("/a"));
}

// Whoever can write a registry file can be anybody.
TEST_F(LoaderTest, DoesNotBelieveAFileThatOthersCanWrite) {
  dir_.Write("r/a.yaml", FileText(EntryText("/a")));
  EXPECT_TRUE(Load().ok());
  dir_.Write("r/a.yaml", FileText(EntryText("/evil")), 0666);
  EXPECT_FALSE(Load().ok());
  EXPECT_THAT(loaded_.errors, ElementsAre(testing::AllOf(HasSubstr("chmod go-w"), HasSubstr("a.yaml"))));
  EXPECT_THAT(Paths(), ElementsAre("/a"));
}

TEST_F(LoaderTest, DoesNotBelieveADirectoryThatOthersCanWrite) {
  dir_.Write("r/a.yaml", FileText(EntryText("/a")));
  EXPECT_TRUE(Load().ok());
  dir_.Write("r/b.yaml", FileText(EntryText("/b")));
  dir_.MakeDir("r", 0777);
  EXPECT_FALSE(Load().ok());
  EXPECT_THAT(Paths(), ElementsAre("/a"));
}

TEST_F(LoaderTest, DoesNotWaitForAPipeOrReadADirectoryAsAFile) {
  ASSERT_EQ(mkfifo(dir_.Path("r/pipe.yaml").c_str(), 0600), 0);
  dir_.MakeDir("r/dir.yaml");
  EXPECT_FALSE(Load().ok());
  EXPECT_EQ(loaded_.errors.size(), 2u);
}

TEST_F(LoaderTest, EntriesWithTheSameContentKeepTheirPointerWhereverTheyAreWritten) {
  dir_.Write("r/a.yaml", FileText(EntryText("/a") + EntryText("/b", "\"unix:uid:2\", \"unix:gid:2\"")));
  Load();
  const EntryPtr a = Find("/a");
  const EntryPtr b = Find("/b");
  dir_.Write("r/a.yaml",
             "# moved down\n" + FileText(EntryText("/c") + EntryText("/a", "\"unix:uid:1\"", "  hint: new\n")));
  dir_.Write("r/z.yaml", FileText(EntryText("/b", "\"unix:gid:2\", \"unix:uid:2\"")));
  Load();
  EXPECT_NE(Find("/a"), a);
  EXPECT_EQ(Find("/b"), b);
  EXPECT_EQ(loaded_.registry->PositionOf(b).str(), dir_.Path("r/z.yaml") + ":2:3");
}

TEST_F(LoaderTest, TwoEqualEntriesStayTwoAndAreWarnedOf) {
  dir_.Write("r/a.yaml", FileText(EntryText("/a") + EntryText("/a")));
  Load();
  Load();
  ASSERT_EQ(loaded_.registry->size(), 2u);
  EXPECT_NE(loaded_.registry->items()[0].entry, loaded_.registry->items()[1].entry);
  EXPECT_THAT(loaded_.warnings, ElementsAre(HasSubstr("is in the registry twice")));
}

TEST_F(LoaderTest, WarnsOfAHintThatOneCallerCanSeeComingTwice) {
  dir_.Write("r/a.yaml", FileText(EntryText("/small", "\"unix:uid:1\"", "  hint: h\n")));
  dir_.Write("r/b.yaml",
             FileText(EntryText("/big", "\"unix:uid:1\", \"unix:gid:1\"", "  hint: h\n") +
                      EntryText("/apart", "\"unix:uid:2\"", "  hint: h\n") + EntryText("/nohint", "\"unix:uid:1\"")));
  EXPECT_TRUE(Load().ok());
  EXPECT_THAT(loaded_.warnings, ElementsAre(testing::AllOf(StartsWith(dir_.Path("r/b.yaml") + ":2:3: "),
                                                           HasSubstr("/big has the hint 'h' of"), HasSubstr("/small"),
                                                           HasSubstr(dir_.Path("r/a.yaml") + ":2:3"))));
}

TEST_F(LoaderTest, WarnsOfEachPairOfEqualSelectorsOnce) {
  dir_.Write("r/a.yaml", FileText(EntryText("/x", "\"unix:uid:1\"", "  hint: h\n") +
                                  EntryText("/y", "\"unix:uid:1\"", "  hint: h\n")));
  Load();
  EXPECT_EQ(loaded_.warnings.size(), 1u);
}

TEST_F(LoaderTest, LoadsTenThousandEntries) {
  std::string text;
  for (int i = 0; i < 10'000; ++i)
    text += EntryText(fmt::format("/a/{}", i), fmt::format("\"unix:uid:{}\"", i), "  hint: h\n");
  dir_.Write("r/a.yaml", FileText(text));
  EXPECT_TRUE(Load().ok());
  EXPECT_EQ(loaded_.registry->size(), 10'000u);
  const EntryPtr first = Find("/a/0");
  Load();
  EXPECT_EQ(Find("/a/0"), first);
}

}  // namespace
}  // namespace lanyard
