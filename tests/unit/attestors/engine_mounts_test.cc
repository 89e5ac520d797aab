#include "attestors/engine_mounts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <filesystem>

#include "tests/support/temp_dir.h"
#include "tests/unit/attestors/test_process.h"

namespace lanyard {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class EngineMountsTest : public testing::Test {
 protected:
  StatusCode Check(const std::string& mounted) const {
    return CheckFor(socket_, {directory_.path() + "/elsewhere", mounted}).code();
  }

  static Status CheckFor(const std::string& socket, const std::vector<std::string>& mounted) {
    return CheckMountsDoNotReach({&socket, 1}, mounted);
  }

  TempDir directory_;
  const std::string run_ = directory_.MakeDir("run/containerd");
  const std::string elsewhere_ = directory_.MakeDir("elsewhere");
  const std::string socket_ = directory_.Write("run/containerd/containerd.sock", "");
};

TEST_F(EngineMountsTest, AMountOfTheSocketOrOfADirectoryAboveItReachesIt) {
  EXPECT_EQ(Check(socket_), StatusCode::kPermissionDenied);
  EXPECT_EQ(Check(run_), StatusCode::kPermissionDenied);
  EXPECT_EQ(Check(directory_.Path("run")), StatusCode::kPermissionDenied);
  EXPECT_EQ(Check("/"), StatusCode::kPermissionDenied);
  EXPECT_THAT(Message(CheckFor(socket_, {run_})),
              AllOf(HasSubstr(run_ + " of the node"), HasSubstr("run it without that mount")));
}

TEST_F(EngineMountsTest, OtherMountsDoNotReachIt) {
  EXPECT_EQ(Check(elsewhere_), StatusCode::kOk);
  EXPECT_EQ(Check(directory_.Write("run/containerd/other.sock", "")), StatusCode::kOk);
  EXPECT_EQ(Check(directory_.Path("removed since")), StatusCode::kOk);
  EXPECT_EQ(Check(""), StatusCode::kOk);
}

TEST_F(EngineMountsTest, SymbolicLinksAndDotsHideNothing) {
  EXPECT_EQ(Check(directory_.Link(run_, "link")), StatusCode::kPermissionDenied);
  EXPECT_EQ(Check(directory_.Link("link/containerd.sock", "link to it")), StatusCode::kPermissionDenied);
  EXPECT_EQ(Check(elsewhere_ + "/../run"), StatusCode::kPermissionDenied);
  const std::string link = directory_.Link(socket_, "socket");
  EXPECT_EQ(CheckFor(link, {run_}).code(), StatusCode::kPermissionDenied);
}

TEST_F(EngineMountsTest, AHardLinkAndABindMountHideNothing) {
  std::filesystem::create_hard_link(socket_, elsewhere_ + "/hard");
  EXPECT_EQ(Check(elsewhere_ + "/hard"), StatusCode::kPermissionDenied);
  LANYARD_NEEDS_ROOT();
  const std::string bound = directory_.MakeDir("bound");
  if (mount(run_.c_str(), bound.c_str(), nullptr, MS_BIND, nullptr) != 0) GTEST_SKIP() << "may not mount";
  EXPECT_EQ(Check(bound), StatusCode::kPermissionDenied);
  umount(bound.c_str());
}

TEST_F(EngineMountsTest, WhatCannotBeLookedAtIsAnError) {
  std::filesystem::create_symlink("loop", directory_.Path("loop"));
  EXPECT_EQ(Check(directory_.Path("loop")), StatusCode::kUnavailable);
}

TEST_F(EngineMountsTest, ASocketThatIsNotThereYetIsReachedByItsDirectory) {
  const std::string socket = directory_.Path("run/podman/podman.sock");
  EXPECT_EQ(CheckFor(socket, {elsewhere_}).code(), StatusCode::kOk);
  EXPECT_EQ(CheckFor(socket, {directory_.Path("run")}).code(), StatusCode::kPermissionDenied);
}

}  // namespace
}  // namespace lanyard
