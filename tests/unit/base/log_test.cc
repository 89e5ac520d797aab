#include "node_agent/base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace lanyard {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;
using testing::EndsWith;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

class LogTest : public testing::Test {
 protected:
  ~LogTest() override { StartLogging(LogLevel::kInfo, LogFormat::kText); }

  template <class Write>
  std::string Logged(LogLevel level, LogFormat format, Write write) {
    StartLogging(level, format);
    testing::internal::CaptureStderr();
    write();
    return testing::internal::GetCapturedStderr();
  }
};

TEST_F(LogTest, WritesOneLineWithTimeInUtcAndLevel) {
  const std::string text = Logged(LogLevel::kInfo, LogFormat::kText, [] { LANYARD_LOG_WARN("pid {} refused", 7); });
  EXPECT_THAT(text, MatchesRegex("....-..-..T..:..:..[.]......Z warning pid 7 refused\n"));
}

TEST_F(LogTest, LetsNoCallerForgeALineOrAnEscapeSequence) {
  const std::string text = Logged(LogLevel::kInfo, LogFormat::kText, [] {
    LANYARD_LOG_INFO("executable {}", "a\n2026-01-01 info all is well\r\x1b[2J\0\x7f"sv);
  });
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  EXPECT_THAT(text, HasSubstr("a\\x0a2026-01-01 info all is well\\x0d\\x1b[2J\\x00\\x7f"));
}

TEST_F(LogTest, CutsATextThatIsSoLongThatTheJournalWouldBreakItsLine) {
  std::string hostile = "executable //";  // so that the cut comes in the middle of a character
  while (hostile.size() < 100'000) hostile += "ü\x01";
  for (const LogFormat format : {LogFormat::kText, LogFormat::kJson}) {
    const std::string text = Logged(LogLevel::kInfo, format, [&] { LANYARD_LOG_INFO("{}", hostile); });
    EXPECT_LT(text.size(), 48u * 1024);
    EXPECT_THAT(text, HasSubstr("executable //ü"));
    EXPECT_THAT(text, HasSubstr(" …"));
    EXPECT_THAT(text, Not(HasSubstr("\xef\xbf\xbd"))) << "half a character";
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  }
}

TEST_F(LogTest, WritesJsonThatReadsBackWhateverTheText) {
  const std::string hostile = "quote \" brace } newline \n percent %v nul \0 broken \xff\xfe end"s;
  const std::string text = Logged(LogLevel::kInfo, LogFormat::kJson, [&] { LANYARD_LOG_ERROR("{}", hostile); });
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  EXPECT_THAT(text, EndsWith("}\n"));
  const auto line = nlohmann::json::parse(text, nullptr, false);
  ASSERT_FALSE(line.is_discarded()) << text;
  EXPECT_EQ(line["level"], "error");
  EXPECT_THAT(line["message"].get<std::string>(), HasSubstr("quote \" brace } newline \n percent %v nul "));
}

TEST_F(LogTest, FormatsNothingBelowItsLevel) {
  bool formatted = false;
  const auto argument = [&] {
    formatted = true;
    return 1;
  };
  const std::string text = Logged(LogLevel::kWarn, LogFormat::kText, [&] {
    LANYARD_LOG_INFO("{}", argument());
    LANYARD_LOG_DEBUG("{}", argument());
  });
  EXPECT_EQ(text, "");
  EXPECT_FALSE(formatted);
  EXPECT_THAT(Logged(LogLevel::kDebug, LogFormat::kText, [] { LANYARD_LOG_DEBUG("seen"); }), HasSubstr("debug seen"));
}

TEST_F(LogTest, KnowsItsLevelsAndFormatsByName) {
  EXPECT_EQ(ParseLogLevel("warn"), LogLevel::kWarn);
  EXPECT_EQ(ParseLogLevel("warning"), std::nullopt);
  EXPECT_EQ(ParseLogFormat("json"), LogFormat::kJson);
  EXPECT_EQ(ParseLogFormat("JSON"), std::nullopt);
}

}  // namespace
}  // namespace lanyard
