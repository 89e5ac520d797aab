#include "attestors/container_locator.h"

#include <gtest/gtest.h>

#include <vector>

namespace lanyard {
namespace {

const std::string kC64 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const std::string kOther = "7654321089abcdef7654321089abcdef7654321089abcdef7654321089abcdef";

// Paths as kubelet, Docker, containerd, CRI-O and systemd make them; what spire-agent makes of the same ones is
// compared in tests/conformance/container_locator_test.py.
struct Sample {
  const char* about;
  std::string path, pod, container;
};
void PrintTo(const Sample& sample, std::ostream* out) {
  *out << sample.path;
}

class LocateContainerTest : public testing::TestWithParam<Sample> {};

TEST_P(LocateContainerTest, FindsWhatThePathNames) {
  const ContainerName name = LocateContainer(GetParam().path);
  EXPECT_EQ(name.container_id, GetParam().container);
  EXPECT_EQ(name.pod_uid, GetParam().pod);
  EXPECT_EQ(name.found(), !GetParam().container.empty());
}

INSTANTIATE_TEST_SUITE_P(
    Samples, LocateContainerTest,
    testing::Values(
        Sample{"Cgroupfs", "/kubepods/burstable/pod2c48913c-b29f-11e7-9350-020968147796/" + kC64,
               "2c48913c-b29f-11e7-9350-020968147796", kC64},
        Sample{"KubernetesInDocker",
               "/docker/" + kOther + "/kubepods/besteffort/poda2830d0d-b0f0-4ff0-81b5-0ee4e299cf80/" + kC64,
               "a2830d0d-b0f0-4ff0-81b5-0ee4e299cf80", kC64},
        Sample{"SystemdDriver",
               "/kubepods.slice/kubepods-burstable.slice/"
               "kubepods-burstable-pod2c48913c-b29f-11e7-9350-020968147796.slice/docker-" +
                   kC64 + ".scope",
               "2c48913c-b29f-11e7-9350-020968147796", kC64},
        Sample{"SystemdEscapes",
               "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod00000000_1111_2222_3333_444444444444.slice/"
               "cri-containerd-" +
                   kC64 + ".scope",
               "00000000-1111-2222-3333-444444444444", kC64},
        Sample{"OtherPodsCgroupNamespace",
               "/../../kubelet-kubepods-besteffort.slice/"
               "kubelet-kubepods-besteffort-pod00000000_1111_2222_3333_444444444444.slice/cri-containerd-" +
                   kC64 + ".scope",
               "00000000-1111-2222-3333-444444444444", kC64},
        Sample{"ColonsInOneSegment",
               "/kubepods-besteffort-pod72f7f152_440c_66ac_9084_e0fc1d8a910c.slice:cri-containerd:" + kC64,
               "72f7f152-440c-66ac-9084-e0fc1d8a910c", kC64},
        Sample{"SamePod", "/../crio-" + kC64 + ".scope", "", kC64},  //
        Sample{"Docker", "/docker/" + kC64, "", kC64},
        Sample{"DockerScope", "/some.slice/another.slice/docker-" + kC64 + ".scope", "", kC64},
        Sample{"Podman", "/machine.slice/libpod-" + kC64 + ".scope/container", "", kC64},
        Sample{"StaticPod", "/kubepods/pod2732ca68f6358eba7703fb6f82a25c94/" + kC64, "2732ca68f6358eba7703fb6f82a25c94",
               kC64},
        Sample{"BelowTheContainer", "/docker/" + kC64 + "/init.scope/worker", "", kC64},
        Sample{"UpperCase", "/docker/" + std::string(64, 'A'), "", std::string(64, 'A')},
        Sample{"Session", "/user.slice/user-1000.slice/session-2.scope", "", ""},  //
        Sample{"Root", "/", "", ""}, Sample{"Empty", "", "", ""},
        Sample{"PodOnly", "/kubepods/pod2c48913c-b29f-11e7-9350-020968147796", "", ""},
        Sample{"TooLong", "/docker/" + kC64 + "0", "", ""},  //
        Sample{"TooShort", "/docker/" + kC64.substr(1), "", ""}, Sample{"InAWord", "/docker/x_" + kC64, "", ""},
        Sample{"DoubleSlashEndsTheSearch", "/docker/" + kC64 + "//x", "", ""},
        Sample{"PodInAWord", "/kubepods/xpod2c48913c-b29f-11e7-9350-020968147796/" + kC64, "", kC64},
        Sample{"PodTooLong", "/kubepods/pod2732ca68f6358eba7703fb6f82a25c940/" + kC64, "", kC64},
        Sample{"SecondOfTwoPods",
               "/pod11111111-1111-1111-1111-111111111111/pod22222222-2222-2222-2222-222222222222/" + kC64,
               "22222222-2222-2222-2222-222222222222", kC64}),
    [](const auto& test) { return test.param.about; });

TEST(ContainerLocatorTest, TheNameEndsWithTheDirectoryThatBearsTheId) {
  const std::string path = "/some.slice/docker-" + kC64 + ".scope/below/it";
  EXPECT_EQ(path.substr(0, LocateContainer(path).name_end), "/some.slice/docker-" + kC64 + ".scope");
}

TEST(ContainerLocatorTest, ANameWithinAnotherContainersCgroupIsNested) {
  const std::string outer = "/docker/" + kOther;
  EXPECT_EQ(LocateContainer(outer + "/docker-" + kC64 + ".scope").outer_end, outer.size());
  EXPECT_EQ(LocateContainer(outer + "/a/b/" + kC64 + "/init").outer_end, outer.size());
  EXPECT_EQ(LocateContainer(outer + "/" + kC64 + "/" + kC64).outer_end, outer.size() + 1 + kC64.size());
  EXPECT_EQ(LocateContainer("/docker/" + kC64 + "/a/b").outer_end, 0);
}

Result<ContainerName> Merged(const std::vector<std::string>& paths) {
  ContainerName name;
  for (const std::string& path : paths) RETURN_IF_ERROR(MergeContainerName(name, LocateContainer(path)));
  return name;
}

constexpr const char* kPod = "/kubepods/pod00000000-1111-2222-3333-444444444444/";

TEST(ContainerLocatorTest, ANameWithAPodGoesBeforeOneWithout) {
  const std::string pod = kPod + kC64, none = "/docker/" + kOther + "/system.slice/containerd.service";
  using Paths = std::vector<std::string>;
  for (const auto& paths : {Paths{pod, none}, Paths{none, pod}, Paths{none, pod, none, "/x"}}) {
    const auto name = Merged(paths);
    ASSERT_TRUE(name.ok()) << name.status();
    EXPECT_EQ(name->container_id, kC64);
    EXPECT_EQ(name->cgroup_path, pod);
  }
}

TEST(ContainerLocatorTest, TwoContainersOrTwoPodsAreAnError) {
  const auto containers = Merged({kPod + kC64, kPod + kOther});
  EXPECT_EQ(containers.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(Message(containers.status()).find("two containers"), std::string_view::npos);
  const auto pods = Merged({kPod + kC64, "/kubepods/pod76543210-1111-2222-3333-444444444444/" + kC64});
  EXPECT_EQ(pods.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(Message(pods.status()).find("two pods"), std::string_view::npos);
}

}  // namespace
}  // namespace lanyard
