#include "attestors/kubelet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <future>

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

constexpr std::string_view kPodUid = "2c48913c-b29f-11e7-9350-020968147796";

// A list of one pod with these containers.
ScriptedAnswer Pods(const std::vector<std::string>& containers, const std::string& label = "one",
                    const std::string& node = "node1") {
  Json statuses = Json::array();
  for (const std::string& id : containers)
    statuses.push_back({{"name", "main"}, {"containerID", "containerd://" + id}});
  const Json list = {
      {"kind", "PodList"},
      {"items",
       {{{"metadata", {{"name", "web"}, {"namespace", "shop"}, {"uid", kPodUid}, {"labels", {{"v", label}}}}},
         {"spec", {{"nodeName", node}}},
         {"status", {{"containerStatuses", statuses}}}}}}};
  return HttpOk(list.dump());
}

ContainerName InPod(const std::string& id) {
  return {.container_id = id, .pod_uid = std::string(kPodUid), .cgroup_path = "/x"};
}
ContainerName InNoPod(const std::string& id) {
  return {.container_id = id, .pod_uid = "", .cgroup_path = "/x"};
}

class KubeletTest : public testing::Test {
 protected:
  using Answer = std::optional<Result<Kubelet::Answer>>;

  std::unique_ptr<Kubelet::Ticket> Ask(Answer& answer, ContainerName name) {
    auto ticket = kubelet_.Find(std::move(name), [&](Result<Kubelet::Answer> said) {
      EXPECT_FALSE(answer.has_value()) << "answered twice";
      answer = std::move(said);
    });
    EXPECT_FALSE(answer.has_value()) << "answered before Find has returned";
    return ticket;
  }
  // Asks, and lets as much time pass as it takes, up to `limit`.
  Result<Kubelet::Answer> Find(ContainerName name, milliseconds limit = seconds(60)) {
    Answer answer;
    const auto ticket = Ask(answer, std::move(name));
    Pass(limit, [&] { return answer.has_value(); });
    return answer ? *answer : Result<Kubelet::Answer>(Error(StatusCode::kAborted, "no answer"));
  }
  // Until `done` or until so much time has passed: a request takes none of it.
  template <class Done>
  void Pass(milliseconds limit, Done done) {
    for (const MonoTime end = clock_.MonoNow() + limit; !done();) {
      Settle();
      if (done() || clock_.MonoNow() >= end) return;
      clock_.Advance(milliseconds(10));
    }
  }
  // Until nothing is under way: no task, no job, no request.
  void Settle() {
    RunUntil(loop_, [&] { return RunUntilIdle(loop_) && !kubelet_.asking(); });
  }
  void Say(ScriptedAnswer answer) {
    const std::lock_guard lock(mutex_);
    answer_ = std::move(answer);
  }
  // Until it is called with false, the kubelet answers nobody.
  void Hold(bool held) {
    {
      const std::lock_guard lock(mutex_);
      held_ = held;
    }
    released_.notify_all();
  }
  size_t requests() const { return server_->requests().size(); }

  TempDir dir_;
  EventLoop loop_;
  FakeClock clock_;
  HostTools tools_{loop_, clock_};
  std::mutex mutex_;
  std::condition_variable released_;
  bool held_ = false;
  ScriptedAnswer answer_ = Pods({});
  std::unique_ptr<ScriptedServer> server_ =
      std::make_unique<ScriptedServer>(dir_.Path("kubelet.sock"), [this](const std::string&) {
        std::unique_lock lock(mutex_);
        released_.wait(lock, [this] { return !held_; });
        return answer_;
      });
  Kubelet kubelet_{
      {.server = UnixServer{dir_.Path("kubelet.sock")}, .token_path = "", .node_name = "node1", .refresh = seconds(5)},
      tools_,
      clock_};
};

TEST_F(KubeletTest, SaysWhichPodAContainerBelongsTo) {
  Say(Pods({Id('a')}));
  const auto answer = Find(InPod(Id('a')));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->place.pod->name_space, "shop");
  EXPECT_EQ(answer->place.container->name, "main");
}

TEST_F(KubeletTest, AsksOnceForAllWhoWait) {
  Say(Pods({Id('a'), Id('b')}));
  std::vector<Answer> answers(110);
  std::vector<std::unique_ptr<Kubelet::Ticket>> tickets;
  for (size_t i = 0; i < answers.size(); ++i) tickets.push_back(Ask(answers[i], InPod(Id(i % 2 == 0 ? 'a' : 'b'))));
  tickets[7].reset();
  Pass(seconds(1), [&] { return answers.back().has_value(); });
  for (size_t i = 0; i < answers.size(); ++i) EXPECT_EQ(answers[i].has_value(), i != 7) << i;
  EXPECT_EQ(requests(), 1);
}

TEST_F(KubeletTest, UsesWhatItWasToldUntilThatIsOld) {
  Say(Pods({Id('a')}, "one"));
  ASSERT_TRUE(Find(InPod(Id('a'))).ok());
  Say(Pods({Id('a')}, "two"));
  clock_.Advance(milliseconds(4900));
  EXPECT_EQ(Find(InPod(Id('a')))->place.pod->labels[0].second, "one");
  clock_.Advance(milliseconds(200));
  EXPECT_EQ(Find(InPod(Id('a')))->place.pod->labels[0].second, "two");
  EXPECT_EQ(requests(), 2);
}

TEST_F(KubeletTest, WaitsForAContainerThatIsNotListedYetWithAtMostFiveRequestsASecond) {
  Answer answer;
  const auto ticket = Ask(answer, InPod(Id('a')));
  Pass(seconds(1), [&] { return answer.has_value(); });
  EXPECT_FALSE(answer.has_value());
  EXPECT_THAT(requests(), testing::AllOf(testing::Ge(4), testing::Le(6)));
  Say(Pods({Id('a')}));
  Pass(milliseconds(1000), [&] { return answer.has_value(); });
  ASSERT_TRUE(answer.has_value());
  EXPECT_TRUE(answer->ok()) << answer->status();
}

TEST_F(KubeletTest, AsksLessOftenForAContainerThatDoesNotAppear) {
  Answer answer;
  const auto ticket = Ask(answer, InPod(Id('a')));
  Pass(seconds(10), [&] { return answer.has_value(); });
  const size_t before = requests();
  Pass(seconds(10), [&] { return answer.has_value(); });
  EXPECT_FALSE(answer.has_value());
  EXPECT_THAT(requests() - before, testing::AllOf(testing::Ge(9), testing::Le(11)));
  EXPECT_THAT(std::string(Message(kubelet_.Late(InPod(Id('a'))))), HasSubstr(std::string(kPodUid)));
}

TEST_F(KubeletTest, AsksNobodyWhenNobodyWaits) {
  Answer answer;
  auto ticket = Ask(answer, InPod(Id('a')));
  Pass(milliseconds(100), [&] { return answer.has_value(); });
  ticket.reset();
  const size_t before = requests();
  Pass(seconds(30), [] { return false; });
  EXPECT_EQ(requests(), before);
}

TEST_F(KubeletTest, AContainerWhoseCgroupNamesNoPodIsNoPodsWhenAListAskedForAfterwardsDoesNotHaveIt) {
  Say(Pods({Id('a')}));
  ASSERT_TRUE(Find(InPod(Id('a'))).ok());
  clock_.Advance(seconds(1));
  const auto answer = Find(InNoPod(Id('b')));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->place.pod, nullptr);
  EXPECT_EQ(requests(), 2);
}

TEST_F(KubeletTest, AContainerThatKernelAndKubeletPutIntoDifferentPodsIsAnError) {
  Say(Pods({Id('a')}));
  ContainerName name = InPod(Id('a'));
  name.pod_uid.back() = 'f';
  const auto answer = Find(name);
  EXPECT_EQ(answer.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(Message(answer.status())), AllOf(HasSubstr(name.pod_uid), HasSubstr(std::string(kPodUid))));
}

TEST_F(KubeletTest, AContainerInTwoPodsIsAnErrorAndDisturbsNoOther) {
  Say(Pods({Id('a'), Id('a'), Id('b')}));
  EXPECT_EQ(Find(InPod(Id('a'))).status().code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(Find(InPod(Id('b'))).ok());
}

TEST_F(KubeletTest, ATokenThatCannotBeReadInTimeIsAFailureThatHealthTells) {
  Kubelet kubelet({.server = UnixServer{dir_.Path("kubelet.sock")}, .token_path = dir_.Path("token"), .node_name = ""},
                  tools_, clock_);
  std::promise<void> release;
  const std::shared_future<void> gate = release.get_future().share();
  std::vector<std::unique_ptr<BlockingJobs::Ticket>> hung;
  for (int i = 0; i < 2; ++i) {
    hung.push_back(tools_.jobs.Submit(
        BlockingJobs::kKubelet, [gate] { gate.wait(); }, [] {}));
  }
  Answer answer;
  const auto ticket = kubelet.Find(InPod(Id('a')), [&](Result<Kubelet::Answer> said) { answer = std::move(said); });
  RunUntilIdle(loop_);
  EXPECT_FALSE(answer.has_value());
  clock_.Advance(seconds(10));
  RunUntilIdle(loop_);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status().code(), StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(Message(kubelet.health())), HasSubstr("its token could not be read in time"));
  release.set_value();
}

TEST_F(KubeletTest, AnotherNodesPodsAreNotBelieved) {
  Say(Pods({Id('a')}, "one", "node2"));
  EXPECT_THAT(std::string(Message(Find(InPod(Id('a'))).status())), AllOf(HasSubstr("node2"), HasSubstr("node_name")));
}

TEST_F(KubeletTest, AfterAFailureNothingOlderIsUsed) {
  Say(Pods({Id('a')}));
  ASSERT_TRUE(Find(InPod(Id('a'))).ok());
  clock_.Advance(seconds(6));
  for (const char* status : {"401 Unauthorized", "403 Forbidden", "500 Oops"}) {
    Say({fmt::format("HTTP/1.1 {}\r\nContent-Length: 6\r\n\r\nbecause", status)});
    const auto answer = Find(InPod(Id('a')));
    EXPECT_EQ(answer.status().code(), StatusCode::kUnavailable);
    EXPECT_THAT(std::string(Message(answer.status())),
                AllOf(HasSubstr(std::string(status).substr(0, 3)), HasSubstr("becaus")));
  }
  Say(Pods({Id('a')}));
  EXPECT_TRUE(Find(InPod(Id('a'))).ok());
}

TEST_F(KubeletTest, WhatIsNoListOfPodsIsAnErrorAndQuotedNowhere) {
  for (const char* body : {"", "hunter2", "[]", "{}", R"({"kind":"Status","items":[]})", R"({"items":{}})",
                           R"({"items":[{"metadata":"hunter2"}]})", R"({"items":[]} hunter2)", R"({"items":[)"}) {
    Say(HttpOk(body));
    const auto answer = Find(InPod(Id('a')), seconds(5));
    EXPECT_EQ(answer.status().code(), StatusCode::kInvalidArgument) << body << ": " << answer.status();
    EXPECT_THAT(std::string(Message(answer.status())), testing::Not(HasSubstr("hunter2")));
  }
}

TEST_F(KubeletTest, AKubeletThatSaysNothingFailsThoseWhoWaitedAndTheNextAreAskedForAnew) {
  Say(kSilent);
  Answer first, second;
  const auto ticket = Ask(first, InPod(Id('a')));
  ASSERT_TRUE(RunUntil(loop_, [&] { return requests() == 1; }));
  clock_.Advance(seconds(9));
  const auto late = Ask(second, InPod(Id('a')));
  RunUntilIdle(loop_);
  Say(Pods({Id('a')}));
  clock_.Advance(seconds(2));
  ASSERT_TRUE(RunUntil(loop_, [&] { return first.has_value(); }));
  EXPECT_FALSE(first->ok());
  Pass(seconds(2), [&] { return second.has_value(); });
  ASSERT_TRUE(second.has_value());
  EXPECT_TRUE(second->ok()) << second->status();
}

TEST_F(KubeletTest, AnAnswerThatTookLongerThanItWouldBeKeptServesThoseWhoWaitedForIt) {
  Say(Pods({Id('a')}));
  Hold(true);
  Answer answer;
  const auto ticket = Ask(answer, InPod(Id('a')));
  EXPECT_TRUE(RunUntil(loop_, [&] { return requests() == 1; }));
  clock_.Advance(seconds(6));
  Hold(false);
  EXPECT_TRUE(RunUntil(loop_, [&] { return answer.has_value(); }));
  EXPECT_TRUE(answer && answer->ok());
  EXPECT_EQ(requests(), 1);
}

TEST_F(KubeletTest, AProbeTellsWhetherItAnswersAndIsRepeatedUntilItDoes) {
  Say({"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"});
  EXPECT_TRUE(kubelet_.health().ok());
  kubelet_.Probe();
  Pass(seconds(1), [&] { return !kubelet_.health().ok(); });
  EXPECT_THAT(std::string(Message(kubelet_.health())), HasSubstr("403"));
  EXPECT_EQ(requests(), 1);
  Say(Pods({}));
  Pass(seconds(11), [&] { return kubelet_.health().ok(); });
  EXPECT_TRUE(kubelet_.health().ok());
  EXPECT_EQ(requests(), 2);
  Pass(seconds(60), [] { return false; });
  EXPECT_EQ(requests(), 2);
}

TEST_F(KubeletTest, AnEmptyNodeHasNoPods) {
  for (const char* body : {R"({"kind":"PodList","items":null})", R"({"kind":"PodList","items":[]})"}) {
    Say(HttpOk(body));
    clock_.Advance(seconds(10));
    const auto answer = Find(InNoPod(Id('a')));
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->place.pod, nullptr);
  }
}

}  // namespace
}  // namespace lanyard
