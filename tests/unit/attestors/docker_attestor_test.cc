#include "attestors/docker_attestor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"
#include "tests/support/loop_driver.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/attestors/scripted_engine.h"
#include "tests/unit/attestors/test_cgroup.h"

namespace lanyard {
namespace {

using std::chrono::seconds;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

// With real processes in real cgroups.
class DockerAttestorTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root: makes cgroups";
  }

  void TearDown() override { process_.Stop(); }  // so that its cgroup can be removed

  std::optional<Result<Findings>> Attest(const TestProcess& process, WantedKindsPtr wanted = WantedKinds::All()) {
    if (attestor_ == nullptr)
      attestor_ = MakeDockerAttestor({.socket = dir_.Path("docker.sock"), .podman_socket = dir_.Path("podman.sock")},
                                     tools_, clock_);
    auto subject = Subject::Read(process.Peer(kNobody), std::move(wanted));
    EXPECT_TRUE(subject.ok()) << subject.status();
    std::optional<Result<Findings>> found;
    const auto attempt = attestor_->Attest(*subject, clock_.MonoNow() + seconds(5),
                                           [&](Result<Findings> findings) { found = std::move(findings); });
    EXPECT_FALSE(found.has_value()) << "answered before Attest has returned";
    EXPECT_TRUE(RunUntil(loop_, [&] { return found.has_value(); }));
    return found;
  }
  std::vector<std::string> Selectors(const TestProcess& process, WantedKindsPtr wanted = WantedKinds::All()) {
    const auto found = Attest(process, std::move(wanted));
    EXPECT_TRUE(found && found->ok()) << (found ? found->status() : OkStatus());
    std::vector<std::string> texts;
    if (!found || !found->ok()) return texts;
    EXPECT_TRUE((*found)->gaps.empty());
    for (const Selector& selector : (*found)->selectors) {
      EXPECT_TRUE(CheckSelector(selector).ok()) << selector.str();
      texts.push_back(selector.str());
    }
    return texts;
  }
  static WantedKindsPtr Only(std::string_view kind) {
    auto wanted = std::make_shared<WantedKinds>();
    wanted->Add({"docker", std::string(kind) + ":x"});
    return wanted;
  }

  TestProcess process_{[] { Become(kNobody); }};  // first: it has none of the descriptors
  TestCgroup docker_cgroup_{"docker-" + Id('1') + ".scope", Hierarchy::kV1};
  TempDir dir_;
  EventLoop loop_;
  FakeClock clock_;
  HostTools tools_{loop_, clock_};
  ScriptedEngine docker_{dir_.Path("docker.sock")};
  std::unique_ptr<Attestor> attestor_;
};

// Root of a container that may write its part of the cgroup tree can name what lies below as it likes.
TEST_F(DockerAttestorTest, AContainerThatNamesACgroupOfItsOwnAfterAnotherIsNotTakenForIt) {
  LANYARD_NEEDS_CGROUP(docker_cgroup_);
  docker_cgroup_.Make("/docker-" + Id('2') + ".scope");
  docker_cgroup_.Put(process_.pid(), "/docker-" + Id('2') + ".scope");
  docker_.Say(Container(Id('2')));
  const auto found = Attest(process_);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->status().code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(docker_.requests().empty());
}

TEST_F(DockerAttestorTest, GivesWhatTheEngineSaysOfTheCallersContainer) {
  LANYARD_NEEDS_CGROUP(docker_cgroup_);
  docker_cgroup_.Put(process_.pid());
  docker_.Say(Container(Id('1')));
  EXPECT_THAT(Selectors(process_),
              UnorderedElementsAre("docker:label:team:refunds", "docker:env:MODE=fast", "docker:env:TOKEN=hunter2",
                                   "docker:image_id:agent:v1", "docker:image_config_digest:" + kDigest));
  EXPECT_EQ(Selectors(process_).size(), 5);
  EXPECT_EQ(docker_.requests().size(), 1);
}

TEST_F(DockerAttestorTest, GivesOnlyTheKindsThatAreWanted) {
  LANYARD_NEEDS_CGROUP(docker_cgroup_);
  docker_cgroup_.Put(process_.pid());
  docker_.Say(Container(Id('1')));
  EXPECT_THAT(Selectors(process_, Only("label")), UnorderedElementsAre("docker:label:team:refunds"));
  EXPECT_THAT(Selectors(process_, Only("image_id")), UnorderedElementsAre("docker:image_id:agent:v1"));
  EXPECT_THAT(Selectors(process_, Only("image_config_digest")),
              UnorderedElementsAre("docker:image_config_digest:" + kDigest));
  EXPECT_THAT(Selectors(process_, Only("env")),
              UnorderedElementsAre("docker:env:MODE=fast", "docker:env:TOKEN=hunter2"));
}

TEST_F(DockerAttestorTest, AsksNobodyAboutACallerInNoContainer) {
  EXPECT_THAT(Selectors(process_), IsEmpty());
  EXPECT_THAT(docker_.requests(), IsEmpty());
}

TEST_F(DockerAttestorTest, AContainerOfSomebodyElsesEngineHasNone) {
  LANYARD_NEEDS_CGROUP(docker_cgroup_);
  docker_cgroup_.Put(process_.pid());
  docker_.Say(kUnknown);
  EXPECT_THAT(Selectors(process_), IsEmpty());
}

TEST_F(DockerAttestorTest, AsksPodmanAboutPodmansContainers) {
  TestCgroup cgroup("libpod-" + Id('2') + ".scope", Hierarchy::kV1);
  LANYARD_NEEDS_CGROUP(cgroup);
  cgroup.Put(process_.pid());
  {
    ScriptedEngine podman(dir_.Path("podman.sock"));
    podman.Say(Container(Id('2')));
    EXPECT_EQ(Selectors(process_).size(), 5);
    EXPECT_EQ(podman.requests().size(), 1);
  }
  EXPECT_THAT(docker_.requests(), IsEmpty());
  process_.Stop();
}

TEST_F(DockerAttestorTest, AnEngineThatCannotBeAskedIsAnErrorAndNotNothing) {
  TestCgroup cgroup("libpod-" + Id('3') + ".scope", Hierarchy::kV1);
  LANYARD_NEEDS_CGROUP(cgroup);
  cgroup.Put(process_.pid());
  const auto found = Attest(process_);
  ASSERT_TRUE(found.has_value());
  EXPECT_THAT(std::string(Message(found->status())), HasSubstr("is podman's system service running"));
  process_.Stop();
}

TEST_F(DockerAttestorTest, SaysAtTheDeadlineWhomItWaitsFor) {
  LANYARD_NEEDS_CGROUP(docker_cgroup_);
  docker_cgroup_.Put(process_.pid());
  docker_.Say(kSilent);
  attestor_ = MakeDockerAttestor({.socket = dir_.Path("docker.sock")}, tools_, clock_);
  auto subject = Subject::Read(process_.Peer(kNobody), WantedKinds::All());
  ASSERT_TRUE(subject.ok());
  const auto attempt = attestor_->Attest(*subject, clock_.MonoNow(), [](const Result<Findings>&) { FAIL(); });
  const auto so_far = attempt->SoFar();
  ASSERT_TRUE(so_far && so_far->gaps.size() == 1 && so_far->selectors.empty());
  EXPECT_EQ(so_far->gaps.front().prefix, "docker");
  EXPECT_THAT(std::string(Message(so_far->gaps.front().why)),
              AllOf(HasSubstr(Id('1').substr(0, 12)), HasSubstr(dir_.Path("docker.sock"))));
}

TEST_F(DockerAttestorTest, LeavesOutTextsThatCouldBeTakenForOthers) {
  LANYARD_NEEDS_CGROUP(docker_cgroup_);
  docker_cgroup_.Put(process_.pid());
  Json container = Container(Id('1'));
  container["Config"]["Labels"] = {
      {"a:b", "c"}, {"line", "one\ntwo"}, {"long", std::string(5000, 'x')}, {"url", "http://x:1"}, {"empty", ""}};
  container["Config"]["Env"] = {"A=b\x1b[2J", "B=c=d", "NAMEONLY", "=x"};
  docker_.Say(container);
  EXPECT_THAT(Selectors(process_),
              UnorderedElementsAre("docker:label:url:http://x:1", "docker:label:empty:", "docker:env:B=c=d",
                                   "docker:image_id:agent:v1", "docker:image_config_digest:" + kDigest));
}

}  // namespace
}  // namespace lanyard
