#include "attestors/containerd_attestor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "attestors/attestation.h"
#include "tests/support/fake_clock.h"
#include "tests/support/loop_driver.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/attestors/scripted_runtime.h"
#include "tests/unit/attestors/test_cgroup.h"

namespace lanyard {
namespace {

using namespace std::chrono_literals;
namespace cri = ::runtime::v1;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

constexpr std::string_view kInfo =
    R"({"sandboxID":"s","runtimeSpec":{"process":{"env":["PATH=/bin","TOKEN=s3cret","","ODD"]}}})";
const std::string kDigest = "sha256:" + std::string(64, 'd');

std::string Id() {
  const std::string mine = fmt::format("{:x}", getpid());
  return std::string(64 - mine.size(), 'c') + mine;
}

class ContainerdAttestorTest : public testing::Test {
 protected:
  void SetUp() override {
    LANYARD_NEEDS_ROOT();
    cgroup_.emplace("cri-containerd-" + Id() + ".scope", Hierarchy::kV2);
    if (!cgroup_->made()) cgroup_.emplace("cri-containerd-" + Id() + ".scope", Hierarchy::kV1);
    LANYARD_NEEDS_CGROUP(*cgroup_);
    caller_.emplace([] {});
    cgroup_->Put(caller_->pid());
    attestors_.push_back(MakeContainerdAttestor({.socket = socket_}, tools_, clock_));
    set_.emplace(loop_, clock_, std::move(attestors_));
  }

  void Serve(ScriptedRuntime::ContainerReply container = Describe, ScriptedRuntime::ImageReply image = Image) {
    runtime_.reset();
    runtime_.emplace(socket_, std::move(container), std::move(image));
  }

  static grpc::Status Describe(const cri::ContainerStatusRequest& request, cri::ContainerStatusResponse& response,
                               grpc::ServerContext&) {
    cri::ContainerStatus& status = *response.mutable_status();
    status.set_id(request.container_id());
    status.set_state(cri::CONTAINER_RUNNING);
    status.mutable_image()->set_image("docker.io/library/agent:1");
    status.set_image_ref("docker.io/library/agent@sha256:12");
    (*status.mutable_labels())["app"] = "refunds:eu";
    (*status.mutable_labels())["a:b"] = "not to be told from another";
    status.add_mounts()->set_host_path("/etc/hostname");
    if (request.verbose()) (*response.mutable_info())["info"] = std::string(kInfo);
    return grpc::Status::OK;
  }
  static grpc::Status Image(const cri::ImageStatusRequest&, cri::ImageStatusResponse& response, grpc::ServerContext&) {
    response.mutable_image()->set_id(kDigest);
    return grpc::Status::OK;
  }

  static WantedKindsPtr Wanted(std::initializer_list<const char*> selectors) {
    auto wanted = std::make_shared<WantedKinds>();
    for (const char* text : selectors) wanted->Add(*Selector::Parse(text));
    return wanted;
  }

  std::unique_ptr<Attestation> Begin(WantedKindsPtr wanted, std::optional<Result<Findings>>& result) {
    return set_->Attest(caller_->Peer(0), clock_.MonoNow() + 2s,
                        [&result](Result<Findings> got) { result = std::move(got); }, {.wanted = std::move(wanted)});
  }
  // Selectors as texts; gaps as "prefix: why".
  std::vector<std::string> Attest(WantedKindsPtr wanted = WantedKinds::All()) {
    std::optional<Result<Findings>> result;
    const auto attestation = Begin(std::move(wanted), result);
    EXPECT_TRUE(RunUntil(loop_, [&] { return result.has_value(); }));
    return result ? Texts(*result) : std::vector<std::string>{"no answer"};
  }
  static std::vector<std::string> Texts(const Result<Findings>& result) {
    if (!result.ok()) return {std::string(Message(result.status()))};
    std::vector<std::string> texts;
    for (const Selector& selector : result->selectors) {
      EXPECT_TRUE(CheckSelector(selector).ok()) << CheckSelector(selector).status();
      texts.push_back(selector.str());
    }
    for (const Gap& gap : result->gaps) texts.push_back(fmt::format("gap {}: {}", gap.prefix, Message(gap.why)));
    return texts;
  }

  TempDir directory_;
  const std::string socket_ = directory_.Path("cri.sock");
  EventLoop loop_;
  FakeClock clock_;
  HostTools tools_{loop_, clock_};
  std::optional<TestCgroup> cgroup_;
  std::optional<TestProcess> caller_;
  std::optional<ScriptedRuntime> runtime_;
  std::vector<std::unique_ptr<Attestor>> attestors_;
  std::optional<AttestorSet> set_;
};

TEST_F(ContainerdAttestorTest, GivesLabelsVariablesImageAndDigest) {
  Serve();
  EXPECT_THAT(Attest(),
              UnorderedElementsAre("containerd:label:app:refunds:eu", "containerd:env:PATH=/bin",
                                   "containerd:env:TOKEN=s3cret", "containerd:image_id:docker.io/library/agent:1",
                                   "containerd:image_config_digest:" + kDigest));
  EXPECT_THAT(runtime_->asked(),
              ElementsAre("container " + Id() + " verbose", "image docker.io/library/agent@sha256:12"));
}

TEST_F(ContainerdAttestorTest, AsksForNothingThatIsNotWanted) {
  Serve();
  EXPECT_THAT(Attest(Wanted({"containerd:label:app:x"})), ElementsAre("containerd:label:app:refunds:eu"));
  EXPECT_THAT(runtime_->asked(), ElementsAre("container " + Id()));
  EXPECT_THAT(Attest(Wanted({"containerd:image_id:x"})), ElementsAre("containerd:image_id:docker.io/library/agent:1"));
  EXPECT_EQ(runtime_->asked().size(), 1U);
}

TEST_F(ContainerdAttestorTest, DoesNotAskAboutAProcessInNoContainer) {
  Serve();
  TestProcess outside([] {});
  std::optional<Result<Findings>> result;
  const auto attestation = set_->Attest(outside.Peer(0), clock_.MonoNow() + 2s,
                                        [&result](Result<Findings> got) { result = std::move(got); });
  ASSERT_TRUE(RunUntil(loop_, [&] { return result.has_value(); }));
  EXPECT_THAT(Texts(*result), IsEmpty());
  EXPECT_THAT(runtime_->asked(), IsEmpty());
}

TEST_F(ContainerdAttestorTest, AContainerThatTheRuntimeDoesNotKnowHasNoSelectors) {
  Serve([](auto&, auto&, auto&) { return grpc::Status(grpc::StatusCode::NOT_FOUND, "no such container"); });
  EXPECT_THAT(Attest(), IsEmpty());
}

TEST_F(ContainerdAttestorTest, AsksOnceForAllCallersOfAContainerAndAgainAfterFiveSeconds) {
  Serve();
  std::optional<Result<Findings>> first, second;
  const auto one = Begin(WantedKinds::All(), first), two = Begin(WantedKinds::All(), second);
  ASSERT_TRUE(RunUntil(loop_, [&] { return first && second; }));
  EXPECT_EQ(Texts(*first), Texts(*second));
  clock_.Advance(4s);
  EXPECT_EQ(Attest(), Texts(*first));
  EXPECT_EQ(runtime_->asked().size(), 2U);
  clock_.Advance(1s);
  Attest();
  EXPECT_EQ(runtime_->asked().size(), 4U);
}

TEST_F(ContainerdAttestorTest, AnAbsentRuntimeIsAGapAndItsReturnIsNoticed) {
  EXPECT_THAT(Attest(), ElementsAre(AllOf(HasSubstr("gap containerd: container cccccccccccc: container runtime at "),
                                          HasSubstr("is the runtime running"))));
  Serve();
  EXPECT_EQ(Attest().size(), 5U);
}

TEST_F(ContainerdAttestorTest, AnotherContainersAnswerIsRefused) {
  Serve([](auto& request, auto& response, auto& context) {
    const auto status = Describe(request, response, context);
    response.mutable_status()->set_id(std::string(64, '9'));
    return status;
  });
  EXPECT_THAT(Attest(), ElementsAre(HasSubstr("the runtime answered for another container, 9999")));
}

TEST_F(ContainerdAttestorTest, AContainerThatHasExitedIsRefused) {
  for (const auto state : {cri::CONTAINER_EXITED, cri::CONTAINER_UNKNOWN}) {
    Serve([state](auto& request, auto& response, auto& context) {
      const auto status = Describe(request, response, context);
      response.mutable_status()->set_state(state);
      return status;
    });
    EXPECT_THAT(Attest(), ElementsAre(HasSubstr("gap containerd: container cccccccccccc: it ")));
  }
}

TEST_F(ContainerdAttestorTest, LooksAgainWhileTheRuntimeHasNotWrittenDownThatItRuns) {
  std::atomic<int> asked{0};
  Serve([&asked](auto& request, auto& response, auto& context) {
    const auto status = Describe(request, response, context);
    if (++asked < 3) response.mutable_status()->set_state(cri::CONTAINER_CREATED);
    return status;
  });
  std::optional<Result<Findings>> result;
  const auto attestation = Begin(Wanted({"containerd:image_id:x"}), result);
  for (int known = 1; known < 3; ++known) {
    ASSERT_TRUE(RunUntil(loop_, [&] {
      return asked == known && !loop_.HasPendingWork() && tools_.jobs.running() == 0 &&
             clock_.NextAlarm() == clock_.MonoNow() + 50ms;
    }));
    clock_.Advance(50ms);
  }
  ASSERT_TRUE(RunUntil(loop_, [&] { return result.has_value(); }));
  EXPECT_THAT(Texts(*result), ElementsAre("containerd:image_id:docker.io/library/agent:1"));
}

TEST_F(ContainerdAttestorTest, AContainerWithTheRuntimesSocketIsRefused) {
  directory_.Link(directory_.path(), "link");
  Serve([this](auto& request, auto& response, auto& context) {
    const auto status = Describe(request, response, context);
    response.mutable_status()->add_mounts()->set_host_path(directory_.Path("link"));
    return status;
  });
  EXPECT_THAT(Attest(), ElementsAre(AllOf(HasSubstr("gap containerd: "), HasSubstr("is mounted into it"))));
}

TEST_F(ContainerdAttestorTest, AnUnreadableVerboseAnswerIsAGapOfVariablesAloneAndQuotesNone) {
  Serve([](auto& request, auto& response, auto& context) {
    const auto status = Describe(request, response, context);
    (*response.mutable_info())["info"] = R"({"runtimeSpec":{"process":{"env":["TOKEN=s3cret",)";
    return status;
  });
  const auto found = Attest(Wanted({"containerd:env:A=b", "containerd:label:app:x"}));
  EXPECT_THAT(found, ElementsAre("containerd:label:app:refunds:eu", HasSubstr("gap containerd:env: ")));
  EXPECT_THAT(found[1], testing::Not(HasSubstr("s3cret")));
}

TEST_F(ContainerdAttestorTest, AnImageThatIsGoneIsAGapOfTheDigestAlone) {
  Serve(Describe, ScriptedRuntime::NoImage);
  EXPECT_THAT(
      Attest(Wanted({"containerd:image_id:x", "containerd:image_config_digest:x"})),
      ElementsAre("containerd:image_id:docker.io/library/agent:1", HasSubstr("gap containerd:image_config_digest: ")));
}

TEST_F(ContainerdAttestorTest, ASlowImageAnswerLeavesWhatIsKnown) {
  Gate gate;
  std::atomic<bool> waits{false};
  Serve(Describe, [&](auto&, auto&, auto& context) {
    waits = true;
    return gate.Wait(context);
  });
  std::optional<Result<Findings>> result;
  const auto attestation = Begin(Wanted({"containerd:image_id:x", "containerd:image_config_digest:x"}), result);
  ASSERT_TRUE(RunUntil(loop_, [&] { return waits.load(); }));
  clock_.Advance(2s);
  ASSERT_TRUE(RunUntil(loop_, [&] { return result.has_value(); }));
  EXPECT_THAT(Texts(*result),
              ElementsAre("containerd:image_id:docker.io/library/agent:1", HasSubstr("did not describe its image")));
  gate.Open();
}

TEST_F(ContainerdAttestorTest, ASilentRuntimeIsAGap) {
  Gate gate;
  Serve([&](auto&, auto&, auto& context) { return gate.Wait(context); });
  std::optional<Result<Findings>> result;
  const auto attestation = Begin(WantedKinds::All(), result);
  ASSERT_TRUE(RunUntil(loop_, [&] { return !runtime_->asked().empty(); }));
  clock_.Advance(2s);
  ASSERT_TRUE(RunUntil(loop_, [&] { return result.has_value(); }));
  EXPECT_THAT(Texts(*result), ElementsAre(HasSubstr("gap containerd: attestor containerd did not answer in time")));
}

}  // namespace
}  // namespace lanyard
