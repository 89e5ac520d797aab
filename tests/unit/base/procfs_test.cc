#include "node_agent/base/procfs.h"

#include <gtest/gtest.h>

#include <random>

namespace lanyard {
namespace {

// cat /proc/PID/status on Linux 6.1, shortened
constexpr std::string_view kStatus =
    "Name:\tsleep\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t41\nNgid:\t0\nPid:\t41\nPPid:\t40\nTracerPid:\t7\n"
    "Uid:\t1000\t1001\t1002\t1003\nGid:\t100\t101\t102\t103\nFDSize:\t256\nGroups:\t4 24 27 \nNStgid:\t41\n"
    "VmPeak:\t  5472 kB\nNoNewPrivs:\t1\nSeccomp:\t0\n";
// cat /proc/PID/stat of a program that calls itself "a) R 1 (b"
constexpr std::string_view kStat =
    "41 (a) R 1 (b) S 40 41 41 34819 41 4194560 120 0 0 0 0 0 0 0 20 0 1 0 98765 5603328 240 18446744073709551615 1 "
    "1\n";

std::string Replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string copy(text);
  copy.replace(copy.find(from), from.size(), to);
  return copy;
}

TEST(ProcStatusTest, ReadsIdsGroupsAndFlags) {
  const Result<ProcStatus> status = ParseProcStatus(kStatus);
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_EQ(status->uid, (ProcStatus::Ids{1000, 1001, 1002, 1003}));
  EXPECT_EQ(status->gid.effective, 101u);
  EXPECT_EQ(status->groups, (std::vector<uint32_t>{4, 24, 27}));
  EXPECT_EQ(status->parent, 40);
  EXPECT_EQ(status->tracer, 7);
  EXPECT_TRUE(status->no_new_privs);
}

TEST(ProcStatusTest, RefusesASecondUidLine) {
  EXPECT_FALSE(ParseProcStatus(std::string(kStatus) + "Uid:\t0\t0\t0\t0\n").ok());
}

TEST(ProcStatusTest, RefusesMissingAndMalformedLines) {
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{{"Uid:\t1000\t1001\t1002\t1003\n", ""},
                                                                                 {"Groups:\t4 24 27 \n", ""},
                                                                                 {"Groups:\t4 24 27 \n", "Groups\n"},
                                                                                 {"NoNewPrivs:\t1\n", ""},
                                                                                 {"1003", "-1"},
                                                                                 {"1003", "4294967296"},
                                                                                 {"\t1003", ""},
                                                                                 {"1003", "1003\t5"},
                                                                                 {"4 24", "4 x"},
                                                                                 {"NoNewPrivs:\t1", "NoNewPrivs:\t2"},
                                                                                 {"PPid:\t40", "PPid:\t"},
                                                                                 {"PPid:\t40", "PPid:\t4294967295"}}) {
    EXPECT_FALSE(ParseProcStatus(Replaced(kStatus, from, to)).ok()) << from << " -> " << to;
  }
  EXPECT_FALSE(ParseProcStatus("").ok());
}

TEST(ProcStatTest, IsNotFooledByACommandNameThatLooksLikeFields) {
  const Result<ProcStat> stat = ParseProcStat(kStat);
  ASSERT_TRUE(stat.ok()) << stat.status();
  EXPECT_EQ(stat->parent, 40);
  EXPECT_EQ(TtyName(stat->tty), "pts/3");
  EXPECT_FALSE(stat->kernel_thread);
  EXPECT_EQ(stat->start_time, 98765u);
}

TEST(ProcStatTest, RefusesShortAndMalformedTexts) {
  for (std::string_view text :
       {"", "41", "41 (a", "41 (a) S 40", "41 (a) S x 41 41 0 41 0 1 0 0 0 0 0 0 0 20 0 1 0 98765"}) {
    EXPECT_FALSE(ParseProcStat(text).ok()) << text;
  }
}

TEST(CgroupsTest, TakesNoListOfCommasForTheV2Hierarchy) {
  EXPECT_FALSE(ParseCgroups("3:,:/a\n").ok());
}

// A process names itself: prctl(PR_SET_NAME).
TEST(ProcStatTest, ReadsField22WhateverTheNameOfTheProcess) {
  for (const std::string_view name :
       {"", ")", "(", "a b", "a) R 1 (b", ") R 1 1 1 1 1", "))))", "a\nb", "a)\n1 (b) S", " ", "\xff\xfe"}) {
    std::string text = fmt::format("4121 ({}) R", name);
    for (int field = 4; field <= 52; ++field) text += fmt::format(" {}", field);
    const auto stat = ParseProcStat(text + "\n");
    ASSERT_TRUE(stat.ok()) << name << ": " << stat.status();
    EXPECT_EQ(stat->start_time, 22u) << name;
  }
}

TEST(ProcStatTest, TakesNoNewlineForTheEndOfAField) {
  const auto stat = ParseProcStat("1 (a) R 4 5 6\n7 8 2097152 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24\n");
  EXPECT_TRUE(!stat.ok() || stat->start_time == 23u);
}

TEST(TtyNameTest, NamesTheUsualDrivers) {
  EXPECT_EQ(TtyName(0), "none");
  EXPECT_EQ(TtyName(0x0401), "tty1");
  EXPECT_EQ(TtyName(0x0440), "ttyS0");
  EXPECT_EQ(TtyName(0x0501), "console");
  EXPECT_EQ(TtyName(0x8800), "pts/0");
  EXPECT_EQ(TtyName(0x108801), "pts/257");  // minor 257: bits 8 and up go to bit 20 and up
  EXPECT_EQ(TtyName(0xcc40), "204:64");
}

TEST(CgroupsTest, ReadsV2AndCoMountedControllers) {
  const auto cgroups = ParseCgroups("4:cpu,cpuacct:/a b\n1:name=systemd:/user.slice\n0::/x:y\n");
  ASSERT_TRUE(cgroups.ok()) << cgroups.status();
  ASSERT_EQ(cgroups->size(), 3u);
  EXPECT_EQ((*cgroups)[0].controllers, (std::vector<std::string>{"cpu", "cpuacct"}));
  EXPECT_EQ((*cgroups)[0].path, "/a b");
  EXPECT_TRUE((*cgroups)[2].v2());
  EXPECT_EQ((*cgroups)[2].path, "/x:y");
}

TEST(CgroupsTest, RefusesLinesThatTheKernelDoesNotWrite) {
  for (std::string_view text :
       {"0::", "0::a\n", "x::/a\n", "0:cpu:/a\n", "3::/a\n", "0::/a\n0::/b\n", "1:cpu:/a\n2:cpu:/b\n", "\n", "0:/a\n",
        "1:cpu,cpu:/a\n", "1:cpu,:/a\n", "1:,cpu:/a\n", "00::/a\n"}) {
    EXPECT_FALSE(ParseCgroups(text).ok()) << text;
  }
}

TEST(MountInfoTest, DecodesNamesAndFindsFieldsPastTheOptionalOnes) {
  const auto mounts = ParseMountInfo(
      "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 shared:5 - ext3 /dev/root rw,errors=continue\n"
      "41 31 0:38 / /sys/fs/cgroup rw - cgroup2  rw,nsdelegate\n");
  ASSERT_TRUE(mounts.ok()) << mounts.status();
  EXPECT_EQ((*mounts)[0].mount_point, "/mnt 2");
  EXPECT_EQ((*mounts)[0].fs_type, "ext3");
  EXPECT_EQ((*mounts)[0].super_options, "rw,errors=continue");
  EXPECT_EQ((*mounts)[1].fs_type, "cgroup2");
  EXPECT_TRUE(HasMountOption((*mounts)[1].super_options, "nsdelegate"));
  EXPECT_FALSE(HasMountOption((*mounts)[1].super_options, "nsdel"));
}

TEST(MountInfoTest, RefusesMalformedLines) {
  for (std::string_view text :
       {"\n", "36 35 98:0 / /mnt rw ext3 a b\n", "x 35 98:0 / /mnt rw - ext3 a b\n",
        "36 35 98:0 / /m\\04 rw - ext3 a b\n", "36 35 98:0 / /m\\999 rw - ext3 a b\n", "36 35 - ext3 a b\n"}) {
    EXPECT_FALSE(ParseMountInfo(text).ok()) << text;
  }
}

TEST(NamespaceLinkTest, TakesTheNumberOfItsOwnKindOnly) {
  EXPECT_EQ(*ParseNamespaceLink("mnt", "mnt:[4026531841]"), 4026531841u);
  for (std::string_view link : {"net:[1]", "mnt:[]", "mnt:[-1]", "mnt:[1", "mnt:1", "xmnt:[1]", ""}) {
    EXPECT_FALSE(ParseNamespaceLink("mnt", link).ok()) << link;
  }
}

TEST(LoginUidTest, ReadsOneNumber) {
  EXPECT_EQ(*ParseLoginUid("1000"), 1000u);
  EXPECT_EQ(*ParseLoginUid("4294967295\n"), 4294967295u);
  EXPECT_FALSE(ParseLoginUid("-1").ok());
  EXPECT_FALSE(ParseLoginUid("").ok());
}

TEST(ProcfsTest, SurvivesDamagedTexts) {
  std::mt19937 random(7);
  const std::string texts[] = {std::string(kStatus), std::string(kStat), "4:cpu:/a\n0::/x\n",
                               "36 35 98:0 / /m\\0402 rw s:1 - ext3 a b\n"};
  for (int round = 0; round < 20000; ++round) {
    std::string text = texts[round % 4];
    for (int change = 0; change < 3; ++change) {
      const size_t at = random() % text.size();
      if (random() % 3 == 0) {
        text.erase(at, random() % 5);
      } else {
        text[at] = static_cast<char>(random());
      }
      if (text.empty()) text = " ";
    }
    IGNORE_ERROR(ParseProcStatus(text), "only that it returns");
    IGNORE_ERROR(ParseProcStat(text), "only that it returns");
    IGNORE_ERROR(ParseCgroups(text), "only that it returns");
    IGNORE_ERROR(ParseMountInfo(text), "only that it returns");
  }
}

}  // namespace
}  // namespace lanyard
