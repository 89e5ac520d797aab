#include "node_agent/audit/audit_line.h"

#include <sys/wait.h>

#include "tests/unit/audit/audit_fixture.h"

namespace lanyard::testing {
namespace {

using Json = nlohmann::json;

const std::string kHash(64, 'a');

AuditPlace Place() {
  return {.seq = 7, .time = WallTime(1767225600s) + 42us, .environment = "production", .prev_hash = kHash};
}

AuditRecord Full() {
  AuditRecord record{.kind = AuditKind::kIssue, .decision = AuditDecision::kAllow, .reason = "an entry matches"};
  record.caller = AuditCaller{.pid = 12, .uid = 1000, .selectors = {"unix:uid:1000", "unix:path:/bin/a"}};
  record.spiffe_id = "spiffe://example.org/a";
  record.task = "t";
  record.owner = "o";
  record.tool = "tool";
  record.action = "act";
  record.resource = "res";
  record.serial = "0a";
  record.authority = "bb";
  record.not_after = WallTime(1767229200s);
  record.policy = AuditPolicy{.engine = "registry", .revision = "3"};
  record.correlation_id = "c";
  record.count = 5;
  return record;
}

TEST(AuditLineTest, HasEveryFieldInTheOrderThatIsPromised) {
  EXPECT_EQ(
      FormatAuditLine(Full(), Place()),
      R"({"seq":7,"time":"2026-01-01T00:00:00.000042Z","kind":"issue","decision":"allow","reason":"an entry matches",)"
      R"("caller":{"pid":12,"uid":1000,"selectors":["unix:uid:1000","unix:path:/bin/a"]},)"
      R"("spiffe_id":"spiffe://example.org/a","task":"t","owner":"o","tool":"tool","action":"act","resource":"res",)"
      R"("serial":"0a","authority":"bb","not_after":"2026-01-01T01:00:00.000000Z",)"
      R"("policy":{"engine":"registry","revision":"3"},"environment":"production","correlation_id":"c","count":5,)"
      R"("prev_hash":")" +
          kHash + "\"}");
}

TEST(AuditLineTest, LeavesOutWhatIsAbsent) {
  const AuditPlace place{.seq = 1, .time = WallTime(0s), .environment = "", .prev_hash = kHash};
  EXPECT_EQ(FormatAuditLine(AuditRecord{.kind = AuditKind::kAgent, .reason = "", .caller = AuditCaller{}}, place),
            R"({"seq":1,"time":"1970-01-01T00:00:00.000000Z","kind":"agent","caller":{"pid":0,"uid":0},"prev_hash":")" +
                kHash + "\"}");
}

TEST(AuditLineTest, HostileValuesStayOneLineOfValidJson) {
  for (const std::string& value :
       {std::string("a\nb\r\n{\"seq\":1}"), std::string("\",\"prev_hash\":\"0\"}\n{"), std::string("nul\0in", 6),
        std::string("\x1b[2J\x7f\xc2\x85"), std::string("\xff\xfe\xc0\x80\xed\xa0\x80\xf5"),
        std::string("cut \xe2\x82"), std::string("back\\slash\\"), std::string("fine \u2028 \U0001F600")}) {
    AuditRecord record = Full();
    record.reason = record.task = record.tool = record.spiffe_id = value;
    record.caller->selectors = {value};
    record.policy->revision = value;
    const std::string line = FormatAuditLine(record, Place());
    for (const char c : line) EXPECT_FALSE((c >= 0 && c < 0x20) || c == 0x7f) << line;
    const Json parsed = Json::parse(line, nullptr, false);  // refuses what is not UTF-8
    ASSERT_FALSE(parsed.is_discarded()) << line;
    EXPECT_EQ(parsed["seq"], 7);
    EXPECT_EQ(parsed["prev_hash"], kHash);
    EXPECT_EQ(parsed["caller"]["selectors"][0], parsed["reason"]);
    ASSERT_TRUE(ParseAuditLine(line).ok());
    EXPECT_EQ(PeekAuditLink(line)->prev_hash, kHash);
  }
  AuditRecord record = Full();
  record.reason = "\xff\"\n\u2028";
  EXPECT_THAT(FormatAuditLine(record, Place()), HasSubstr("\"reason\":\"\uFFFD\\\"\\u000a\u2028\""));
}

TEST(AuditLineTest, NoLineIsLongerThanALineMayBe) {
  for (const std::string& piece :
       {std::string("x"), std::string("\x01"), std::string("\xff"), std::string("\U0001F600")}) {
    std::string huge;
    while (huge.size() < 1'000'000) huge += piece;
    AuditRecord record = Full();
    record.reason = record.spiffe_id = record.task = record.owner = record.tool = record.action = record.resource =
        record.serial = record.authority = record.correlation_id = huge;
    record.policy = AuditPolicy{.engine = huge, .revision = huge};
    record.caller->selectors.assign(1000, huge.substr(0, 5000));
    record.nearly.assign(1000, huge);
    AuditPlace place = Place();
    place.environment = huge;
    place.seq = UINT64_MAX;
    const std::string line = FormatAuditLine(record, place);
    EXPECT_LE(line.size(), kMaxAuditLineBytes);
    const Json parsed = Json::parse(line, nullptr, false);
    ASSERT_FALSE(parsed.is_discarded());
    EXPECT_TRUE(parsed["reason"].get<std::string>().ends_with("\u2026"));
    EXPECT_EQ(parsed["nearly"].size(), 3u);
    EXPECT_EQ(parsed["caller"]["selectors"].size() + parsed["caller"]["selectors_left_out"].get<size_t>(), 1000u);
    CutAuditRecord(record);
    EXPECT_EQ(FormatAuditLine(record, place), line) << "what is cut early must not show";
  }
}

TEST(AuditLineTest, ReadsBackWhatItWrote) {
  const auto line = ParseAuditLine(FormatAuditLine(Full(), Place()));
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(line->seq, 7u);
  EXPECT_EQ(line->time, Place().time);
  EXPECT_EQ(line->kind, "issue");
  EXPECT_EQ(line->prev_hash, kHash);
  ASSERT_TRUE(line->issued);
  EXPECT_EQ(*line->issued, (IssuedSerial{.authority = "bb",
                                         .serial = "0a",
                                         .spiffe_id = "spiffe://example.org/a",
                                         .not_after = WallTime(1767229200s)}));
}

TEST(AuditLineTest, WhatWasIssuedIsReadFromRecordsOfEveryKindThatSaysIt) {
  for (const AuditKind kind : {AuditKind::kIssue, AuditKind::kIssueJwt, AuditKind::kIssueWit, AuditKind::kFetch}) {
    AuditRecord record = Full();
    record.kind = kind;
    const auto line = ParseAuditLine(FormatAuditLine(record, Place()));
    ASSERT_TRUE(line.ok()) << line.status();
    EXPECT_EQ(line->kind, AuditKindName(kind));
    EXPECT_EQ(line->issued.has_value(), kind != AuditKind::kFetch) << line->kind;
  }
}

TEST(AuditLineTest, RefusesWhatIsNoLineOfTheLog) {
  const std::string good =
      R"({"seq":1,"time":"2026-01-01T00:00:00.000000Z","kind":"agent","prev_hash":")" + kHash + "\"}";
  ASSERT_TRUE(ParseAuditLine(good).ok());
  const auto with = [&](std::string_view from, std::string_view to) {
    std::string line = good;
    return line.replace(line.find(from), from.size(), to);
  };
  const std::vector<std::pair<std::string, std::string>> bad = {
      {"", "not a JSON object"},
      {"[]", "not a JSON object"},
      {good + "x", "not a JSON object"},
      {good.substr(0, 40), "not a JSON object"},
      {with("agent", "\xff"), "not a JSON object"},
      {with("\"seq\":1", "\"seq\":1,\"seq\":2"), "stands there twice"},
      {with("\"kind\"", "\"caller\":{\"pid\":1,\"pid\":2},\"kind\""), "stands there twice"},
      {with("\"seq\":1", "\"seq\":-1"), "\"seq\" has the wrong type"},
      {with("\"seq\":1", "\"seq\":1.5"), "\"seq\" has the wrong type"},
      {with("\"seq\":1", "\"seq\":\"1\""), "\"seq\" has the wrong type"},
      {with("\"seq\":1", "\"seq\":0"), "begin with 1"},
      {with("\"seq\":1,", ""), "\"seq\" is missing"},
      {with("00:00:00.000000Z", "00:00:00+00:00"), "\"time\""},
      {with("2026-01-01", "2026-02-30"), "\"time\""},
      {with(kHash, "AA"), "64 lower-case"},
      {with("\"kind\"", "\"caller\":7,\"kind\""), "\"caller\" has the wrong type"},
      {with("agent", "checkpoint"), "do not fit together"},
      {with("\"kind\"", "\"checkpoint\":{},\"kind\""), "do not fit together"},
      {with("\"kind\"", "\"x\":" + std::string(5000, '[') + std::string(5000, ']') + ",\"kind\""), "nested"},
      {with("\"kind\"", "\"x\":\"" + std::string(20000, 'x') + "\",\"kind\""), "longer than"},
  };
  for (const auto& [line, why] : bad) {
    const auto parsed = ParseAuditLine(line);
    EXPECT_EQ(parsed.status().code(), StatusCode::kInvalidArgument) << line;
    EXPECT_THAT(Words(parsed.status()), HasSubstr(why)) << line;
  }
  EXPECT_TRUE(ParseAuditLine(with("\"kind\"", "\"later\":[1],\"kind\"")).ok()) << "later versions may write more";
}

TEST(AuditLineTest, TimesSurviveBothWays) {
  for (const char* text :
       {"1970-01-01T00:00:00.000000Z", "2026-02-28T23:59:59.999999Z", "2028-02-29T12:00:00.000001Z"}) {
    const auto time = ParseAuditTime(text);
    ASSERT_TRUE(time) << text;
    EXPECT_EQ(FormatAuditTime(*time), text);
  }
  for (const char* text : {"", "2026-01-01", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-13-01T00:00:00Z",
                           "9999-01-01T00:00:00Z", "2026-01-01T00:00:00.00000xZ", "2026-01-01 00:00:00Z"}) {
    EXPECT_FALSE(ParseAuditTime(text)) << text;
  }
}

}  // namespace
}  // namespace lanyard::testing
