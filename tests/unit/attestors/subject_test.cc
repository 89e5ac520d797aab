// What /proc says of a caller's executable, and the mounts under it.
#include "attestors/subject.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include "tests/unit/attestors/test_process.h"

namespace lanyard {
namespace {

Result<Executable> ExecutableOf(const TestProcess& process) {
  ASSIGN_OR_RETURN(const ProcDir proc, ProcDir::Open(process.pid()));
  return ReadExecutable(proc);
}

// Numbers of mounts are used again at once. A table of mounts that is read after the executable is about the mount that
// the executable is on.
TEST(SubjectTest, WhileAnExecutableIsLookedAtNoOtherMountGetsTheIdOfItsMount) {
  LANYARD_NEEDS_ROOT();
  TestDirectory directory;
  const std::string first = directory.File("first"), second = directory.File("second");
  for (const std::string& name : {first, second}) ASSERT_EQ(mkdir(name.c_str(), 0755), 0);
  if (mount("tmpfs", first.c_str(), "tmpfs", 0, "mode=0755") != 0) GTEST_SKIP() << "may not mount";
  std::unique_ptr<TestProcess> process(TestProcess::Execute(directory.CopyOfSleep("first/agent"), 0));
  const Result<Executable> executable = ExecutableOf(*process);
  process->Stop();
  ASSERT_EQ(umount2(first.c_str(), MNT_DETACH), 0);
  ASSERT_TRUE(executable.ok()) << executable.status();
  ASSERT_EQ(mount("tmpfs", second.c_str(), "tmpfs", 0, nullptr), 0);
  struct statx info {};
  EXPECT_EQ(statx(AT_FDCWD, second.c_str(), 0, STATX_MNT_ID, &info), 0);
  umount2(second.c_str(), MNT_DETACH);
  EXPECT_NE(info.stx_mnt_id, executable->mount_id);
}

TEST(SubjectTest, ACallerThatExecutedTheSameFileOnAnotherMountHasChanged) {
  LANYARD_NEEDS_ROOT();
  TestDirectory directory;
  const std::string shell = directory.File("sh");
  std::filesystem::copy_file(std::filesystem::canonical("/bin/sh"), shell);
  int input[2];
  ASSERT_EQ(pipe2(input, O_CLOEXEC), 0);
  const UniqueFd reading(input[0]), writing(input[1]);
  TestProcess process([&] { dup2(reading.get(), STDIN_FILENO); },
                      [&] {
                        const char* script = "read go; exec \"$0\" -c 'read go'";
                        execl(shell.c_str(), "sh", "-c", script, shell.c_str(), static_cast<char*>(nullptr));
                        _exit(73);
                      });
  process.Continue();
  ASSERT_TRUE(process.WaitForExecutable(shell));
  const auto subject = Subject::Read(process.Peer(0), WantedKinds::All());
  ASSERT_TRUE(subject.ok() && (*subject)->executable().ok());
  const Executable& before = *(*subject)->executable();
  EXPECT_TRUE((*subject)->CheckUnchanged().ok());
  if (mount(shell.c_str(), shell.c_str(), nullptr, MS_BIND, nullptr) != 0) GTEST_SKIP() << "may not mount";
  const bool executed = write(writing.get(), "go\n", 3) == 3 && TestProcess::WaitFor([&] {
                          const Result<Executable> now = ExecutableOf(process);
                          return now.ok() && now->mount_id != before.mount_id;
                        });
  const Result<Executable> after = ExecutableOf(process);
  const Status unchanged = (*subject)->CheckUnchanged();
  umount2(shell.c_str(), MNT_DETACH);
  ASSERT_TRUE(executed && after.ok());
  EXPECT_TRUE(after->link == before.link && after->file.SameFile(before.file)) << "nothing else tells them apart";
  EXPECT_EQ(unchanged.code(), StatusCode::kUnavailable) << unchanged;
}

}  // namespace
}  // namespace lanyard
