#include "pki/base64.h"

#include <random>

#include "tests/unit/pki/pki_testing.h"

namespace lanyard::testing {
namespace {

TEST(Base64Test, MatchesTheExamplesOfRfc4648) {  // RFC 4648 §10
  const std::pair<const char*, const char*> examples[] = {{"", ""},
                                                          {"f", "Zg=="},
                                                          {"fo", "Zm8="},
                                                          {"foo", "Zm9v"},
                                                          {"foob", "Zm9vYg=="},
                                                          {"fooba", "Zm9vYmE="},
                                                          {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : examples) {
    EXPECT_EQ(Base64Encode(bytes), text);
    EXPECT_EQ(Get(Base64Decode(text)), bytes);
  }
}

TEST(Base64Test, AgreesWithOpensslOnAllBytes) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  const OpensslCli cli;
  cli.Write("bytes", bytes);
  std::string expected = cli.Run("base64 -A -in bytes");  // one line, no wrapping
  EXPECT_EQ(Base64Encode(bytes), expected);
  EXPECT_EQ(Get(Base64Decode(expected)), bytes);
}

TEST(Base64Test, UrlFormHasNoPaddingAndItsOwnTwoCharacters) {
  EXPECT_EQ(Base64UrlEncode("\xfb\xff\xfe"), "-__-");
  EXPECT_EQ(Base64UrlEncode("f"), "Zg");
  EXPECT_EQ(Get(Base64UrlDecode("Zg")), "f");
  EXPECT_THAT(Base64UrlDecode("Zg=="), Refused("not base64"));
  EXPECT_THAT(Base64UrlDecode("+//+"), Refused("not base64"));
}

TEST(Base64Test, RefusesASecondSpelling) {
  for (const char* text :
       {"Zg", "Zg=", "Z", "Zh==", "Zm9=", "Zm 9v", "Zm9v\n", "=", "====", "Zg==Zg==", "Zm9v====", "Z===", "-__-"}) {
    EXPECT_FALSE(Base64Decode(text).ok()) << text;
  }
}

TEST(Base64Test, RoundTripsAnyLength) {
  std::mt19937 random(1);
  for (std::size_t length = 0; length < 200; ++length) {
    std::string bytes(length, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    EXPECT_EQ(Get(Base64Decode(Base64Encode(bytes))), bytes);
    EXPECT_EQ(Get(Base64UrlDecode(Base64UrlEncode(bytes))), bytes);
  }
}

}  // namespace
}  // namespace lanyard::testing
