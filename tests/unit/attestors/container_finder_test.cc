#include "attestors/container_finder.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>

#include "tests/unit/attestors/test_cgroup.h"

namespace lanyard {
namespace {

// Ids of nobody's containers, different in each run.
std::string Id(char digit) {
  std::string id = fmt::format("{:x}", getpid());
  return std::string(64 - id.size(), digit) + id;
}

// In the child: a mount namespace of its own, in which `cgroup` is mounted.
void MountInNamespace(const std::string& cgroup) {
  if (unshare(CLONE_NEWNS) != 0) _exit(74);
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) _exit(75);
  if (mount(cgroup.c_str(), "/mnt", nullptr, MS_BIND, nullptr) != 0) _exit(76);
}

// Runs `look` as a node agent would that runs in the cgroup `own` with a cgroup namespace of its own, and returns what
// it says.
std::string FromContainer(const TestCgroup& own, const std::string& below, const std::function<std::string()>& look) {
  int answer[2];
  if (pipe2(answer, O_CLOEXEC) != 0) std::abort();
  TestProcess agent([] {},
                    [&] {
                      const bool apart = unshare(CLONE_NEWCGROUP | CLONE_NEWNS) == 0 &&
                                         mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                                         (own.v2() ? mount("none", "/mnt", "cgroup2", 0, nullptr)
                                                   : mount("none", "/mnt", "cgroup", 0, "pids")) == 0;
                      const std::string text = apart ? look() : "cannot make the namespaces";
                      if (write(answer[1], text.data(), text.size()) < 0) _exit(77);
                      _exit(0);
                    });
  own.Put(agent.pid(), below);
  agent.Continue();
  close(answer[1]);
  std::string text(4096, '\0');
  const ssize_t got = read(answer[0], text.data(), text.size());
  close(answer[0]);
  text.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return text;
}

class ContainerFinderTest : public testing::TestWithParam<Hierarchy> {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root: makes cgroups";
  }
  Result<ContainerName> Find(const PeerProcess& peer) {
    auto subject = Subject::Read(peer, WantedKinds::All());
    EXPECT_TRUE(subject.ok()) << subject.status();
    return FindContainer(**subject, mounts_);
  }
  OwnMounts mounts_;
};
INSTANTIATE_TEST_SUITE_P(Both, ContainerFinderTest, testing::Values(Hierarchy::kV1, Hierarchy::kV2),
                         [](const auto& test) { return test.param == Hierarchy::kV1 ? "V1" : "V2"; });

TEST_P(ContainerFinderTest, FindsTheContainerOfAnyUserAndOfRoot) {
  TestCgroup docker("docker-" + Id('1') + ".scope", GetParam());
  LANYARD_NEEDS_CGROUP(docker);
  TestProcess user([] { Become(kNobody); }), root([] {}), outside([] { Become(kNobody); });
  docker.Put(user.pid());
  docker.Put(root.pid());
  for (const auto& peer : {user.Peer(kNobody), root.Peer(0)}) {
    const auto found = Find(peer);
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(found->container_id, Id('1'));
    EXPECT_EQ(found->cgroup_path, docker.path());
  }
  const auto none = Find(outside.Peer(kNobody));
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_FALSE(none->found());
}

TEST_P(ContainerFinderTest, AUsersOwnCgroupNamedLikeAContainerNamesNone) {
  TestCgroup delegated("lanyard-test-" + std::to_string(getpid()) + "-user.service", GetParam());
  LANYARD_NEEDS_CGROUP(delegated);
  delegated.Give(kNobody);
  delegated.Make("/docker-" + Id('2') + ".scope");
  delegated.Give(kNobody, "/docker-" + Id('2') + ".scope");
  TestProcess user([] { Become(kNobody); });
  delegated.Put(user.pid(), "/docker-" + Id('2') + ".scope");
  const auto found = Find(user.Peer(kNobody));
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_FALSE(found->found());
}

// newuidmap(1) gives users further uids: a process of one of these may not write to its user's cgroups, and is there
// all the same because the user wanted it.
TEST_P(ContainerFinderTest, AnotherUidInAUsersCgroupNamedLikeAContainerIsInNone) {
  constexpr uid_t kSubordinate = kNobody + 1;
  TestCgroup delegated("lanyard-test-" + std::to_string(getpid()) + "-user.service", GetParam());
  LANYARD_NEEDS_CGROUP(delegated);
  delegated.Give(kNobody);
  delegated.Make("/docker-" + Id('3') + ".scope");
  delegated.Give(kNobody, "/docker-" + Id('3') + ".scope");
  TestProcess subordinate([] { Become(kSubordinate); }), root([] {});
  for (const auto* process : {&subordinate, &root}) delegated.Put(process->pid(), "/docker-" + Id('3') + ".scope");
  for (const auto& peer : {subordinate.Peer(kSubordinate), root.Peer(0)}) {
    const auto found = Find(peer);
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_FALSE(found->found());
  }
}

TEST_P(ContainerFinderTest, CgroupsThatAContainerMadeBelowItsOwnChangeNothing) {
  TestCgroup docker("docker-" + Id('4') + ".scope", GetParam());
  LANYARD_NEEDS_CGROUP(docker);
  docker.Make("/payload");
  TestProcess process([] { Become(kNobody); });
  docker.Put(process.pid(), "/payload");
  const auto found = Find(process.Peer(kNobody));
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->container_id, Id('4'));
}

// Where user namespaces are allowed, root of a container may write what is root's below its own cgroup, without any
// privilege on the node.
TEST_P(ContainerFinderTest, ANameBelowAnotherContainersCgroupIsAnError) {
  TestCgroup outer("docker-" + Id('d') + ".scope", GetParam());
  LANYARD_NEEDS_CGROUP(outer);
  const std::string below = "/" + Id('e');
  outer.Make(below);
  TestProcess root([] {}), user([] { Become(kNobody); });
  outer.Put(root.pid(), below);
  outer.Put(user.pid(), below);
  for (const auto& peer : {root.Peer(0), user.Peer(kNobody)}) {
    const auto found = Find(peer);
    EXPECT_EQ(found.status().code(), StatusCode::kFailedPrecondition);
    EXPECT_NE(Message(found.status()).find("lies within that of another container"), std::string_view::npos)
        << found.status();
  }
}

TEST_P(ContainerFinderTest, ANameBelowTheContainerThatTheNodeAgentRunsInCounts) {
  TestCgroup node("docker-" + Id('f') + ".scope", GetParam());
  LANYARD_NEEDS_CGROUP(node);
  node.Make("/agent");
  node.Make("/pods");
  node.Make("/pods/" + Id('1'));
  node.Make("/pods/" + Id('1') + "/" + Id('2'));
  TestProcess pod([] { Become(kNobody); }), thief([] {});
  node.Put(pod.pid(), "/pods/" + Id('1'));
  node.Put(thief.pid(), "/pods/" + Id('1') + "/" + Id('2'));
  const auto peer = pod.Peer(kNobody), other = thief.Peer(0);
  const auto look = [&] {
    const auto found = Find(peer), forged = Find(other);
    return fmt::format("{}, {}", found.ok() ? found->container_id : std::string(Message(found.status())),
                       forged.ok() ? forged->container_id : "refused");
  };
  EXPECT_EQ(FromContainer(node, "/agent", look), Id('1') + ", refused");
}

// Any user can do this, where user namespaces are allowed: /proc/PID/mountinfo then names the container.
TEST_P(ContainerFinderTest, AContainersCgroupMountedInANamespaceOfTheCallersOwnNamesNone) {
  TestCgroup docker("docker-" + Id('5') + ".scope", GetParam());
  LANYARD_NEEDS_CGROUP(docker);
  const std::string victim = docker.directory();
  TestProcess forger([victim] {
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) _exit(74);
    if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) _exit(75);
    if (mount(victim.c_str(), "/mnt", nullptr, MS_BIND, nullptr) != 0) _exit(76);
  });
  if (!forger.ready()) GTEST_SKIP() << "needs user namespaces";
  std::ifstream mountinfo(fmt::format("/proc/{}/mountinfo", forger.pid()));
  const std::string text{std::istreambuf_iterator<char>(mountinfo), {}};
  ASSERT_NE(text.find(Id('5')), std::string::npos) << "the forgery is not there";
  const auto found = Find(forger.Peer(0));
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_FALSE(found->found());
}

TEST_P(ContainerFinderTest, WhereNoNameIsHiddenAMountedCgroupNamesNone) {
  TestCgroup docker("docker-" + Id('6') + ".scope", GetParam());
  LANYARD_NEEDS_CGROUP(docker);
  const std::string cgroup = docker.directory();
  TestProcess process([cgroup] { MountInNamespace(cgroup); });
  ASSERT_TRUE(process.ready());
  const auto found = Find(process.Peer(0));
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_FALSE(found->found());
}

TEST_P(ContainerFinderTest, TwoContainersInOneCallersCgroupsAreAnError) {
  TestCgroup one("docker-" + Id('7') + ".scope", Hierarchy::kV1), two("docker-" + Id('8') + ".scope", Hierarchy::kV2);
  LANYARD_NEEDS_CGROUP(one);
  LANYARD_NEEDS_CGROUP(two);
  TestProcess process([] { Become(kNobody); });
  one.Put(process.pid());
  two.Put(process.pid());
  const auto found = Find(process.Peer(kNobody));
  EXPECT_EQ(found.status().code(), StatusCode::kFailedPrecondition) << found.status();
}

TEST_P(ContainerFinderTest, WhereNamesAreHiddenACgroupThatRootMountedNamesTheContainer) {
  TestCgroup pods("lanyard-test-" + std::to_string(getpid()) + "-pods", GetParam());
  LANYARD_NEEDS_CGROUP(pods);
  pods.Make("/agent");
  pods.Make("/" + Id('9'));
  const std::string cgroup = pods.directory("/" + Id('9'));
  TestProcess root([cgroup] { MountInNamespace(cgroup); });
  ASSERT_TRUE(root.ready());
  pods.Put(root.pid(), "/agent");
  const auto peer = root.Peer(0);
  EXPECT_EQ(FromContainer(pods, "/agent",
                          [&]() -> std::string {
                            if (umount2("/sys/fs/cgroup", MNT_DETACH) != 0) return "cannot unmount";
                            const auto found = Find(peer);
                            return found.ok() ? found->container_id : std::string(Message(found.status()));
                          }),
            Id('9'));
}

TEST_P(ContainerFinderTest, FromACgroupNamespaceOfItsOwnTheNodeAgentFindsOthersContainersByTheHostsNames) {
  TestCgroup pods("lanyard-test-" + std::to_string(getpid()) + "-pods", GetParam());
  LANYARD_NEEDS_CGROUP(pods);
  pods.Make("/agent");
  pods.Make("/agent/" + Id('a'));
  pods.Make("/web");
  pods.Make("/web/" + Id('b'));
  TestProcess user([] { Become(kNobody); });
  pods.Put(user.pid(), "/web/" + Id('b'));
  const auto peer = user.Peer(kNobody);
  EXPECT_EQ(FromContainer(pods, "/agent/" + Id('a'),
                          [&] {
                            const auto found = Find(peer);
                            return found.ok() ? found->container_id + " " + found->cgroup_path
                                              : std::string(Message(found.status()));
                          }),
            Id('b') + " " + pods.path("/web/" + Id('b')));
}

TEST_P(ContainerFinderTest, FromACgroupNamespaceOfItsOwnAUsersCgroupNamedLikeAContainerStillNamesNone) {
  TestCgroup pods("lanyard-test-" + std::to_string(getpid()) + "-pods", GetParam());
  LANYARD_NEEDS_CGROUP(pods);
  pods.Make("/agent");
  pods.Make("/user");
  pods.Make("/user/" + Id('c'));
  pods.Give(kNobody, "/user");
  TestProcess user([] { Become(kNobody); });
  pods.Put(user.pid(), "/user/" + Id('c'));
  const auto peer = user.Peer(kNobody);
  EXPECT_EQ(FromContainer(pods, "/agent",
                          [&] {
                            const auto found = Find(peer);
                            return found.ok() ? "found: " + found->container_id : std::string(Message(found.status()));
                          }),
            "found: ");
}

}  // namespace
}  // namespace lanyard
