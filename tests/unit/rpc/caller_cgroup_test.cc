#include "node_agent/rpc/caller_cgroup.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

namespace lanyard {
namespace {

constexpr char kId[] = "8f3a0c1d2e4b5f60718293a4b5c6d7e8f90123456789abcdef0123456789abcd";  // of a container

std::string Own(const std::string& path, std::string_view agent = "/system.slice/lanyard.service") {
  return std::string(OwnCgroup(path, agent).value_or("nobody's"));
}

TEST(OwnCgroupTest, TheRootAndSlicesAreNobodys) {
  for (const char* path :
       {"/", "/system.slice", "/user.slice", "/kubepods.slice/kubepods-burstable.slice", "/..", "/../.."})
    EXPECT_EQ(Own(path), "nobody's") << path;
}

TEST(OwnCgroupTest, AUnitIsOneCallerWhateverItMakesBelow) {
  EXPECT_EQ(Own("/system.slice/planner.service"), "/system.slice/planner.service");
  EXPECT_EQ(Own("/system.slice/planner.service/a/b.scope"), "/system.slice/planner.service");
  EXPECT_EQ(Own("/system.slice/system-getty.slice/getty@tty1.service"),
            "/system.slice/system-getty.slice/getty@tty1.service");
  EXPECT_EQ(Own("/init.scope"), "/init.scope");
  EXPECT_EQ(Own("/machine.slice/machine-web.scope/payload/system.slice/x.service"), "/machine.slice/machine-web.scope");
}

TEST(OwnCgroupTest, AllThatOneUserStartsIsOneCaller) {
  for (const char* path : {"/user.slice/user-1000.slice", "/user.slice/user-1000.slice/session-3.scope",
                           "/user.slice/user-1000.slice/session-4.scope",
                           "/user.slice/user-1000.slice/user@1000.service/app.slice/x.service",
                           "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-1.scope/container"})
    EXPECT_EQ(Own(path), "/user.slice/user-1000.slice") << path;
  EXPECT_EQ(Own("/user.slice/user-.slice"), "nobody's");
  EXPECT_EQ(Own("/user.slice/user-web.slice/a.scope"), "/user.slice/user-web.slice/a.scope") << "no uid: any slice";
}

TEST(OwnCgroupTest, AContainerIsOneCallerByEitherCgroupDriver) {
  const std::string id = kId;
  EXPECT_EQ(Own("/docker/" + id), "/docker/" + id);
  EXPECT_EQ(Own("/docker/" + id + "/made/inside"), "/docker/" + id);
  EXPECT_EQ(Own("/system.slice/docker-" + id + ".scope/init.scope"), "/system.slice/docker-" + id + ".scope");
  EXPECT_EQ(Own("/kubepods/burstable/pod1a2b-3c/" + id), "/kubepods/burstable/pod1a2b-3c/" + id);
  EXPECT_EQ(
      Own("/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1.slice/cri-containerd-" + id + ".scope/x"),
      "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1.slice/cri-containerd-" + id + ".scope");
  EXPECT_EQ(Own("/libpod_parent/libpod-" + id + "/ctr"), "/libpod_parent/libpod-" + id);
}

TEST(OwnCgroupTest, ASystemdInsideAContainerMakesNoMoreCallers) {
  EXPECT_EQ(Own("/lxc.payload.web/system.slice/a.service"), "/lxc.payload.web");
  EXPECT_EQ(Own("/lxc.payload.web/init.scope"), "/lxc.payload.web");
  EXPECT_EQ(Own("/lxc/web/user.slice/user-0.slice/session-1.scope"), "/lxc/web");
}

TEST(OwnCgroupTest, OtherNamesCountToFourLevels) {
  EXPECT_EQ(Own("/agents/a"), "/agents/a");
  EXPECT_EQ(Own("/agents/a/b/c/d/e"), "/agents/a/b/c");
}

TEST(OwnCgroupTest, WhatTheAgentIsInIsNobodysAndWhatLiesBelowIsToldApart) {
  EXPECT_EQ(Own("/lxc.payload.host", "/lxc.payload.host/system.slice/lanyard.service"), "nobody's");
  EXPECT_EQ(Own("/lxc.payload.host/system.slice/a.service", "/lxc.payload.host/system.slice/lanyard.service"),
            "/lxc.payload.host/system.slice/a.service");
  EXPECT_EQ(Own("/user.slice/user-0.slice/session-1.scope", "/user.slice/user-0.slice/session-1.scope"), "nobody's");
  EXPECT_EQ(Own("/user.slice/user-0.slice/session-2.scope", "/user.slice/user-0.slice/session-1.scope"),
            "/user.slice/user-0.slice/session-2.scope");
  EXPECT_EQ(Own("/system.slice/lanyard.service-2", "/system.slice/lanyard.service"), "/system.slice/lanyard.service-2")
      << "no prefix but a name of its own";
}

TEST(OwnCgroupTest, APathThatANamespaceHidesStillTellsCgroupsApart) {
  const std::string id = kId;
  EXPECT_EQ(Own("/../" + id, "/"), "/../" + id);
  EXPECT_EQ(Own("/../../pod7/" + id + "/x", "/"), "/../../pod7/" + id);
  EXPECT_EQ(Own("/../cri-containerd-" + id + ".scope/init", "/"), "/../cri-containerd-" + id + ".scope");
}

// Processes in cgroups that the test makes; skips where it may not.
class CallerCgroupsTest : public testing::Test {
 protected:
  ~CallerCgroupsTest() override {
    for (auto path = made_.rbegin(); path != made_.rend(); ++path) {
      for (int tries = 0; tries < 200 && rmdir(path->c_str()) != 0 && errno == EBUSY; ++tries) usleep(5000);
    }
  }

  bool Make(const std::string& name) {
    if (top_.empty()) {
      for (const Mount& mount : (*mounts_.Current())->cgroups) {
        const bool wanted = mount.fs_type == "cgroup2" || HasMountOption(mount.super_options, "pids");
        const std::string path = fmt::format("{}/lanyard-unit-{}", mount.mount_point, getpid());
        if (mount.root != "/" || !wanted || mkdir(path.c_str(), 0755) != 0) continue;
        made_.push_back(path);
        top_ = path;
        break;
      }
    }
    if (top_.empty()) return false;
    made_.push_back(top_ + "/" + name);
    return mkdir(made_.back().c_str(), 0755) == 0;
  }
  std::string PathOf(const std::string& name) const { return fmt::format("/lanyard-unit-{}/{}", getpid(), name); }

  // The account of a process in that cgroup that connects as `uid`.
  std::string AccountIn(const std::string& name, uid_t uid) {
    int ready[2];
    EXPECT_EQ(pipe2(ready, O_CLOEXEC), 0);
    const pid_t child = fork();
    if (child == 0) {
      std::ofstream(fmt::format("{}/{}/cgroup.procs", top_, name)) << getpid();
      static_cast<void>(write(ready[1], "x", 1));
      pause();
      _exit(0);
    }
    char byte = 0;
    EXPECT_EQ(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    const std::string account = cgroups_.AccountOf({.process = *ProcessRef::Open(child), .uid = uid, .gid = uid}).own;
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    return account;
  }

  OwnMounts mounts_;
  CallerCgroups cgroups_{mounts_};
  std::string top_;
  std::vector<std::string> made_;
};

TEST_F(CallerCgroupsTest, AProcessInTheAgentsOwnCgroupIsOnTheAccountOfItsUid) {
  const PeerProcess self{.process = *ProcessRef::Open(getpid()), .uid = 4711, .gid = 4711};
  EXPECT_EQ(cgroups_.AccountOf(self).own, "uid 4711");
}

TEST_F(CallerCgroupsTest, AProcessThatIsGoneIsOnTheAccountOfItsUid) {
  int hold[2];
  ASSERT_EQ(pipe(hold), 0);
  const pid_t child = fork();
  if (child == 0) {
    close(hold[1]);
    char byte = 0;
    _exit(static_cast<int>(read(hold[0], &byte, 1)));
  }
  const PeerProcess gone{.process = *ProcessRef::Open(child), .uid = 4711, .gid = 4711};
  close(hold[0]);
  close(hold[1]);
  waitpid(child, nullptr, 0);
  EXPECT_EQ(cgroups_.AccountOf(gone).own, "uid 4711");
}

TEST_F(CallerCgroupsTest, RootProcessesOfTwoCgroupsAreTwoCallers) {
  if (!Make("a") || !Make("b")) GTEST_SKIP() << "no cgroup can be made here";
  EXPECT_EQ(AccountIn("a", 0), "cgroup " + PathOf("a"));
  EXPECT_EQ(AccountIn("b", 0), "cgroup " + PathOf("b"));
}

TEST_F(CallerCgroupsTest, CgroupsThatAUserMadeBelowWhatIsDelegatedToHimAreOneCaller) {
  if (!Make("delegated") || !Make("delegated/x")) GTEST_SKIP() << "no cgroup can be made here";
  const uid_t user = 65531;
  EXPECT_EQ(AccountIn("delegated/x", user), "cgroup " + PathOf("delegated/x"));
  ASSERT_EQ(chown((top_ + "/delegated").c_str(), user, user), 0);
  EXPECT_EQ(AccountIn("delegated/x", user), "cgroup " + PathOf("delegated"));
  EXPECT_EQ(AccountIn("delegated/x", user + 1), "cgroup " + PathOf("delegated/x"))
      << "somebody else made it for this one";
}

TEST_F(CallerCgroupsTest, CgroupsBelowOneThatItsGroupMayWriteAreOneCallerWhateverTheCallersFirstGroupIs) {
  if (!Make("shared") || !Make("shared/x")) GTEST_SKIP() << "no cgroup can be made here";
  const uid_t user = 65531;
  ASSERT_EQ(chown((top_ + "/shared").c_str(), 0, 4711), 0);
  EXPECT_EQ(AccountIn("shared/x", user), "cgroup " + PathOf("shared/x"));
  ASSERT_EQ(chmod((top_ + "/shared").c_str(), 0775), 0);
  EXPECT_EQ(AccountIn("shared/x", user), "cgroup " + PathOf("shared"));
}

}  // namespace
}  // namespace lanyard
