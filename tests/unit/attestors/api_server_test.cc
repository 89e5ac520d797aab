#include "attestors/api_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"
#include "tests/support/loop_driver.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/attestors/scripted_engine.h"

namespace lanyard {
namespace {

using std::chrono::seconds;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

ScriptedAnswer Namespace(const std::string& name, const std::string& team) {
  return HttpOk(Json({{"kind", "Namespace"}, {"metadata", {{"name", name}, {"labels", {{"team", team}}}}}}).dump());
}

class ApiServerTest : public testing::Test {
 protected:
  using Answer = std::optional<Result<ApiServer::Cache::FactsPtr>>;

  Result<ApiServer::Cache::FactsPtr> Find(const std::string& name) {
    if (auto known = api_server_.Cached(name)) return known;
    Answer answer;
    const auto ticket =
        api_server_.FindLabels(name, [&](Result<ApiServer::Cache::FactsPtr> said) { answer = std::move(said); });
    EXPECT_FALSE(answer.has_value()) << "answered before FindLabels has returned";
    EXPECT_TRUE(RunUntil(loop_, [&] { return answer.has_value(); }));
    return *answer;
  }
  std::string Refusal(const std::string& name) {
    const auto labels = Find(name);
    EXPECT_FALSE(labels.ok());
    return std::string(Message(labels.status()));
  }

  TempDir dir_;
  EventLoop loop_;
  FakeClock clock_;
  HostTools tools_{loop_, clock_};
  ScriptedEngine server_{dir_.Path("api.sock")};
  ApiServer api_server_{
      {.server = UnixServer{dir_.Path("api.sock")}, .token_path = "", .refresh = seconds(5)}, tools_, clock_};
};

TEST_F(ApiServerTest, SaysWhichLabelsANamespaceHas) {
  server_.Say(Namespace("shop", "refunds"));
  const auto labels = Find("shop");
  ASSERT_TRUE(labels.ok()) << labels.status();
  EXPECT_THAT(**labels, ElementsAre(Pair("team", "refunds")));
  EXPECT_THAT(server_.requests(), ElementsAre(HasSubstr("GET /api/v1/namespaces/shop HTTP/1.1")));
}

TEST_F(ApiServerTest, IsAskedAgainWhenWhatItSaidIsOld) {
  server_.Say(Namespace("shop", "refunds"));
  ASSERT_TRUE(Find("shop").ok());
  server_.Say(Namespace("shop", "reports"));
  clock_.Advance(seconds(4));
  EXPECT_THAT(**Find("shop"), ElementsAre(Pair("team", "refunds")));
  clock_.Advance(seconds(1));
  EXPECT_THAT(**Find("shop"), ElementsAre(Pair("team", "reports")));
  EXPECT_EQ(server_.requests().size(), 2);
}

TEST_F(ApiServerTest, IsAskedOnceForAllWhoWait) {
  server_.Say(Namespace("shop", "refunds"));
  std::vector<Answer> answers(20);
  std::vector<std::unique_ptr<ApiServer::Cache::Ticket>> tickets;
  for (Answer& answer : answers) {
    tickets.push_back(api_server_.FindLabels(
        "shop", [&answer](Result<ApiServer::Cache::FactsPtr> said) { answer = std::move(said); }));
  }
  ASSERT_TRUE(RunUntil(loop_, [&] { return answers.back().has_value(); }));
  for (const Answer& answer : answers) EXPECT_TRUE(answer.has_value() && answer->ok());
  EXPECT_EQ(server_.requests().size(), 1);
}

TEST_F(ApiServerTest, ARefusalSaysWhatToDoAndNothingOlderIsUsed) {
  server_.Say(Namespace("shop", "refunds"));
  ASSERT_TRUE(Find("shop").ok());
  clock_.Advance(seconds(5));
  server_.Say(ScriptedAnswer{"HTTP/1.1 403 Forbidden\r\nContent-Length: 7\r\n\r\nbecause"});
  EXPECT_THAT(Refusal("shop"), AllOf(HasSubstr("ask the API server"), HasSubstr("403 (because)"),
                                     HasSubstr("may this service account get namespaces?")));
  server_.Say(kUnknown);
  EXPECT_THAT(Refusal("shop"), HasSubstr("404"));
}

TEST_F(ApiServerTest, HealthTellsOfAFailureForAMinute) {
  EXPECT_TRUE(api_server_.health().ok());
  Refusal("shop");
  EXPECT_THAT(std::string(Message(api_server_.health())), HasSubstr("404"));
  clock_.Advance(seconds(61));
  EXPECT_TRUE(api_server_.health().ok());
  Refusal("shop");
  server_.Say(Namespace("shop", "refunds"));
  ASSERT_TRUE(Find("shop").ok());
  EXPECT_TRUE(api_server_.health().ok());
}

TEST_F(ApiServerTest, ANameThatIsAPathIsNotAskedFor) {
  for (const char* name : {"", "..", "a/../../../v1/secrets", "a?b", "A", "a\r\nHost: b"}) {
    EXPECT_THAT(Refusal(name), HasSubstr("no namespace can have such a name")) << name;
  }
  EXPECT_THAT(server_.requests(), IsEmpty());
}

}  // namespace
}  // namespace lanyard
