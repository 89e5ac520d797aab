#include "node_agent/admin/admission.h"

#include <grp.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <optional>

namespace lanyard {
namespace {

// A child process that has done `prepare` and waits until it is killed.
class Child {
 public:
  explicit Child(const std::function<bool()>& prepare) {
    int ready[2];
    if (pipe(ready) != 0) return;
    pid_ = fork();
    if (pid_ == 0) {
      const char answer = prepare() ? 'y' : 'n';
      if (write(ready[1], &answer, 1) != 1) _exit(1);
      while (true) pause();
    }
    close(ready[1]);
    char answer = 'n';
    prepared_ = read(ready[0], &answer, 1) == 1 && answer == 'y';
    close(ready[0]);
  }
  ~Child() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  bool prepared() const { return prepared_; }
  PeerProcess Peer(uid_t uid, gid_t gid) const {
    return {.process = ProcessRef::Open(pid_).value(), .uid = uid, .gid = gid};
  }

 private:
  pid_t pid_ = -1;
  bool prepared_ = false;
};

PeerProcess Self() {
  return {.process = ProcessRef::Open(getpid()).value(), .uid = geteuid(), .gid = getegid()};
}

TEST(AdminAdmissionTest, AdmitsTheAgentsOwnUser) {
  const Status admitted = AdminAdmission{}.Check(Self());
  EXPECT_TRUE(admitted.ok()) << admitted;
}

TEST(AdminAdmissionTest, RefusesAnotherUid) {
  const Child child([] { return true; });
  const Status refused = AdminAdmission{}.Check(child.Peer(12345, 12345));
  EXPECT_EQ(refused.code(), StatusCode::kPermissionDenied);
  EXPECT_NE(Message(refused).find("12345"), std::string_view::npos);
}

TEST(AdminAdmissionTest, AdmitsAMemberOfTheGroupByItsPrimaryGroup) {
  const Child child([] { return true; });
  EXPECT_TRUE(AdminAdmission{.group = 4711}.Check(child.Peer(12345, 4711)).ok());
  EXPECT_FALSE(AdminAdmission{.group = 4711}.Check(child.Peer(12345, 4712)).ok());
}

TEST(AdminAdmissionTest, AdmitsAMemberOfTheGroupByASupplementaryGroup) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to set groups";
  const Child child([] {
    const gid_t groups[] = {471, 4711};
    return setgroups(2, groups) == 0 && setresgid(12345, 12345, 12345) == 0 && setresuid(12345, 12345, 12345) == 0;
  });
  ASSERT_TRUE(child.prepared());
  EXPECT_TRUE(AdminAdmission{.group = 4711}.Check(child.Peer(12345, 12345)).ok());
  EXPECT_FALSE(AdminAdmission{.group = 47}.Check(child.Peer(12345, 12345)).ok()) << "471 and 4711 only begin with 47";
}

TEST(AdminAdmissionTest, TheGroupsOfWhoAProcessHasBecomeAreNotThoseOfWhoConnected) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to set groups";
  const Child child([] {
    const gid_t group = 4711;
    return setgroups(1, &group) == 0 && setresgid(12345, 12345, 12345) == 0 && setresuid(12345, 12345, 12345) == 0;
  });
  ASSERT_TRUE(child.prepared());
  EXPECT_EQ(AdminAdmission{.group = 4711}.Check(child.Peer(12346, 12345)).code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(AdminAdmission{.group = 4711}.Check(child.Peer(12345, 12346)).code(), StatusCode::kPermissionDenied);
}

TEST(AdminAdmissionTest, RefusesRootOfAnotherUserNamespace) {
  const Child child([] { return unshare(CLONE_NEWUSER) == 0; });
  if (!child.prepared()) GTEST_SKIP() << "needs user namespaces";
  const Status refused = AdminAdmission{}.Check(child.Peer(0, 0));
  EXPECT_EQ(refused.code(), StatusCode::kPermissionDenied);
  EXPECT_NE(Message(refused).find("user namespace"), std::string_view::npos);
}

TEST(AdminAdmissionTest, RefusesAnotherPidNamespaceUnlessTheConfigurationAllowsIt) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to make a pid namespace";
  // unshare(CLONE_NEWPID) moves the children of the caller, so the one looked at is a grandchild that its parent waits
  // for.
  const int flags = CLONE_NEWPID | SIGCHLD;
  const pid_t pid = static_cast<pid_t>(syscall(SYS_clone, flags, nullptr, nullptr, nullptr, nullptr));
  if (pid == 0) {
    while (true) pause();
  }
  ASSERT_GT(pid, 0);
  const PeerProcess peer{.process = ProcessRef::Open(pid).value(), .uid = 0, .gid = 0};
  const Status refused = AdminAdmission{}.Check(peer);
  const Status allowed = AdminAdmission{.group = {}, .pid_namespaces = AdminAdmission::PidNamespaces::kAny}.Check(peer);
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  EXPECT_EQ(refused.code(), StatusCode::kPermissionDenied);
  EXPECT_TRUE(allowed.ok()) << allowed;
}

TEST(AdminAdmissionTest, ComparesNamespacesAlsoWithProcessesIntoWhichItMayNotLook) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to give its capabilities away";
  const Child closed([] { return prctl(PR_SET_DUMPABLE, 0) == 0; });
  const Child nested([] { return unshare(CLONE_NEWUSER) == 0 && prctl(PR_SET_DUMPABLE, 0) == 0; });
  if (!closed.prepared() || !nested.prepared()) GTEST_SKIP() << "needs user namespaces";
  const PeerProcess own = closed.Peer(0, 0), other = nested.Peer(0, 0);
  const pid_t pid = fork();
  if (pid == 0) {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct none[2]{};
    if (syscall(SYS_capset, &header, none) != 0) _exit(2);
    if (access(own.process->ProcPath("ns/user").c_str(), F_OK) == 0) _exit(3);
    if (!AdminAdmission{}.Check(own).ok()) _exit(4);
    _exit(AdminAdmission{}.Check(other).ok() ? 5 : 0);
  }
  int status = -1;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0) << "2: capset, 3: it may look, 4: its own is refused, 5: another one is admitted";
}

TEST(AdminAdmissionTest, RefusesAProcessThatHasExited) {
  std::optional<PeerProcess> peer;
  {
    const Child child([] { return true; });
    peer = child.Peer(0, 0);
  }
  EXPECT_EQ(AdminAdmission{}.Check(*peer).code(), StatusCode::kPermissionDenied);
}

TEST(AdminAdmissionTest, SaysWhichGroupDoesNotExist) {
  const auto group = FindGroup("no-such-group-here");
  EXPECT_EQ(group.status().code(), StatusCode::kNotFound);
  EXPECT_NE(Message(group.status()).find("no-such-group-here"), std::string_view::npos);
}

}  // namespace
}  // namespace lanyard
