#include "attestors/kubelet_pods.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

namespace lanyard {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

// What a kubelet 1.34 said of three pods: one with an init and an ephemeral container, a static one, and one whose
// image is not there.
KubeletPods Recorded() {
  std::ifstream file(LANYARD_SOURCE_DIR "/tests/fuzz/corpus/kubelet_pods_fuzz/kubelet", std::ios::binary);
  WipedString text{std::istreambuf_iterator<char>(file), {}};
  Result<KubeletPods> pods = KubeletPods::Read(text);
  EXPECT_TRUE(pods.ok()) << pods.status();
  return pods.ok() ? *std::move(pods) : KubeletPods();
}

const KubeletPod& Named(const KubeletPods& pods, std::string_view name) {
  for (const KubeletPod& pod : pods.pods()) {
    if (pod.name == name) return pod;
  }
  static const KubeletPod none;
  ADD_FAILURE() << "no pod " << name;
  return none;
}

std::vector<std::string> Names(const std::vector<KubeletContainer>& containers) {
  std::vector<std::string> names;
  for (const KubeletContainer& container : containers) names.push_back(container.name);
  return names;
}

TEST(KubeletPodsTest, ReadsWhatAKubeletSaysOfAPod) {
  const KubeletPods pods = Recorded();
  const KubeletPod& pod = Named(pods, "refund");
  EXPECT_EQ(pod.name_space, "default");
  EXPECT_EQ(pod.uid, "603e4974-bbe3-43ea-a357-3448317ba74d");
  EXPECT_EQ(pod.node, "node1");
  EXPECT_EQ(pod.service_account, "refund-bot");
  EXPECT_THAT(pod.labels, UnorderedElementsAre(Pair("app", "refund"), Pair("example.org/tier", "high")));
  EXPECT_THAT(pod.owners, IsEmpty());
  EXPECT_THAT(Names(pod.containers), UnorderedElementsAre("main", "side"));
  EXPECT_THAT(Names(pod.init_containers), ElementsAre("prepare"));
  EXPECT_THAT(Names(pod.ephemeral_containers), ElementsAre("debugger"));
  EXPECT_EQ(pod.init_containers[0].image, "lanyard.test/busybox:1");
  EXPECT_EQ(pod.init_containers[0].image_id, "sha256:07396cfdfda6c3fd3cd76f7129e8a4062a6d0f216fb274e7a11971bae38b1f0e");
}

TEST(KubeletPodsTest, FindsEveryKindOfContainerById) {
  const KubeletPods pods = Recorded();
  const KubeletPod& refund = Named(pods, "refund");
  const KubeletPod& fixed = Named(pods, "fixed-node1");
  for (const KubeletPod* pod : {&refund, &fixed}) {
    for (const auto* containers : {&pod->containers, &pod->init_containers, &pod->ephemeral_containers}) {
      for (const KubeletContainer& container : *containers) {
        EXPECT_EQ(container.id.size(), 64) << container.name;
        const auto place = pods.Find(container.id);
        ASSERT_TRUE(place.ok()) << place.status();
        EXPECT_EQ(place->pod, pod);
        EXPECT_EQ(place->container, &container);
      }
    }
  }
}

TEST(KubeletPodsTest, AStaticPodIsAPodLikeAnyOther) {
  const KubeletPods pods = Recorded();
  const KubeletPod& pod = Named(pods, "fixed-node1");
  EXPECT_EQ(pod.uid, "71975ac1b043235b77ae38cc3b2553ec");
  EXPECT_EQ(pod.name_space, "kube-system");
  EXPECT_EQ(pod.node, "node1");
}

TEST(KubeletPodsTest, AContainerThatIsNotMadeYetIsNotFound) {
  const KubeletPods pods = Recorded();
  const KubeletPod& pod = Named(pods, "waiting");
  EXPECT_THAT(Names(pod.containers), ElementsAre("main"));
  EXPECT_EQ(pod.containers[0].id, "");
  const auto place = pods.Find("");
  ASSERT_TRUE(place.ok());
  EXPECT_EQ(place->pod, nullptr);
}

TEST(KubeletPodsTest, ReadsEscapesInLabels) {
  WipedString text(R"({"kind":"PodList","items":[{"metadata":{"labels":{"a\u0062c":"d\"e"}}}]})");
  const auto pods = KubeletPods::Read(text);
  ASSERT_TRUE(pods.ok()) << pods.status();
  EXPECT_THAT(pods->pods()[0].labels, ElementsAre(Pair("abc", "d\"e")));
}

}  // namespace
}  // namespace lanyard
