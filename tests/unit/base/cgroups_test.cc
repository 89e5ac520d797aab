#include "node_agent/base/cgroups.h"

#include <gtest/gtest.h>

namespace lanyard {
namespace {

TEST(CgroupsTest, OurOwnAreThoseThatTheKernelLists) {
  const Result<std::vector<CgroupMembership>> own = ReadCgroups(kOwnCgroups);
  ASSERT_TRUE(own.ok()) << own.status();
  EXPECT_FALSE(own->empty());
}

TEST(CgroupsTest, OfAProcessThatIsGoneAreAnErrorAndNotNone) {
  EXPECT_FALSE(ReadCgroups("/proc/2147483647/cgroup").ok());
}

TEST(CgroupsTest, ACgroupIsWithinItselfAndThoseAboveAndNotWithinOneWhoseNameItContinues) {
  EXPECT_TRUE(IsCgroupWithin("/a/b", "/a/b"));
  EXPECT_TRUE(IsCgroupWithin("/a/b", "/a"));
  EXPECT_FALSE(IsCgroupWithin("/a", "/a/b"));
  EXPECT_FALSE(IsCgroupWithin("/ab", "/a"));
}

}  // namespace
}  // namespace lanyard
