#include "attestors/cri_answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lanyard {
namespace {

namespace cri = ::runtime::v1;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// Parts of what containerd 1.6.20 answers for a container made with crictl (`crictl inspect`: .info). A whole one is in
// the fuzz target's corpus.
constexpr std::string_view kContainerd =
    R"({"sandboxID":"b1","pid":4711,"removing":false,"snapshotKey":"c2","snapshotter":"overlayfs",)"
    R"("runtimeType":"io.containerd.runc.v2","runtimeOptions":{"binary_name":"","systemd_cgroup":false},)"
    R"("config":{"metadata":{"name":"agent"},"envs":[{"key":"MODE","value":"not from here"}]},)"
    R"("runtimeSpec":{"ociVersion":"1.0.2-dev","process":{"user":{"uid":0,"gid":0},"args":["/agent"],)"
    R"("env":["PATH=/usr/bin:/bin","HOSTNAME=node","MODE=a=b","QUOTE=\"\u003c\u003e"],"cwd":"/"},"root":{"path":"rootfs"}}})";
// CRI-O's, after the type containerInfo in its server/container_status.go: no CRI-O was at hand to make one.
constexpr std::string_view kCrio =
    R"({"sandboxID":"b1","pid":4711,"runtimeSpec":{"ociVersion":"1.2.0","process":{"args":["/agent"],)"
    R"("env":["PATH=/bin","TERM=xterm"]},"annotations":{"io.kubernetes.cri-o.ImageName":"quay.io/agent:1"}},)"
    R"("privileged":false,"checkpointedAt":"0001-01-01T00:00:00Z","restored":false})";

std::vector<std::string> Texts(const std::vector<SecretBytes>& secrets) {
  std::vector<std::string> texts;
  for (const SecretBytes& secret : secrets) texts.emplace_back(secret.expose());
  return texts;
}

cri::ContainerStatusResponse Running() {
  cri::ContainerStatusResponse answer;
  answer.mutable_status()->set_id("abc");
  answer.mutable_status()->set_state(cri::CONTAINER_RUNNING);
  answer.mutable_status()->mutable_image()->set_image("busybox:1");
  answer.mutable_status()->set_image_ref("sha256:12");
  return answer;
}

TEST(CriAnswerTest, ReadsTheEnvironmentOfBothRuntimes) {
  const auto containerd = ReadCriEnvironment(kContainerd);
  ASSERT_TRUE(containerd.ok()) << containerd.status();
  EXPECT_THAT(Texts(*containerd), ElementsAre("PATH=/usr/bin:/bin", "HOSTNAME=node", "MODE=a=b", "QUOTE=\"<>"));
  const auto crio = ReadCriEnvironment(kCrio);
  ASSERT_TRUE(crio.ok()) << crio.status();
  EXPECT_THAT(Texts(*crio), ElementsAre("PATH=/bin", "TERM=xterm"));
}

TEST(CriAnswerTest, AProcessMayHaveNoEnvironment) {
  for (const char* process : {"{}", R"({"env":null})", R"({"env":[]})"}) {
    const auto none = ReadCriEnvironment(fmt::format(R"({{"runtimeSpec":{{"process":{}}}}})", process));
    ASSERT_TRUE(none.ok()) << none.status();
    EXPECT_THAT(*none, IsEmpty());
  }
}

TEST(CriAnswerTest, RefusesAnEnvironmentThatIsNotSurelyAllAndQuotesNothing) {
  for (const char* info :
       {"", "null", "[]", "{}", R"({"runtimeSpec":null})", R"({"runtimeSpec":{"process":["A=s3cret"]}})",
        R"({"runtimeSpec":{"process":{"env":"A=s3cret"}}})", R"({"runtimeSpec":{"process":{"env":["A=s3cret",1]}}})",
        R"({"runtimeSpec":{"process":{"env":["A=s3cret"]}})", R"({"runtimeSpec":{"process":{"env":["A=s3cret"]}}}x)",
        R"({"runtimeSpec":{"process":{"env":["A=s3cret"],"env":[]}}})"}) {
    const auto refused = ReadCriEnvironment(info);
    EXPECT_EQ(refused.status().code(), StatusCode::kInvalidArgument) << info;
    EXPECT_THAT(Message(refused.status()), Not(HasSubstr("s3cret")));
  }
}

TEST(CriAnswerTest, ReadsARunningContainer) {
  cri::ContainerStatusResponse answer = Running();
  (*answer.mutable_status()->mutable_labels())["app"] = "refunds";
  answer.mutable_status()->add_mounts()->set_host_path("/etc/hosts");
  answer.mutable_status()->add_mounts()->set_container_path("/from an image");
  (*answer.mutable_info())["info"] = std::string(kCrio);
  const auto container = ReadCriContainer(answer, "abc", CriDetail::kVerbose);
  ASSERT_TRUE(container.ok() && container->has_value()) << container.status();
  EXPECT_THAT((*container)->labels, ElementsAre(testing::Pair("app", "refunds")));
  EXPECT_EQ((*container)->image, "busybox:1");
  EXPECT_EQ((*container)->image_ref, "sha256:12");
  EXPECT_THAT((*container)->mounted_host_paths, ElementsAre("/etc/hosts"));
  ASSERT_TRUE((*container)->environment.ok());
  EXPECT_EQ((*container)->environment->size(), 2U);
}

TEST(CriAnswerTest, TakesTheImagesIdWhereTheRuntimeGivesIt) {
  cri::ContainerStatusResponse answer = Running();
  answer.mutable_status()->set_image_id("sha256:34");
  EXPECT_EQ((**ReadCriContainer(answer, "abc", CriDetail::kPlain)).image_ref, "sha256:34");
}

TEST(CriAnswerTest, AnEnvironmentThatWasNotAskedForOrDidNotComeIsAnErrorAndNotEmpty) {
  for (const CriDetail detail : {CriDetail::kPlain, CriDetail::kVerbose}) {
    const auto container = ReadCriContainer(Running(), "abc", detail);
    ASSERT_TRUE(container.ok() && container->has_value()) << container.status();
    EXPECT_EQ((*container)->environment.status().code(), StatusCode::kUnavailable);
  }
}

TEST(CriAnswerTest, BelievesOnlyAnAnswerAboutTheContainerAskedFor) {
  for (const char* id : {"", "ab", "abcd", "ABC"}) {
    const auto refused = ReadCriContainer(Running(), id, CriDetail::kPlain);
    EXPECT_EQ(refused.status().code(), StatusCode::kUnavailable) << id;
  }
  EXPECT_EQ(ReadCriContainer({}, "abc", CriDetail::kPlain).status().code(), StatusCode::kUnavailable);
}

TEST(CriAnswerTest, TellsStatesApart) {
  cri::ContainerStatusResponse answer = Running();
  answer.mutable_status()->set_state(cri::CONTAINER_CREATED);
  const auto created = ReadCriContainer(answer, "abc", CriDetail::kPlain);
  ASSERT_TRUE(created.ok()) << created.status();
  EXPECT_FALSE(created->has_value());
  for (const int state : {2, 3, 17}) {
    answer.mutable_status()->set_state(static_cast<cri::ContainerState>(state));
    EXPECT_EQ(ReadCriContainer(answer, "abc", CriDetail::kPlain).status().code(), StatusCode::kUnavailable) << state;
  }
}

TEST(CriAnswerTest, ReadsTheDigestOfBothRuntimes) {
  const std::string hex(64, 'a');
  cri::ImageStatusResponse answer;
  EXPECT_EQ(ReadCriImageDigest(answer).status().code(), StatusCode::kNotFound);
  for (const std::string& id : {"sha256:" + hex, hex}) {
    answer.mutable_image()->set_id(id);
    ASSERT_TRUE(ReadCriImageDigest(answer).ok());
    EXPECT_EQ(*ReadCriImageDigest(answer), "sha256:" + hex);
  }
  for (const std::string& id : {std::string(), std::string("sha256:"), "sha256:" + hex + "a", "sha256:sha256:" + hex,
                                "sha512:" + hex, std::string(64, 'A'), hex.substr(1) + "\n"}) {
    answer.mutable_image()->set_id(id);
    EXPECT_EQ(ReadCriImageDigest(answer).status().code(), StatusCode::kInvalidArgument) << id;
  }
}

}  // namespace
}  // namespace lanyard
