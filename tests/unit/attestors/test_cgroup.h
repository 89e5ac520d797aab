// Real cgroups for tests, in whichever hierarchy the machine has.
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "node_agent/base/mounts.h"
#include "tests/unit/attestors/test_process.h"

namespace lanyard {

// A cgroup made for one test, removed again with everything below it.
enum class Hierarchy { kV1, kV2 };

class TestCgroup {
 public:
  explicit TestCgroup(const std::string& name, Hierarchy hierarchy) {
    Result<std::shared_ptr<const MountTable>> mounts = OwnMounts().Current();
    if (!mounts.ok()) return;
    for (const Mount& mount : (*mounts)->cgroups) {
      const bool usable = hierarchy == Hierarchy::kV2
                              ? mount.fs_type == "cgroup2"
                              : mount.fs_type == "cgroup" && HasMountOption(mount.super_options, "pids");
      if (!usable || mount.root != "/") continue;
      path_ = "/" + name;
      directory_ = mount.mount_point + path_;
      if (mkdir(directory_.c_str(), 0755) != 0) continue;
      made_ = true;
      prefix_ = mount.fs_type == "cgroup2" ? "process:cgroup:" : "process:cgroup:pids:";
      v2_ = mount.fs_type == "cgroup2";
      return;
    }
  }
  ~TestCgroup() {
    for (auto below = below_.rbegin(); below != below_.rend(); ++below) rmdir(below->c_str());
    if (made_) TestProcess::WaitFor([&] { return rmdir(directory_.c_str()) == 0 || errno == ENOENT; });
  }
  bool made() const { return made_; }
  bool v2() const { return v2_; }
  std::string selector(const std::string& below = "") const { return prefix_ + path_ + below; }
  std::string path(const std::string& below = "") const { return path_ + below; }
  std::string directory(const std::string& below = "") const { return directory_ + below; }
  void Make(const std::string& below) {
    mkdir(directory(below).c_str(), 0755);
    below_.push_back(directory(below));
  }
  void Put(pid_t pid, const std::string& below = "") const {
    std::ofstream(directory(below) + "/cgroup.procs") << pid << std::flush;
  }
  void Give(uid_t uid, const std::string& file = "") const {
    ASSERT_EQ(chown((directory_ + file).c_str(), uid, uid), 0);
  }

 private:
  std::string path_, directory_, prefix_;
  bool made_ = false, v2_ = false;
  std::vector<std::string> below_;
};

#define LANYARD_NEEDS_CGROUP(cgroup) \
  if (!(cgroup).made()) GTEST_SKIP() << "needs a cgroup hierarchy in which cgroups can be made"

}  // namespace lanyard
