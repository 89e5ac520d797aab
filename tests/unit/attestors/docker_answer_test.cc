#include "attestors/docker_answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/unit/attestors/docker_answers.h"

namespace lanyard {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::Pair;
using testing::UnorderedElementsAre;
using Json = nlohmann::json;

std::vector<std::string> Env(const DockerContainer& container) {
  std::vector<std::string> texts;
  for (const SecretBytes& variable : container.env) texts.emplace_back(variable.expose());
  return texts;
}

// Docker's answer with one thing changed.
std::string With(const std::string& pointer, const Json& value) {
  Json answer = Json::parse(kDockerAnswer);
  answer[Json::json_pointer(pointer)] = value;
  return answer.dump();
}
std::string Without(const std::string& member) {
  Json answer = Json::parse(kDockerAnswer);
  answer.erase(member);
  return answer.dump();
}

Status StatusOf(const std::string& answer) {
  return ReadDockerAnswer(answer, kDockerId).status();
}

TEST(DockerAnswerTest, ReadsWhatDockerSays) {
  const auto container = ReadDockerAnswer(kDockerAnswer, kDockerId);
  ASSERT_TRUE(container.ok()) << container.status();
  EXPECT_TRUE(container->running);
  EXPECT_THAT(container->labels,
              UnorderedElementsAre(Pair("team", "refunds"), Pair("com.example.tier", "gold"), Pair("note", "")));
  EXPECT_THAT(Env(*container), ElementsAre("MODE=fast", "EMPTY=", "STAGE=prod"));
  EXPECT_EQ(container->image, "agent:v1");
  EXPECT_EQ(container->image_digest, kDockerImage);
  EXPECT_THAT(container->mounted, UnorderedElementsAre("/srv/reports", "/var/lib/docker/volumes/state/_data"));
}

TEST(DockerAnswerTest, ReadsWhatPodmanSays) {
  const auto container = ReadDockerAnswer(kPodmanAnswer, kPodmanId);
  ASSERT_TRUE(container.ok()) << container.status();
  EXPECT_TRUE(container->running);
  EXPECT_THAT(container->labels,
              UnorderedElementsAre(Pair("team", "refunds"), Pair("com.example.tier", "gold"), Pair("note", "")));
  EXPECT_THAT(Env(*container), testing::IsSupersetOf({"MODE=fast", "EMPTY=", "STAGE=prod", "container=podman"}));
  EXPECT_EQ(container->image, "localhost/agent:v1");
  EXPECT_EQ(container->image_digest, kPodmanImage);
  EXPECT_THAT(container->mounted,
              UnorderedElementsAre("/srv/reports", "/var/lib/containers/storage/volumes/state/_data"));
}

TEST(DockerAnswerTest, AContainerWithoutLabelsVariablesMountsOrImageHasNone) {
  for (const Json& nothing : {Json(nullptr), Json(Json::value_t::discarded)}) {
    Json answer = {{"Id", kDockerId}, {"State", {{"Running", true}}}, {"Config", Json::object()}};
    if (nothing.is_null()) {
      answer["Config"] = {{"Labels", nullptr}, {"Env", nullptr}, {"Image", nullptr}};
      answer["Mounts"] = answer["Image"] = nullptr;
    }
    const auto container = ReadDockerAnswer(answer.dump(), kDockerId);
    ASSERT_TRUE(container.ok()) << container.status();
    EXPECT_TRUE(container->labels.empty() && container->env.empty() && container->mounted.empty());
    EXPECT_TRUE(container->image.empty() && container->image_digest.empty());
  }
}

TEST(DockerAnswerTest, SaysThatAContainerDoesNotRun) {
  const auto container = ReadDockerAnswer(With("/State/Running", false), kDockerId);
  ASSERT_TRUE(container.ok());
  EXPECT_FALSE(container->running);
}

TEST(DockerAnswerTest, RefusesAnAnswerAboutAnotherContainer) {
  EXPECT_EQ(StatusOf(With("/Id", std::string(64, 'a'))).code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(StatusOf(With("/Id", std::string(kDockerId).substr(0, 12))).code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(StatusOf(kPodmanAnswer).code(), StatusCode::kFailedPrecondition);
}

TEST(DockerAnswerTest, NeverTakesAnAnswerOfAnotherShapeForNothing) {
  for (const char* member : {"Id", "State", "Config"}) EXPECT_FALSE(StatusOf(Without(member)).ok()) << member;
  const std::vector<std::pair<std::string, Json>> changes = {
      {"/Id", 7},           {"/State", "up"},       {"/State/Running", "true"},  {"/Config", Json::array()},
      {"/Config/Env", "A"}, {"/Config/Env/1", 7},   {"/Config/Labels", "a"},     {"/Config/Labels/team", 7},
      {"/Mounts", "none"},  {"/Mounts/0", "/"},     {"/Mounts/0/Source", 7},     {"/Config/Image", 7},
      {"/Image", 7},        {"/Image", "agent:v1"}, {"/Image", "sha256:ABCDEF"}, {"/Image", "sha256:"}};
  for (const auto& [pointer, value] : changes) {
    const Status status = StatusOf(With(pointer, value));
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << pointer << ": " << status;
  }
  for (const char* text : {"", "[]", "null", "{", "<html>", "{\"Id\":\"a\",\"Id\":\"b\"}"}) {
    EXPECT_EQ(StatusOf(text).code(), StatusCode::kInvalidArgument) << text;
  }
}

TEST(DockerAnswerTest, RefusesMoreThanItLooksAt) {
  Json labels = Json::object(), env = Json::array(), mounts = Json::array();
  for (size_t i = 0; i < kMaxDockerTexts; ++i) {
    labels[fmt::format("l{}", i)] = "x";
    env.push_back(fmt::format("V{}=x", i));
    mounts.push_back({{"Source", fmt::format("/m{}", i)}});
  }
  EXPECT_TRUE(StatusOf(With("/Config/Labels", labels)).ok());
  EXPECT_TRUE(StatusOf(With("/Config/Env", env)).ok());
  EXPECT_TRUE(StatusOf(With("/Mounts", mounts)).ok());
  labels["one more"] = "x";
  env.push_back("ONE=more");
  mounts.push_back({{"Source", "/more"}});
  EXPECT_EQ(StatusOf(With("/Config/Labels", labels)).code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(StatusOf(With("/Config/Env", env)).code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(StatusOf(With("/Mounts", mounts)).code(), StatusCode::kResourceExhausted);
  EXPECT_FALSE(StatusOf(With("/Config/Image", std::string(kMaxDockerAnswer, 'x'))).ok());
}

TEST(DockerAnswerTest, NoErrorHoldsALabelOrAVariable) {
  Json answer = Json::parse(kDockerAnswer);
  answer["Config"]["Env"] = {"PASSWORD=hunter2", 7};
  answer["Config"]["Labels"] = {{"hunter2", 7}};
  for (const char* broken : {"Id", "State", "Mounts", "Image"}) {
    for (const bool whole : {true, false}) {
      Json other = answer;
      if (whole) other["Config"]["Env"] = {"PASSWORD=hunter2"};
      other[broken] = "hunter2";
      const Status status = StatusOf(other.dump());
      EXPECT_FALSE(status.ok());
      EXPECT_THAT(std::string(Message(status)), Not(HasSubstr("hunter2")));
    }
  }
  const std::string cut = With("/Config/Env/0", "PASSWORD=hunter2");
  for (size_t length = 0; length < cut.size(); length += 7)
    EXPECT_THAT(std::string(Message(StatusOf(cut.substr(0, length)))), Not(HasSubstr("hunter2")));
}

}  // namespace
}  // namespace lanyard
