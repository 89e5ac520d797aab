#include "attestors/unix_attestor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include <future>
#include <optional>

#include "attestors/attestation.h"
#include "tests/support/fake_clock.h"
#include "tests/support/loop_driver.h"
#include "tests/unit/attestors/test_process.h"

namespace lanyard {
namespace {

using namespace std::chrono_literals;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class UnixAttestorTest : public testing::Test {
 protected:
  std::unique_ptr<Attestation> Begin(const PeerProcess& peer) {
    return set_.Attest(peer, clock_.MonoNow() + 1s, [this](Result<Findings> result) { result_ = std::move(result); });
  }
  // What was found, as texts.
  std::vector<std::string> Attest(const PeerProcess& peer) {
    result_.reset();
    auto attestation = Begin(peer);
    EXPECT_TRUE(RunUntil(loop_, [&] { return result_.has_value(); }));
    EXPECT_TRUE(result_ && result_->ok()) << result_->status();
    if (result_ && result_->ok()) {
      EXPECT_TRUE((*result_)->gaps.empty()) << (*result_)->gaps[0].prefix << (*result_)->gaps[0].why;
    }
    return Texts();
  }
  std::vector<std::string> Texts() const {
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

  EventLoop loop_;
  FakeClock clock_;
  HostTools tools_{loop_, clock_};
  AttestorSet set_{loop_, clock_, One(MakeUnixAttestor({}, tools_))};
  std::optional<Result<Findings>> result_;
  TestDirectory directory_;
};

TEST_F(UnixAttestorTest, GivesIdsNamesPathAndHash) {
  LANYARD_NEEDS_ROOT();
  const std::string path = directory_.CopyOfSleep("agent");
  std::unique_ptr<TestProcess> process(TestProcess::Execute(path, 0));
  const auto found = Attest(process->Peer(0));
  for (const std::string& wanted :
       {std::string("unix:uid:0"), std::string("unix:user:root"), std::string("unix:gid:0"),
        std::string("unix:group:root"), "unix:path:" + path, "unix:sha256:" + Sha256Sum(path)}) {
    EXPECT_THAT(found, Contains(wanted));
  }
}

TEST_F(UnixAttestorTest, AUidWithoutANameHasNoUserSelector) {
  LANYARD_NEEDS_ROOT();
  std::unique_ptr<TestProcess> process(TestProcess::Execute(directory_.CopyOfSleep("agent"), kNobody));
  const auto found = Attest(process->Peer(kNobody));
  EXPECT_THAT(found, Contains("unix:uid:12345"));
  EXPECT_THAT(found, Contains("unix:gid:12345"));
  EXPECT_THAT(found, Not(Contains(StartsWith("unix:user:"))));
  EXPECT_THAT(found, Not(Contains(StartsWith("unix:group:"))));
  EXPECT_THAT(found, Not(Contains(StartsWith("unix:supplementary"))));
}

TEST_F(UnixAttestorTest, GivesSupplementaryGroups) {
  LANYARD_NEEDS_ROOT();
  TestProcess process([] {
    const gid_t groups[] = {0, 54321};
    if (setgroups(2, groups) != 0) _exit(71);
  });
  const auto found = Attest(process.Peer(0));
  EXPECT_THAT(found, Contains("unix:supplementary_gid:0"));
  EXPECT_THAT(found, Contains("unix:supplementary_gid:54321"));
  EXPECT_THAT(found, Contains("unix:supplementary_group:root"));
}

TEST_F(UnixAttestorTest, NamesOfSupplementaryGroupsAreLookedUpOnlyWhereTheyAreWanted) {
  LANYARD_NEEDS_ROOT();
  TestProcess process([] {
    const gid_t groups[] = {0, 54321};
    if (setgroups(2, groups) != 0) _exit(71);
  });
  auto wanted = std::make_shared<WantedKinds>();
  wanted->Add({"unix", "supplementary_gid:0"});
  auto attestation = set_.Attest(process.Peer(0), clock_.MonoNow() + 1s,
                                 [this](Result<Findings> r) { result_ = std::move(r); }, {.wanted = wanted});
  ASSERT_TRUE(RunUntil(loop_, [&] { return result_.has_value(); }));
  EXPECT_THAT(Texts(), Contains("unix:supplementary_gid:54321"));
  EXPECT_THAT(Texts(), Not(Contains(StartsWith("unix:supplementary_group:"))));
  EXPECT_FALSE(tools_.names.Cached(NameKind::kGroup, {54321}).has_value());
}

TEST_F(UnixAttestorTest, ThousandsOfGroupsAreAGapAndNotABurden) {
  LANYARD_NEEDS_ROOT();
  std::vector<gid_t> groups;
  for (gid_t gid = 100000; gid < 102000; ++gid) groups.push_back(gid);
  TestProcess process([&] {
    if (setgroups(groups.size(), groups.data()) != 0) _exit(71);
  });
  auto attestation = Begin(process.Peer(0));
  ASSERT_TRUE(RunUntil(loop_, [&] { return result_.has_value(); }));
  ASSERT_TRUE(result_->ok()) << result_->status();
  ASSERT_EQ((*result_)->gaps.size(), 2u);
  EXPECT_EQ((*result_)->gaps[0].prefix, "unix:supplementary_gid");
  EXPECT_EQ((*result_)->gaps[1].prefix, "unix:supplementary_group");
}

TEST_F(UnixAttestorTest, ADeletedProgramHasAHashAndNoPath) {
  const std::string path = directory_.CopyOfSleep("agent");
  const std::string sha256 = Sha256Sum(path);
  std::unique_ptr<TestProcess> process(TestProcess::Execute(path, 0));
  std::filesystem::remove(path);
  const auto found = Attest(process->Peer(geteuid()));
  EXPECT_THAT(found, Not(Contains(StartsWith("unix:path:"))));
  EXPECT_THAT(found, Contains("unix:sha256:" + sha256));
}

TEST_F(UnixAttestorTest, APathWithANewlineGivesNoPath) {
  const std::string path = directory_.CopyOfSleep("agent\nunix:uid:0");
  std::unique_ptr<TestProcess> process(TestProcess::Execute(path, 0));
  EXPECT_THAT(Attest(process->Peer(geteuid())), Not(Contains(StartsWith("unix:path:"))));
}

TEST_F(UnixAttestorTest, APathThatIsNotUtf8GivesNoPath) {
  const std::string path = directory_.CopyOfSleep("agent\xff");
  std::unique_ptr<TestProcess> process(TestProcess::Execute(path, 0));
  EXPECT_THAT(Attest(process->Peer(geteuid())), Not(Contains(StartsWith("unix:path:"))));
}

TEST_F(UnixAttestorTest, AHashThatHangsIsAGapAtTheDeadlineAndTheRestIsThere) {
  std::promise<void> release;
  std::shared_future<void> gate = release.get_future().share();
  std::vector<std::unique_ptr<BlockingJobs::Ticket>> hanging;  // as two reads from the caller's own dead file system
  for (int i = 0; i < 2; ++i)
    hanging.push_back(tools_.jobs.Submit(
        geteuid(), [gate] { gate.wait(); }, [] {}));
  std::unique_ptr<TestProcess> process(TestProcess::Execute(directory_.CopyOfSleep("agent"), 0));
  auto attestation = Begin(process->Peer(geteuid()));
  ASSERT_TRUE(RunUntil(loop_, [&] { return tools_.names.Cached(NameKind::kGroup, {getegid()}).has_value(); }));
  loop_.RunOnce(0);
  EXPECT_FALSE(result_);
  clock_.Advance(1s);
  release.set_value();
  ASSERT_TRUE(result_ && result_->ok());
  ASSERT_EQ((*result_)->gaps.size(), 1u);
  EXPECT_EQ((*result_)->gaps[0].prefix, "unix:sha256");
  EXPECT_EQ((*result_)->gaps[0].why.code(), StatusCode::kDeadlineExceeded);
  EXPECT_THAT(Texts(), Contains("unix:uid:" + std::to_string(geteuid())));
  EXPECT_THAT(Texts(), Contains(StartsWith("unix:path:")));
}

// In the child, as uid kNobody: a user and mount namespace of its own, in which `fake` lies at `genuine`.
void EnterForgedNamespace(const std::string& fake, const std::string& genuine) {
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) _exit(81);
  const char map[] = "0 12345 1";
  const int fd = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, map, sizeof map - 1) < 0) _exit(82);
  close(fd);
  if (mount(fake.c_str(), genuine.c_str(), nullptr, MS_BIND, nullptr) != 0) _exit(83);
}

// setuid() made the child undumpable, so that /proc/self belongs to root; only for the map above.
void BecomeWithOwnProc() {
  Become(kNobody);
  prctl(PR_SET_DUMPABLE, 1);
}

TEST_F(UnixAttestorTest, ABindMountInANamespaceOfItsOwnForgesNoPath) {
  LANYARD_NEEDS_ROOT();
  const std::string genuine = directory_.CopyOfSleep("genuine");
  const std::string fake = directory_.CopyOfSleep("fake");
  std::ofstream(fake, std::ios::app) << "not the same bytes";
  TestProcess process(
      [&] {
        BecomeWithOwnProc();
        EnterForgedNamespace(fake, genuine);
      },
      [&] { TestProcess::ExecuteSleep(genuine); });
  if (!process.ready()) GTEST_SKIP() << "user namespaces are not allowed to users here";
  process.Continue();
  ASSERT_TRUE(process.WaitForExecutable(genuine));  // this is what the kernel says
  const auto found = Attest(process.Peer(kNobody));
  EXPECT_THAT(found, Not(Contains(StartsWith("unix:path:"))));
  EXPECT_THAT(found, Contains("unix:sha256:" + Sha256Sum(fake)));
}

// The harder one: the process stays in the node agent's own mount namespace and executes, through a descriptor that was
// passed to it, a file on a mount of the other namespace.
TEST_F(UnixAttestorTest, AFileOfAForeignNamespaceExecutedThroughADescriptorForgesNoPath) {
  LANYARD_NEEDS_ROOT();
  const std::string genuine = directory_.CopyOfSleep("genuine");
  const std::string fake = directory_.CopyOfSleep("fake");
  std::ofstream(fake, std::ios::app) << "not the same bytes";
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  char byte = 'f';
  iovec data{&byte, 1};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;

  TestProcess forger([&] {
    BecomeWithOwnProc();
    EnterForgedNamespace(fake, genuine);
    const int file = open(genuine.c_str(), O_PATH | O_CLOEXEC);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof file);
    memcpy(CMSG_DATA(header), &file, sizeof file);
    if (sendmsg(pair[0], &message, 0) != 1) _exit(84);
  });
  if (!forger.ready()) GTEST_SKIP() << "user namespaces are not allowed to users here";
  TestProcess process([] { Become(kNobody); },
                      [&] {
                        int file = -1;
                        if (recvmsg(pair[1], &message, MSG_CMSG_CLOEXEC) != 1) _exit(85);
                        memcpy(&file, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof file);
                        char name[] = "sleep", seconds[] = "600";
                        char* argv[] = {name, seconds, nullptr};
                        char* no_environment[] = {nullptr};
                        execveat(file, "", argv, no_environment, AT_EMPTY_PATH);
                        _exit(86);
                      });
  process.Continue();
  close(pair[0]);
  ASSERT_TRUE(process.WaitForExecutable(genuine));  // the kernel's word, in our own mount namespace
  close(pair[1]);
  const auto found = Attest(process.Peer(kNobody));
  EXPECT_THAT(found, Not(Contains(StartsWith("unix:path:"))));
  EXPECT_THAT(found, Contains("unix:sha256:" + Sha256Sum(fake)));
}

// An overlay may have a FUSE file system below it, which shows us other bytes than it showed to exec.
TEST_F(UnixAttestorTest, AnOverlayThatTheCallerMountedItselfHasNoHash) {
  LANYARD_NEEDS_ROOT();
  for (const char* name : {"lower", "empty", "merged"}) {
    ASSERT_EQ(mkdir(directory_.File(name).c_str(), 0755), 0);
  }
  directory_.CopyOfSleep("lower/agent");
  const std::string merged = directory_.File("merged"), program = merged + "/agent";
  const std::string options = "lowerdir=" + directory_.File("lower") + ":" + directory_.File("empty");
  TestProcess process(
      [&] {
        BecomeWithOwnProc();
        EnterForgedNamespace(directory_.File("lower"), directory_.File("lower"));
        if (mount("overlay", merged.c_str(), "overlay", MS_RDONLY, options.c_str()) != 0) _exit(87);
      },
      [&] { TestProcess::ExecuteSleep(program); });
  if (!process.ready()) GTEST_SKIP() << "users cannot mount overlays here";
  process.Continue();
  ASSERT_TRUE(process.WaitForExecutable(program));
  EXPECT_THAT(Attest(process.Peer(kNobody)), Not(Contains(StartsWith("unix:sha256:"))));
}

TEST_F(UnixAttestorTest, AnOverlayInANamespaceThatRootMadeHasAHash) {
  LANYARD_NEEDS_ROOT();
  for (const char* name : {"lower", "empty", "merged"}) {
    ASSERT_EQ(mkdir(directory_.File(name).c_str(), 0755), 0);
  }
  const std::string original = directory_.CopyOfSleep("lower/agent");
  const std::string merged = directory_.File("merged"), program = merged + "/agent";
  const std::string options = "lowerdir=" + directory_.File("lower") + ":" + directory_.File("empty");
  TestProcess process(
      [&] {  // as a container runtime does
        if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) _exit(88);
        if (mount("overlay", merged.c_str(), "overlay", MS_RDONLY, options.c_str()) != 0) _exit(87);
        Become(kNobody);
      },
      [&] { TestProcess::ExecuteSleep(program); });
  if (!process.ready()) GTEST_SKIP() << "overlays cannot be mounted here";
  process.Continue();
  ASSERT_TRUE(process.WaitForExecutable(program));
  const auto found = Attest(process.Peer(kNobody));
  EXPECT_THAT(found, Contains("unix:sha256:" + Sha256Sum(original)));
  EXPECT_THAT(found, Not(Contains(StartsWith("unix:path:"))));
}

TEST_F(UnixAttestorTest, WithoutTheExecutableOptionTouchesNoFile) {
  AttestorSet set(loop_, clock_, One(MakeUnixAttestor({.executable = false}, tools_)));
  TestProcess process([] {});
  auto attestation = set.Attest(process.Peer(geteuid()), clock_.MonoNow() + 1s,
                                [this](Result<Findings> r) { result_ = std::move(r); });
  ASSERT_TRUE(RunUntil(loop_, [&] { return result_.has_value(); }));
  EXPECT_THAT(Texts(), Not(Contains(StartsWith("unix:path:"))));
  EXPECT_THAT(Texts(), Not(Contains(StartsWith("unix:sha256:"))));
  EXPECT_EQ(tools_.hasher.files_hashed(), 0u);
}

}  // namespace
}  // namespace lanyard
