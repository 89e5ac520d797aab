#include "attestors/process_attestor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <optional>

#include "attestors/attestation.h"
#include "attestors/cgroup_trust.h"
#include "tests/support/fake_clock.h"
#include "tests/support/loop_driver.h"
#include "tests/unit/attestors/test_cgroup.h"
#include "tests/unit/attestors/test_process.h"

namespace lanyard {
namespace {

using namespace std::chrono_literals;
using testing::Contains;
using testing::Not;
using testing::StartsWith;

class ProcessAttestorTest : public testing::Test {
 protected:
  std::vector<std::string> Attest(const PeerProcess& peer) {
    result_.reset();
    auto attestation =
        set_.Attest(peer, clock_.MonoNow() + 1s, [this](Result<Findings> result) { result_ = std::move(result); });
    EXPECT_TRUE(RunUntil(loop_, [&] { return result_.has_value(); }));
    EXPECT_TRUE(result_ && result_->ok()) << result_->status();
    std::vector<std::string> texts;
    if (!result_ || !result_->ok()) return texts;
    for (const Selector& selector : (*result_)->selectors) {
      EXPECT_TRUE(CheckSelector(selector).ok()) << CheckSelector(selector).status();
      texts.push_back(selector.str());
    }
    return texts;
  }
  static std::vector<std::unique_ptr<Attestor>> One(std::unique_ptr<Attestor> attestor) {
    std::vector<std::unique_ptr<Attestor>> one;
    one.push_back(std::move(attestor));
    return one;
  }
  static std::string Inode(pid_t pid, const std::string& kind) {
    const std::string link = std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/ns/" + kind);
    return link.substr(kind.size() + 2, link.size() - kind.size() - 3);
  }

  EventLoop loop_;
  FakeClock clock_;
  HostTools tools_{loop_, clock_};
  AttestorSet set_{loop_, clock_, One(MakeProcessAttestor({}, tools_))};
  std::optional<Result<Findings>> result_;
  TestDirectory directory_;
  const std::string name_ = "lanyard-test-" + std::to_string(getpid());
};

class CgroupTest : public ProcessAttestorTest, public testing::WithParamInterface<Hierarchy> {};
INSTANTIATE_TEST_SUITE_P(Both, CgroupTest, testing::Values(Hierarchy::kV1, Hierarchy::kV2),
                         [](const auto& test) { return test.param == Hierarchy::kV1 ? "V1" : "V2"; });

TEST_P(CgroupTest, TwoProgramsOfOneUidInTwoCgroupsAreToldApart) {
  LANYARD_NEEDS_ROOT();
  TestCgroup one(name_ + "-one.service", GetParam()), two(name_ + "-two.service", GetParam());
  LANYARD_NEEDS_CGROUP(one);
  LANYARD_NEEDS_CGROUP(two);
  TestProcess first([] { Become(kNobody); }), second([] { Become(kNobody); });
  one.Put(first.pid());
  two.Put(second.pid());
  const auto found_first = Attest(first.Peer(kNobody)), found_second = Attest(second.Peer(kNobody));
  EXPECT_THAT(found_first, Contains(one.selector()));
  EXPECT_THAT(found_first, Not(Contains(two.selector())));
  EXPECT_THAT(found_second, Contains(two.selector()));
  EXPECT_THAT(found_second, Not(Contains(one.selector())));
}

TEST_P(CgroupTest, ACgroupMadeByTheCallerItselfDoesNotCount) {
  LANYARD_NEEDS_ROOT();
  TestCgroup delegated(name_ + "-user.service", GetParam());
  LANYARD_NEEDS_CGROUP(delegated);
  delegated.Give(kNobody);
  TestProcess maker([&] {
    Become(kNobody);
    mkdir(delegated.directory("/refund.scope").c_str(), 0755);
  });
  delegated.Make("/refund.scope");  // exists; only so that it is removed again
  struct stat info {};
  ASSERT_EQ(stat(delegated.directory("/refund.scope").c_str(), &info), 0);
  ASSERT_EQ(info.st_uid, kNobody);
  delegated.Put(maker.pid(), "/refund.scope");
  const auto found = Attest(maker.Peer(kNobody));
  EXPECT_THAT(found, Not(Contains(delegated.selector("/refund.scope"))));
  EXPECT_THAT(found, Not(Contains(StartsWith("process:scope:"))));
  maker.Stop();

  TestProcess root([] {});  // could write all of them: counts as the kernel reports it
  delegated.Put(root.pid(), "/refund.scope");
  EXPECT_THAT(Attest(root.Peer(0)), Contains(delegated.selector("/refund.scope")));
}

TEST_P(CgroupTest, EachWayToWriteACgroupSpoilsIt) {
  LANYARD_NEEDS_ROOT();
  TestCgroup cgroup(name_, GetParam());
  LANYARD_NEEDS_CGROUP(cgroup);
  TestProcess process([] { Become(kNobody); });
  cgroup.Put(process.pid());
  const auto counts = [&] { return testing::Value(Attest(process.Peer(kNobody)), Contains(cgroup.selector())); };
  ASSERT_TRUE(counts());
  for (const std::string& file :
       {std::string("/cgroup.procs"), std::string(cgroup.v2() ? "/cgroup.threads" : "/tasks"), std::string()}) {
    const std::string path = cgroup.directory(file);
    struct stat before {};
    ASSERT_EQ(stat(path.c_str(), &before), 0) << path;
    cgroup.Give(kNobody, file);
    EXPECT_FALSE(counts()) << "owner of " << path;
    chmod(path.c_str(), 0444);
    EXPECT_FALSE(counts()) << "the owner may change the mode of " << path;
    ASSERT_EQ(chown(path.c_str(), 0, kNobody), 0);
    EXPECT_TRUE(counts()) << "a group that may only read " << path;
    chmod(path.c_str(), before.st_mode | S_IWGRP);
    EXPECT_FALSE(counts()) << "group of " << path;
    ASSERT_EQ(chown(path.c_str(), 0, 0), 0);
    EXPECT_TRUE(counts()) << path;
    chmod(path.c_str(), before.st_mode | S_IWOTH);
    EXPECT_FALSE(counts()) << "everybody may write " << path;
    chmod(path.c_str(), before.st_mode);
    ASSERT_TRUE(counts());
  }
}

TEST_P(CgroupTest, AMoveInTheMiddleIsRefused) {
  LANYARD_NEEDS_ROOT();
  TestCgroup cgroup(name_, GetParam());
  LANYARD_NEEDS_CGROUP(cgroup);
  TestProcess process([] {});
  auto attestation =
      set_.Attest(process.Peer(0), clock_.MonoNow() + 1s, [this](Result<Findings> r) { result_ = std::move(r); });
  cgroup.Put(process.pid());
  ASSERT_TRUE(RunUntil(loop_, [&] { return result_.has_value(); }));
  EXPECT_EQ(result_->status().code(), StatusCode::kUnavailable) << result_->status();
  process.Stop();
}

TEST_F(ProcessAttestorTest, TakesTheScopeBelowSlicesOnly) {
  LANYARD_NEEDS_ROOT();
  TestCgroup slice(name_ + ".slice", Hierarchy::kV2);
  LANYARD_NEEDS_CGROUP(slice);
  slice.Make("/run-1.scope");
  slice.Make("/run-1.scope/refund.scope");
  slice.Make("/a.service");
  slice.Make("/a.service/refund.scope");
  TestProcess process([] {});
  slice.Put(process.pid(), "/run-1.scope/refund.scope");
  auto found = Attest(process.Peer(0));
  EXPECT_THAT(found, Contains("process:scope:run-1.scope"));
  EXPECT_THAT(found, Not(Contains("process:scope:refund.scope")));
  slice.Put(process.pid(), "/a.service/refund.scope");
  EXPECT_THAT(Attest(process.Peer(0)), Not(Contains(StartsWith("process:scope:"))));
  process.Stop();
}

TEST_F(ProcessAttestorTest, FollowsLivingAncestors) {
  const std::string path = directory_.CopyOfSleep("agent");
  std::unique_ptr<TestProcess> process(TestProcess::Execute(path, 0));
  const auto found = Attest(process->Peer(geteuid()));
  const std::string self = std::filesystem::read_symlink("/proc/self/exe");
  EXPECT_THAT(found, Contains("process:ancestor:" + self));
  EXPECT_THAT(found, Contains("process:ancestor_sha256:" + Sha256Sum(self)));
  EXPECT_THAT(found, Not(Contains("process:ancestor:" + path)));  // not itself
}

TEST_F(ProcessAttestorTest, SaysHowTheProcessIsConfined) {
  TestProcess process([] {
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    setsid();
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) _exit(81);
  });
  if (!process.ready()) GTEST_SKIP() << "namespaces cannot be made here";
  const auto found = Attest(process.Peer(geteuid()));
  EXPECT_THAT(found, Contains("process:no_new_privs:true"));
  EXPECT_THAT(found, Contains("process:traced:false"));
  EXPECT_THAT(found, Contains("process:tty:none"));
  EXPECT_THAT(found, Contains("process:ns:mnt:host"));
  EXPECT_THAT(found, Contains("process:ns:net:" + Inode(process.pid(), "net")));
  EXPECT_THAT(found, Not(Contains("process:ns:net:host")));
}

ProcStatus Nobody() {
  ProcStatus status;
  status.uid = status.gid = {kNobody, kNobody, kNobody, kNobody};
  return status;
}

TEST(CgroupTrustTest, WhatCannotBeCheckedIsAnErrorAndNotAnAnswer) {
  const auto mounts = OwnMounts().Current();
  ASSERT_TRUE(mounts.ok()) << mounts.status();
  const auto code = [&](CgroupMembership cgroup, const ProcStatus& who) {
    return CheckCgroupTrust(cgroup, who, **mounts).status().code();
  };
  EXPECT_EQ(code({{}, "/../../refund.service"}, Nobody()), StatusCode::kFailedPrecondition);
  EXPECT_EQ(code({{}, "/.."}, ProcStatus{}), StatusCode::kFailedPrecondition);  // not even root's: the name is unknown
  EXPECT_EQ(code({{"no_such_controller"}, "/a"}, Nobody()), StatusCode::kFailedPrecondition);
  EXPECT_EQ(code({{}, "/..."}, ProcStatus{}), StatusCode::kOk);
  if ((*mounts)->cgroups.empty()) GTEST_SKIP() << "no cgroup hierarchy is mounted here";
  const Mount& any = (*mounts)->cgroups.front();
  if (any.fs_type == "cgroup2") {
    EXPECT_EQ(code({{}, "/no/such/cgroup"}, Nobody()), StatusCode::kNotFound);
  }
}

TEST(CgroupTrustTest, DoesNotTakeAMountFromOverADirectoryForTheHierarchy) {
  auto mounts = OwnMounts().Current();
  ASSERT_TRUE(mounts.ok());
  MountTable forged = **mounts;
  forged.cgroups = {Mount{.id = 1, .root = "/", .mount_point = "/tmp", .fs_type = "cgroup2", .super_options = "rw"}};
  forged.cgroup_tree = CgroupTree::Find(forged.cgroups);
  EXPECT_EQ(CheckCgroupTrust({{}, "/"}, Nobody(), forged).status().code(), StatusCode::kFailedPrecondition);
  forged.cgroups = (*mounts)->cgroups;
  for (Mount& mount : forged.cgroups) mount.root = "/docker/abc";  // only a part of it is seen here
  forged.cgroup_tree = CgroupTree::Find(forged.cgroups);
  EXPECT_EQ(CheckCgroupTrust({{}, "/docker/abc/x"}, Nobody(), forged).status().code(), StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace lanyard
