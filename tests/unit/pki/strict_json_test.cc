#include "pki/strict_json.h"

#include <nlohmann/json.hpp>

#include "tests/unit/pki/pki_testing.h"

namespace lanyard::testing {
namespace {

using nlohmann::json;

constexpr JsonLimits kLimits{.bytes = 1000, .depth = 4};

TEST(StrictJsonTest, ReadsWhatTheLibraryReads) {
  for (const char* text :
       {"{}", " \r\n\t{ } \n", R"({"a":1,"b":-1,"c":1.5,"d":true,"e":null,"f":"\u00e9\"\\\ud83d\ude00"})",
        R"({"a":[1,[2,{"b":[]}],"c"],"":{"":{"":{}}}})", R"({"a":18446744073709551616,"b":1e3,"c":-0})"}) {
    EXPECT_EQ(Get(ParseJsonObject(text, {.bytes = 1000})), json::parse(text)) << text;
  }
}

TEST(StrictJsonTest, RefusesANameThatStandsTwiceAtEveryDepth) {
  for (const char* text : {R"({"a":1,"a":1})", R"({"a":1,"b":2,"a":3})", R"({"x":{"a":1,"a":2}})",
                           R"({"x":[{},{"a":1,"a":2}]})", R"({"a":{},"a":{}})", R"({"":1,"":2})",
                           R"({"alg":"ES256","\u0061lg":"none"})"}) {  // another spelling of the same name
    EXPECT_THAT(ParseJsonObject(text, kLimits), Refused("twice")) << text;
  }
  EXPECT_TRUE(ParseJsonObject(R"({"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}],"A":1})", kLimits).ok());
}

TEST(StrictJsonTest, RefusesWhatIsNotOneObject) {
  for (const char* text :
       {"", " ", "[]", "[{}]", "1", "\"{}\"", "null", "true", "{} {}", "{}x", "{},", "{", "}", "{\"a\"}"}) {
    EXPECT_FALSE(ParseJsonObject(text, kLimits).ok()) << text;
  }
}

TEST(StrictJsonTest, RefusesWhatOnlySomeParsersTake) {
  for (const char* text :
       {"{'a':1}", "{a:1}", R"({"a":1,})", R"({"a":[1,]})", "{/**/}", "{}//", R"({"a":NaN})", R"({"a":Infinity})",
        R"({"a":01})", R"({"a":+1})", R"({"a":0x1})", R"({"a":1e999})", "{\"a\":\"\t\"}", "{\"a\":\"\xff\"}",
        "{\"a\":\"\xc0\xaf\"}", R"({"a":"\ud800"})", R"({"a":"\x41"})", "\xef\xbb\xbf{}", "\xff\xfe{}"}) {
    EXPECT_FALSE(ParseJsonObject(text, kLimits).ok()) << text;
  }
}

TEST(StrictJsonTest, AZeroByteDoesNotEndTheText) {
  using namespace std::string_view_literals;
  for (const std::string_view text : {"{}\0"sv, "{}\0{\"a\":1}"sv, "{\"a\":\"\0\"}"sv, "\0{}"sv}) {
    EXPECT_THAT(ParseJsonObject(text, kLimits), Refused("zero byte"));
  }
}

TEST(StrictJsonTest, LimitsAreExact) {
  EXPECT_TRUE(ParseJsonObject(R"({"a":[{"b":[]}]})", kLimits).ok());
  EXPECT_THAT(ParseJsonObject(R"({"a":[{"b":[{}]}]})", kLimits), Refused("more than 4 deep"));
  EXPECT_TRUE(ParseJsonObject("{}" + std::string(998, ' '), kLimits).ok());
  EXPECT_THAT(ParseJsonObject("{}" + std::string(999, ' '), kLimits), Refused("1001 bytes"));
  EXPECT_THAT(ParseJsonObject(R"({"a":)" + std::string(500, '['), kLimits), Refused("more than 4 deep"));
}

TEST(StrictJsonTest, ErrorsDoNotQuoteTheText) {
  for (const char* text : {R"({"secret":1,"secret":2})", R"({"a":secret})", R"("secret")", R"({"secret)"}) {
    const Status status = ParseJsonObject(text, kLimits).status();
    EXPECT_FALSE(status.ok());
    EXPECT_EQ(Message(status).find("secret"), std::string_view::npos) << status;
  }
}

}  // namespace
}  // namespace lanyard::testing
