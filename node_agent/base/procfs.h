// The kernel's texts about processes and mounts, parsed: pure functions, strict, for any bytes.
//
// A text that is not what proc(5) and cgroups(7) describe is an error (Internal) and never half an answer: who can put
// a newline or a space into a field must not be able to add one.
//
// Thread: any.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "node_agent/base/status.h"

namespace lanyard {

// The lines of /proc/PID/status that matter here, ids in the reader's user namespace.
struct ProcStatus {
  struct Ids {
    uint32_t real = 0, effective = 0, saved = 0, file_system = 0;
    friend bool operator==(const Ids&, const Ids&) = default;
  };
  Ids uid;
  Ids gid;
  std::vector<uint32_t> groups;
  pid_t parent = 0;
  pid_t tracer = 0;  // 0: nobody
  bool no_new_privs = false;
};
Result<ProcStatus> ParseProcStatus(std::string_view text);

// The fields of /proc/PID/stat that matter here.
struct ProcStat {
  pid_t parent = 0;  // 0: none in this pid namespace
  uint32_t tty = 0;  // device number of the controlling terminal; 0: none
  bool kernel_thread = false;
  uint64_t start_time = 0;  // clock ticks since boot
};
Result<ProcStat> ParseProcStat(std::string_view text);

// "pts/3", "tty1", "ttyS0", "console"; "<major>:<minor>" for other drivers; "none" for 0.
std::string TtyName(uint32_t device);

// One line of /proc/PID/cgroup, cgroups(7): "hierarchy-ID:controller-list:cgroup-path".
struct CgroupMembership {
  std::vector<std::string> controllers;  // empty: the v2 hierarchy; "name=systemd" for a named one
  std::string path;                      // starts with '/'; "/.." when it lies outside our cgroup namespace

  bool v2() const { return controllers.empty(); }
  friend bool operator==(const CgroupMembership&, const CgroupMembership&) = default;
};
Result<std::vector<CgroupMembership>> ParseCgroups(std::string_view text);

// One line of /proc/PID/mountinfo, with \040 and the like decoded.
struct Mount {
  uint64_t id = 0;
  std::string root;         // which directory of the file system is mounted
  std::string mount_point;  // from the reader's root
  std::string fs_type;
  std::string super_options;  // comma-separated
};
Result<std::vector<Mount>> ParseMountInfo(std::string_view text);

// True when the comma-separated `options` hold exactly `option`.
bool HasMountOption(std::string_view options, std::string_view option);

// The number in a namespace link: "mnt:[4026531841]" with `kind` "mnt".
Result<uint64_t> ParseNamespaceLink(std::string_view kind, std::string_view link);

// The text of /proc/PID/loginuid; 4294967295 means that none was set.
Result<uint32_t> ParseLoginUid(std::string_view text);

}  // namespace lanyard
