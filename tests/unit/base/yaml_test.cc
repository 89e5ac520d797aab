#include "node_agent/base/yaml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lanyard {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

std::string ErrorOf(std::string_view text, const YamlVariables& variables = nullptr) {
  return std::string(Message(ParseYaml(text, "f.yaml", variables).status()));
}

YamlNode One(std::string_view text, const YamlVariables& variables = nullptr) {
  auto documents = ParseYaml(text, "f.yaml", variables);
  EXPECT_TRUE(documents.ok()) << documents.status();
  EXPECT_EQ(documents->size(), 1u);
  return documents->at(0);
}

YamlNode Value(std::string_view text, const YamlVariables& variables = nullptr) {
  return *One(text, variables).Find("k");
}

TEST(YamlTest, GivesAValueThePositionOfItsKeyAndAListItemItsOwn) {
  const YamlNode root = One("a: 1\nb:\n    c:\n      - x\n      -   y\n    d:\n");
  const YamlNode& b = *root.Find("b");
  EXPECT_EQ(b.position().str(), "f.yaml:2:1");
  EXPECT_EQ(b.Find("c")->position().str(), "f.yaml:3:5");
  EXPECT_EQ(b.Find("c")->AsList()->back().position().str(), "f.yaml:5:11");
  EXPECT_EQ(b.Find("d")->position().str(), "f.yaml:6:5");  // yaml-cpp would say line 7
  EXPECT_TRUE(b.Find("d")->IsNull());
}

TEST(YamlTest, RefusesADuplicateKeyAtAnyDepth) {
  EXPECT_EQ(ErrorOf("a: 1\nb: 2\na: 3\n"), "f.yaml:3:1: duplicate key 'a' (first on line 1)");
  EXPECT_EQ(ErrorOf("x:\n- {a: 1, \"a\": 2}\n"), "f.yaml:2:10: duplicate key 'a' (first on line 2)");
}

TEST(YamlTest, RefusesAliasesAnchorsMergeKeysAndTags) {
  EXPECT_THAT(ErrorOf("a: &x 1\n"), StartsWith("f.yaml:1:4: anchors"));
  EXPECT_THAT(ErrorOf("a: &x 1\nb: *x\n"), HasSubstr("f.yaml:2:4: aliases"));
  EXPECT_THAT(ErrorOf("a: *x\n"), StartsWith("f.yaml:1:4: "));
  EXPECT_THAT(ErrorOf("a: &x {b: 1}\nc:\n  <<: *x\n"), HasSubstr("f.yaml:3:3: merge keys"));
  EXPECT_THAT(ErrorOf("a: !!str 1\n"), StartsWith("f.yaml:1:4: tags"));
  EXPECT_THAT(ErrorOf("a: !evil {}\n"), HasSubstr("tags"));
  EXPECT_THAT(ErrorOf("a: !!binary aGk=\n"), HasSubstr("tags"));
}

TEST(YamlTest, ReportsSeveralErrorsInTheOrderOfTheText) {
  EXPECT_EQ(ErrorOf("a: &x 1\nb: 1\nb: 2\nc: !t 1\n"),
            "f.yaml:1:4: anchors (&name) are not allowed: write the value out where it is needed\n"
            "f.yaml:3:1: duplicate key 'b' (first on line 2)\n"
            "f.yaml:4:4: tags (here '!t') are not allowed");
}

TEST(YamlTest, ReportsSyntaxErrorsWithTheirPosition) {
  EXPECT_THAT(ErrorOf("a: [1, 2\nb: 3\n"), StartsWith("f.yaml:"));
  EXPECT_THAT(ErrorOf("a: 1\n\tb: 2\n"), StartsWith("f.yaml:2:"));
  EXPECT_THAT(ErrorOf("a: ]\n"), StartsWith("f.yaml:1:4"));
}

// yaml-cpp closes them itself at the end of the text, so that half a file would look like a whole one.
TEST(YamlTest, RefusesQuotesThatAreNeverClosed) {
  EXPECT_EQ(ErrorOf("a: 1\nb: \"open\n"), "f.yaml:2:4: the quotes are never closed");
  EXPECT_EQ(ErrorOf("a: 'it''s\n"), "f.yaml:1:4: the quotes are never closed");
  EXPECT_EQ(ErrorOf("a: \"x\\\"\n"), "f.yaml:1:4: the quotes are never closed");
  EXPECT_EQ(Value("k: 'it''s'").AsString().value(), "it's");
  EXPECT_EQ(Value("k: \"\xc3\xbc \\\" \\\\\"").AsString().value(), "\xc3\xbc \" \\");
  EXPECT_EQ(Value("k: \"two\n  lines\"").AsString().value(), "two lines");
}

TEST(YamlTest, RefusesKeysThatAreNotNames) {
  EXPECT_THAT(ErrorOf("? [a, b]\n: 1\n"), HasSubstr("a key must be a name, not a list"));
  EXPECT_THAT(ErrorOf("? {a: b}\n: 1\n"), HasSubstr("a key must be a name, not a map"));
  EXPECT_THAT(ErrorOf("~: 1\n"), HasSubstr("a key must be a name"));
  EXPECT_THAT(ErrorOf("\"\": 1\n"), HasSubstr("a key must be a name"));
}

// A control byte 4 would end the text in silence, and with it every entry after it.
TEST(YamlTest, RefusesControlBytesAndWhatIsNotUtf8) {
  EXPECT_EQ(ErrorOf(std::string_view("a: 1\n\x04\nb: 2\n")), "f.yaml:2:1: control byte 0x04 is not allowed");
  EXPECT_EQ(ErrorOf(std::string_view("a: \0", 4)), "f.yaml:1:4: control byte 0x00 is not allowed");
  EXPECT_EQ(ErrorOf("a: \xff\xfe"), "f.yaml:1:4: not UTF-8 text");
  EXPECT_EQ(ErrorOf("a: \xed\xa0\x80"), "f.yaml:1:4: not UTF-8 text");      // a surrogate
  EXPECT_EQ(ErrorOf("a: \xc0\xaf"), "f.yaml:1:4: not UTF-8 text");          // an overlong '/'
  EXPECT_EQ(ErrorOf("a: \xf4\x90\x80\x80"), "f.yaml:1:4: not UTF-8 text");  // above U+10FFFF
  EXPECT_EQ(Value("\xef\xbb\xbfk: gr\xc3\xbc\xc3\x9f\n").AsString().value(), "gr\xc3\xbc\xc3\x9f");
}

// A value may hold a newline, and some errors of others show it: their lines must not be taken for errors elsewhere.
TEST(YamlTest, KeepsAnErrorOfSomebodyElseOnOneLine) {
  const Status error = Value("k: x\n").At(Error(StatusCode::kNotFound, "no 'a\nf.yaml:9:9: b\x7f'"));
  EXPECT_EQ(error.code(), StatusCode::kNotFound);
  EXPECT_EQ(Message(error), "f.yaml:1:1: no 'a\\x0af.yaml:9:9: b\\x7f'");
  EXPECT_TRUE(Value("k: x\n").At(OkStatus()).ok());
}

TEST(YamlTest, RefusesDeepNestingAndTooMuchText) {
  EXPECT_THAT(ErrorOf(std::string(100, '[')), HasSubstr("nested more than 32 levels deep"));
  EXPECT_THAT(ErrorOf(std::string(200'000, '[')), StartsWith("f.yaml:1:"));
  std::string deep_block;
  for (int i = 0; i < 40; ++i) deep_block += std::string(static_cast<size_t>(i), ' ') + "a:\n";
  EXPECT_THAT(ErrorOf(deep_block), HasSubstr("nested more than 32 levels deep"));
  EXPECT_EQ(ParseYaml(std::string(kMaxYamlBytes + 1, ' '), "f.yaml").status().code(), StatusCode::kResourceExhausted);
}

TEST(YamlTest, ReadsSeveralDocuments) {
  const auto documents = ParseYaml("# nothing yet\n---\na: 1\n---\nb: 2\n...\n---\nc: 3\n", "f.yaml");
  ASSERT_TRUE(documents.ok()) << documents.status();
  ASSERT_EQ(documents->size(), 3u);
  EXPECT_NE(documents->at(2).Find("c"), nullptr);
  EXPECT_EQ(documents->at(2).Find("c")->position().line, 8);
  EXPECT_TRUE(ParseYaml("", "f.yaml")->empty());
  EXPECT_TRUE(ParseYaml("# only this\n", "f.yaml")->empty());
}

// yaml-cpp takes the rest of a text that it could not place for a further document, and where it cannot read that, it
// stands still.
TEST(YamlTest, RefusesTextAfterADocumentThatIsNotAMarkedDocument) {
  EXPECT_THAT(ErrorOf("{a: 1}\n{b: 2}\n"), StartsWith("f.yaml:2:1: text after the end of the document"));
  EXPECT_FALSE(ParseYaml("  a: 1\nb: 2\n", "f.yaml").ok());
  EXPECT_FALSE(ParseYaml("- a\nb: 2\n", "f.yaml").ok());
  EXPECT_FALSE(ParseYaml("a: 1\n- b\n", "f.yaml").ok());
  EXPECT_FALSE(ParseYaml("{a: 1}}\n", "f.yaml").ok());
  EXPECT_FALSE(ParseYaml("[a]: : :\n, ,\n", "f.yaml").ok());
}

TEST(YamlTest, ExpandsVariablesInValuesAfterParsing) {
  const YamlVariables variables = [](const std::string& name) -> std::optional<std::string> {
    if (name == "PORT") return "8080";
    if (name == "EVIL") return "x\nadmin: true, [1";
    if (name == "EMPTY") return "";
    return std::nullopt;
  };
  EXPECT_EQ(Value("k: ${PORT}\n", variables).AsInt(1, 65535).value(), 8080);
  EXPECT_EQ(Value("k: \"a${PORT}b${PORT}${EMPTY}\"\n", variables).AsString().value(), "a8080b8080");
  const YamlNode root = One("k: ${EVIL}\n", variables);
  EXPECT_EQ(root.Find("k")->AsString().value(), "x\nadmin: true, [1");
  EXPECT_EQ(root.Find("admin"), nullptr);
  EXPECT_EQ(Value("k: a$${PORT}\n", variables).AsString().value(), "a${PORT}");
  EXPECT_EQ(Value("k: $5 and $PORT\n", variables).AsString().value(), "$5 and $PORT");
  EXPECT_NE(One("${PORT}: 1\n", variables).Find("${PORT}"), nullptr);
}

TEST(YamlTest, RefusesUndefinedAndMalformedVariables) {
  const YamlVariables none = [](const std::string&) { return std::nullopt; };
  EXPECT_EQ(ErrorOf("a:\n  b: x${NOPE}\n", none), "f.yaml:2:3: environment variable 'NOPE' is not defined");
  EXPECT_THAT(ErrorOf("a: ${NO\n", none), HasSubstr("without '}'"));
  EXPECT_THAT(ErrorOf("a: ${}\n", none), HasSubstr("not the name of a variable"));
  EXPECT_THAT(ErrorOf("a: ${A:-b}\n", none), HasSubstr("not the name of a variable"));
}

TEST(YamlTest, DoesNotExpandWithoutVariables) {
  EXPECT_EQ(Value("k: ${HOME}\n").AsString().value(), "${HOME}");
}

TEST(YamlTest, TakesOnlyPlainTrueAndFalseForTruth) {
  EXPECT_TRUE(Value("k: true\n").AsBool().value());
  EXPECT_FALSE(Value("k: false\n").AsBool().value());
  for (const char* text : {"yes", "no", "on", "off", "True", "FALSE", "1", "0", "\"true\"", "", "[true]"}) {
    EXPECT_FALSE(Value(fmt::format("k: {}\n", text)).AsBool().ok()) << text;
  }
}

TEST(YamlTest, TakesOnlyPlainDecimalNumbersInRange) {
  EXPECT_EQ(Value("k: 0\n").AsInt(0, 10).value(), 0);
  EXPECT_EQ(Value("k: -3\n").AsInt(-5, 10).value(), -3);
  EXPECT_FALSE(Value("k: -05\n").AsInt(-5, 10).ok());
  EXPECT_FALSE(Value("k: -0\n").AsInt(-5, 10).ok());
  for (const char* text :
       {"0777", "0x1f", "1e3", "1_000", "1.0", "\"5\"", "abc", "", "11", "99999999999999999999", "5 apples"}) {
    EXPECT_FALSE(Value(fmt::format("k: {}\n", text)).AsInt(0, 10).ok()) << text;
  }
  EXPECT_THAT(std::string(Message(Value("k: 11\n").AsInt(0, 10).status())),
              HasSubstr("f.yaml:1:1: 11 is out of range: 0 to 10"));
}

TEST(YamlTest, WantsFileModesInQuotes) {
  EXPECT_EQ(Value("k: \"0640\"\n").AsFileMode().value(), 0640u);
  EXPECT_THAT(std::string(Message(Value("k: 0777\n").AsFileMode().status())), HasSubstr("in quotes"));
  for (const char* text : {"\"777\"", "\"0888\"", "\"00777\"", "\"rwx\"", "\"\""}) {
    EXPECT_FALSE(Value(fmt::format("k: {}\n", text)).AsFileMode().ok()) << text;
  }
}

TEST(YamlTest, NamesThePositionInEveryAccessorsError) {
  const YamlNode value = Value("\n  \nk: [1]\n");
  for (const Status& status :
       {value.AsString().status(), value.AsDuration().status(), value.AsMap().status(), value.AsFileMode().status()}) {
    EXPECT_THAT(std::string(Message(status)), StartsWith("f.yaml:3:1: "));
  }
  EXPECT_THAT(std::string(Message(Value("k: 90\n").AsDuration().status())),
              StartsWith("f.yaml:1:1: duration '90' has no unit"));
  EXPECT_FALSE(Value("k: ~\n").AsString().ok());
  EXPECT_FALSE(Value("k:\n").AsString().ok());
  EXPECT_EQ(Value("k: \"\"\n").AsString().value(), "");
  EXPECT_EQ(Value("k: \"null\"\n").AsString().value(), "null");
}

TEST(YamlTest, NamesUnknownKeysWithASuggestionAndThoseThatAreNotBuiltYet) {
  const YamlNode root = One("trust_domian: x\nzzz: 1\nfederation: {}\nlog: {}\n");
  EXPECT_EQ(Message(root.RequireKnownKeys({"trust_domain", "log"}, {"federation"})),
            "f.yaml:1:1: unknown key 'trust_domian' (did you mean 'trust_domain'?)\n"
            "f.yaml:2:1: unknown key 'zzz'\n"
            "f.yaml:3:1: 'federation' is not supported yet");
  EXPECT_TRUE(root.RequireKnownKeys({"trust_domian", "zzz", "federation", "log"}).ok());
  EXPECT_FALSE(One("- a\n").RequireKnownKeys({"a"}).ok());
}

TEST(YamlTest, KeepsAnErrorOnOneLineWhateverIsInTheText) {
  const YamlNode root = One("\"a\\nf.yaml:9:9: forged\\e[31m\": 1\n");
  EXPECT_EQ(Message(root.RequireKnownKeys({"x"})), "f.yaml:1:1: unknown key 'a\\x0af.yaml:9:9: forged\\x1b[31m'");
}

TEST(YamlErrorsTest, SortsByFileLineAndColumnAndSaysEachErrorOnce) {
  YamlErrors errors;
  EXPECT_TRUE(errors.Add(OkStatus()));
  EXPECT_FALSE(errors.Add(Error(StatusCode::kInvalidArgument, "b.yaml:10:1: x\nb.yaml:9:12: y\nb.yaml:9:2: z")));
  errors.Add(Error(StatusCode::kInvalidArgument, "a:b.yaml:3:1: w"));
  errors.Add(Error(StatusCode::kInvalidArgument, "b.yaml:9:2: z"));
  EXPECT_THAT(errors.Sorted(), ElementsAre("a:b.yaml:3:1: w", "b.yaml:9:2: z", "b.yaml:9:12: y", "b.yaml:10:1: x"));
  EXPECT_TRUE(YamlErrors().status().ok());
}

TEST(YamlTest, EveryPrefixOfATextEndsInAnAnswer) {
  const std::string text =
      "entries:\n  - {a: [1, 'x', \"y\"], ? b : *c}\n  - |\n    text\n--- !t &a\n- >-\n  x\n...\n%TAG ! y\n--- ]\n";
  for (size_t length = 0; length <= text.size(); ++length) {
    IGNORE_ERROR(ParseYaml(text.substr(0, length), "f.yaml"), "it only has to come back");
    IGNORE_ERROR(ParseYaml(text.substr(length), "f.yaml"), "it only has to come back");
  }
}

}  // namespace
}  // namespace lanyard
