#include "node_agent/state/secret_file.h"

#include "tests/unit/state/state_fixture.h"

namespace lanyard::testing {
namespace {

TEST(SecretFileTest, ReadsAllBytesUpToTheLimit) {
  const TempDir temp;
  const std::string path = temp.Write("key", std::string(1000, 'k'), 0600);
  EXPECT_EQ(ReadSecretFile(path, 1000)->expose(), std::string(1000, 'k'));
  EXPECT_EQ(ReadSecretFile(path, 999).status().code(), StatusCode::kResourceExhausted);
}

TEST(SecretFileTest, RefusesAFileThatOthersCanRead) {
  const TempDir temp;
  EXPECT_EQ(ReadSecretFile(temp.Write("key", "k", 0644), 10).status().code(), StatusCode::kPermissionDenied);
}

TEST(SecretFileTest, TheBytesAreOverwrittenBeforeTheNameGoes) {
  const TempDir temp;
  const std::string path = temp.Write("key", "secret", 0600);
  std::ifstream still_open(path);
  ASSERT_TRUE(WipeAndRemove(path).ok());
  EXPECT_FALSE(std::filesystem::exists(path));
  const std::string left((std::istreambuf_iterator<char>(still_open)), {});
  EXPECT_EQ(left, std::string(6, '\0'));
}

TEST(SecretFileTest, AnAbsentFileIsGoneAlready) {
  EXPECT_TRUE(WipeAndRemove(TempDir().Path("none")).ok());
}

TEST(SecretFileTest, WipesNeitherThroughALinkNorAnotherNameOfTheSameFile) {
  const TempDir temp;
  const std::string victim = temp.Write("victim", "precious", 0600);
  ASSERT_TRUE(WipeAndRemove(temp.Link(victim, "symlink")).ok());
  std::filesystem::create_hard_link(victim, temp.Path("hardlink"));
  ASSERT_TRUE(WipeAndRemove(temp.Path("hardlink")).ok());
  std::ifstream in(victim);
  EXPECT_EQ(std::string((std::istreambuf_iterator<char>(in)), {}), "precious");
}

}  // namespace
}  // namespace lanyard::testing
