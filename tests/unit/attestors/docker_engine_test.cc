#include "attestors/docker_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"
#include "tests/support/loop_driver.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/attestors/scripted_engine.h"

namespace lanyard {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

class DockerEngineTest : public testing::Test {
 protected:
  using Answer = std::optional<Result<DockerEngine::Cache::FactsPtr>>;
  static constexpr auto kEnv = DockerEngine::Env::kWanted;
  static constexpr auto kNoEnv = DockerEngine::Env::kNotWanted;

  std::unique_ptr<DockerEngine::Cache::Ticket> Ask(Answer& answer, const std::string& id,
                                                   DockerEngine::Env env = kNoEnv) {
    auto ticket = docker_.Find(id, env, [&](Result<DockerEngine::Cache::FactsPtr> said) { answer = std::move(said); });
    EXPECT_FALSE(answer.has_value()) << "answered before Find has returned";
    return ticket;
  }
  Result<DockerEngine::Cache::FactsPtr> Inspect(const std::string& id, DockerEngine::Env env = kNoEnv) {
    Answer answer;
    const auto ticket = Ask(answer, id, env);
    EXPECT_TRUE(RunUntil(loop_, [&] { return answer.has_value(); }));
    return answer ? *answer : Error(StatusCode::kAborted, "no answer at all");
  }
  std::string Refusal() {
    const auto answer = Inspect(Id('a'));
    EXPECT_FALSE(answer.ok());
    EXPECT_THAT(std::string(Message(answer.status())),
                StartsWith(fmt::format("inspect container {}…: ", Id('a').substr(0, 12))));
    return std::string(Message(answer.status()));
  }

  TempDir dir_;
  EventLoop loop_;
  FakeClock clock_;
  HostTools tools_{loop_, clock_};
  std::unique_ptr<ScriptedEngine> engine_ = std::make_unique<ScriptedEngine>(dir_.Path("docker.sock"));
  DockerEngine docker_{{"Docker", dir_.Path("docker.sock"), seconds(5), {dir_.Path("docker.sock")}}, tools_, clock_};
};

TEST_F(DockerEngineTest, AsksForTheContainerByItsWholeId) {
  engine_->Say(Container(Id('a')));
  const auto container = Inspect(Id('a'));
  ASSERT_TRUE(container.ok()) << container.status();
  EXPECT_EQ((**container)->image, "agent:v1");
  EXPECT_THAT(engine_->requests().front(), StartsWith("GET /containers/" + Id('a') + "/json HTTP/1.1\r\n"));
}

TEST_F(DockerEngineTest, AContainerThatItDoesNotKnowIsAnAnswer) {
  engine_->Say(kUnknown);
  const auto container = Inspect(Id('a'));
  ASSERT_TRUE(container.ok()) << container.status();
  EXPECT_FALSE((*container)->has_value());
}

TEST_F(DockerEngineTest, KeepsWhatItWasTold) {
  EXPECT_EQ(docker_.Cached(Id('a'), kNoEnv), nullptr);
  engine_->Say(Container(Id('a')));
  ASSERT_TRUE(Inspect(Id('a')).ok());
  EXPECT_NE(docker_.Cached(Id('a'), kNoEnv), nullptr);
  engine_->Say(ScriptedAnswer{"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"});
  EXPECT_FALSE(Inspect(Id('b')).ok());
  EXPECT_EQ(docker_.Cached(Id('b'), kNoEnv), nullptr);
}

TEST_F(DockerEngineTest, KeepsVariablesOnlyWhereTheyAreWanted) {
  engine_->Say(Container(Id('a')));
  ASSERT_TRUE(Inspect(Id('a')).ok());
  EXPECT_THAT((*docker_.Cached(Id('a'), kNoEnv))->env, IsEmpty());
  EXPECT_EQ(docker_.Cached(Id('a'), kEnv), nullptr);
  ASSERT_TRUE(Inspect(Id('a'), kEnv).ok());
  EXPECT_EQ((*docker_.Cached(Id('a'), kEnv))->env.size(), 2);
}

TEST_F(DockerEngineTest, AsksOnceForAllWhoWaitForOneContainer) {
  engine_->Say(Container(Id('a')));
  std::vector<Answer> answers(50);
  std::vector<std::unique_ptr<DockerEngine::Cache::Ticket>> tickets;
  for (Answer& answer : answers) tickets.push_back(Ask(answer, Id('a')));
  tickets[7].reset();
  EXPECT_TRUE(RunUntil(loop_, [&] { return answers.back().has_value(); }));
  for (size_t i = 0; i < answers.size(); ++i) EXPECT_EQ(answers[i].has_value() && answers[i]->ok(), i != 7) << i;
  EXPECT_EQ(engine_->requests().size(), 1);
}

TEST_F(DockerEngineTest, GivesUpARequestThatNobodyWaitsFor) {
  engine_->Say(kSilent);
  Answer answer;
  auto ticket = Ask(answer, Id('a'));
  ASSERT_TRUE(RunUntil(loop_, [&] { return !engine_->requests().empty(); }));
  ticket.reset();
  engine_->Say(Container(Id('a')));
  EXPECT_TRUE(Inspect(Id('a')).ok());
  EXPECT_EQ(engine_->requests().size(), 2);
  EXPECT_FALSE(answer.has_value());
}

TEST_F(DockerEngineTest, WaitsForAnEngineThatLearnsOfItsContainerLater) {
  Json stopped = Container(Id('a'));
  stopped["State"]["Running"] = false;
  engine_->SayInTurn({HttpOk(stopped.dump()), HttpOk(stopped.dump()), HttpOk(Container(Id('a')).dump())});
  Answer answer;
  const auto ticket = Ask(answer, Id('a'));
  ASSERT_TRUE(RunUntil(loop_, [&] {
    clock_.Advance(milliseconds(5));
    return answer.has_value();
  }));
  EXPECT_TRUE(answer->ok()) << answer->status();
  EXPECT_EQ(engine_->requests().size(), 3);
}

TEST_F(DockerEngineTest, RefusesAContainerThatDoesNotRun) {
  Json stopped = Container(Id('a'));
  stopped["State"]["Running"] = false;
  engine_->Say(stopped);
  Answer answer;
  const auto ticket = Ask(answer, Id('a'));
  ASSERT_TRUE(RunUntil(loop_, [&] {
    clock_.Advance(milliseconds(50));
    return answer.has_value();
  }));
  EXPECT_THAT(std::string(Message(answer->status())), HasSubstr("Docker says that it does not run"));
}

TEST_F(DockerEngineTest, SaysWhatAnOperatorCanDo) {
  engine_->Say(ScriptedAnswer{"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"});
  EXPECT_THAT(Refusal(), HasSubstr("Docker answered with HTTP status 500; see its log"));
  engine_->Say(ScriptedAnswer{"HTTP/1.1 301 Moved\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"});
  EXPECT_THAT(Refusal(), HasSubstr("HTTP status 301"));
  engine_->Say(ScriptedAnswer{"garbage", ScriptedAnswer::Then::kClose});
  EXPECT_THAT(Refusal(), HasSubstr("socket " + dir_.Path("docker.sock")));
  engine_.reset();
  EXPECT_THAT(Refusal(), AllOf(HasSubstr("No such file or directory"),
                               HasSubstr("is Docker running, and may the node agent reach it?")));
}

TEST_F(DockerEngineTest, RefusesAnAnswerAboutAnotherContainerOrWithoutSense) {
  engine_->Say(Container(Id('b')));
  EXPECT_THAT(Refusal(), HasSubstr("about another container"));
  engine_->Say(HttpOk("{\"Id\":"));
  EXPECT_THAT(Refusal(), HasSubstr("not JSON"));
}

TEST_F(DockerEngineTest, RefusesAContainerThatCanReachAnEngine) {
  dir_.MakeDir("below");
  dir_.Link(dir_.path(), "link");
  for (const std::string& mounted : {dir_.Path("docker.sock"), dir_.path(), dir_.path() + "/", std::string("/"),
                                     dir_.Path("link"), dir_.Path("link/docker.sock"), dir_.Path("below/..")}) {
    Json container = Container(Id('a'));
    container["Mounts"] = {{{"Type", "bind"}, {"Source", mounted}, {"Destination", "/x"}}};
    engine_->Say(container);
    EXPECT_THAT(Refusal(), AllOf(HasSubstr(mounted + " of the node is mounted into it"), HasSubstr("run it without")))
        << mounted;
  }
  for (const std::string& mounted :
       {dir_.Path("below"), dir_.Path("docker.sock.old"), dir_.Path("docker"), std::string("/no/such/path")}) {
    Json container = Container(Id('a'));
    container["Mounts"] = {{{"Type", "bind"}, {"Source", mounted}, {"Destination", "/x"}}};
    engine_->Say(container);
    EXPECT_TRUE(Inspect(Id('a')).ok()) << mounted;
    clock_.Advance(seconds(60));
  }
}

}  // namespace
}  // namespace lanyard
