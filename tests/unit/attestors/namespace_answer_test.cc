#include "attestors/namespace_answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

namespace lanyard {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::Pair;
using testing::UnorderedElementsAre;

// What an API server 1.34 said of a namespace with two labels of its own.
std::string Recorded() {
  std::ifstream file(LANYARD_SOURCE_DIR "/tests/fuzz/corpus/namespace_answer_fuzz/namespace", std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(NamespaceAnswerTest, ReadsTheLabelsOfANamespaceAsAnApiServerSaysThem) {
  const auto labels = ReadNamespaceAnswer(Recorded(), "shop");
  ASSERT_TRUE(labels.ok()) << labels.status();
  EXPECT_THAT(*labels, UnorderedElementsAre(Pair("kubernetes.io/metadata.name", "shop"), Pair("team", "refunds"),
                                            Pair("example.org/tier", "high")));
}

TEST(NamespaceAnswerTest, AnAnswerAboutAnotherNamespaceIsNotBelieved) {
  EXPECT_EQ(ReadNamespaceAnswer(Recorded(), "shop2").status().code(), StatusCode::kFailedPrecondition);
}

TEST(NamespaceAnswerTest, ANamespaceWithoutLabelsHasNone) {
  for (const char* answer : {R"({"kind":"Namespace","metadata":{"name":"a"}})",
                             R"({"kind":"Namespace","metadata":{"name":"a","labels":null}})",
                             R"({"kind":"Namespace","metadata":{"name":"a","labels":{}}})"}) {
    const auto labels = ReadNamespaceAnswer(answer, "a");
    ASSERT_TRUE(labels.ok()) << labels.status();
    EXPECT_THAT(*labels, IsEmpty());
  }
}

TEST(NamespaceAnswerTest, WhatIsNoNamespaceIsAnErrorThatQuotesNothing) {
  for (const char* answer :
       {"", "hunter2", "[]", "{}", R"({"kind":"Secret","metadata":{"name":"a"}})", R"({"kind":"Namespace"})",
        R"({"kind":"Namespace","metadata":{}})", R"({"kind":"Namespace","metadata":{"name":"a","labels":["hunter2"]}})",
        R"({"kind":"Namespace","metadata":{"name":"a","labels":{"hunter2":7}}})",
        R"({"kind":"Namespace","metadata":{"name":"a","labels":{"t":"x","t":"hunter2"}}})"}) {
    const auto labels = ReadNamespaceAnswer(answer, "a");
    EXPECT_EQ(labels.status().code(), StatusCode::kInvalidArgument) << answer;
    EXPECT_THAT(std::string(Message(labels.status())), Not(HasSubstr("hunter2")));
  }
}

}  // namespace
}  // namespace lanyard
