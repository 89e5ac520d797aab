// What every attestor starts from: one caller, what is wanted, and what /proc says about it, each text read once.
//
// All reads go through a descriptor of /proc/PID. Such a descriptor stays with the process it was opened for: after its
// exit reads fail, and a reused pid is never read by mistake. Nothing here touches the file system that the executable
// lies on (the caller may own it, and it may hang): the link is read, and attributes are asked for with
// AT_STATX_DONT_SYNC.
//
// Lifetime: shared. Thread: loop; a ProcDir may go anywhere.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "attestors/container_locator.h"
#include "attestors/wanted_kinds.h"
#include "node_agent/base/fd.h"
#include "node_agent/base/process.h"
#include "node_agent/base/procfs.h"
#include "node_agent/base/status.h"

namespace lanyard {

// A directory /proc/PID, held open.
class ProcDir {
 public:
  // NotFound when there is no such process.
  static Result<ProcDir> Open(pid_t pid);

  // A text that the kernel makes in one piece (status, stat, cgroup, loginuid), not one of many records like mountinfo.
  // NotFound once the process is gone.
  Result<std::string> Read(const char* name, size_t max_bytes) const;
  Result<std::string> ReadLink(const char* name) const;
  // Opens the file behind a link like "exe". May block on the caller's file system: pool only.
  Result<UniqueFd> OpenFile(const char* name) const;
  pid_t pid() const { return pid_; }
  int fd() const { return fd_.get(); }

 private:
  ProcDir(pid_t pid, UniqueFd fd) : pid_(pid), fd_(std::move(fd)) {}

  pid_t pid_;
  UniqueFd fd_;
};

// A file's identity and version, as far as the kernel knows it without asking the file system's server.
struct FileVersion {
  uint32_t device_major = 0;  // 0: an anonymous device (tmpfs, overlayfs, btrfs, NFS, FUSE, …)
  uint32_t device_minor = 0;
  uint64_t inode = 0;
  uint64_t size = 0;
  int64_t mtime_ns = 0;
  int64_t ctime_ns = 0;
  uint64_t mount = 0;  // which mount it was reached by; never reused on kernels since 6.8

  friend bool operator==(const FileVersion&, const FileVersion&) = default;
  bool SameFile(const FileVersion& other) const {
    return device_major == other.device_major && device_minor == other.device_minor && inode == other.inode;
  }
};

// The version of `name` in `directory`, following links; `flags` as for statx(2): AT_STATX_DONT_SYNC never waits for a
// file system's server, AT_EMPTY_PATH asks about the descriptor itself.
Result<FileVersion> StatFile(int directory, const char* name, int flags);

// What the links below /proc/PID say about the program that runs.
struct Executable {
  std::string
      link;  // text of /proc/PID/exe; a path only under the conditions of PathInOwnNamespace (executable_path.h)
  FileVersion file;
  std::shared_ptr<const UniqueFd> held;  // the file, without having opened it: as long as it is there, so is its mount
  uint64_t mount_id = 0;                 // as in mountinfo; used again once the mount is gone
  uint64_t mount_namespace = 0;          // the process's, by inode number
};

// NotFound for a kernel thread or a process whose main thread has ended; PermissionDenied without the right to look, or
// for a FUSE file system that shuts us out.
Result<Executable> ReadExecutable(const ProcDir& process);

// What attestors ask about is read when the first of them asks, once for all. What nobody asks about is not read.
class Subject {
 public:
  // Opens /proc/PID and reads the status. Unavailable when the process is gone. `wanted` is never null.
  static Result<std::shared_ptr<const Subject>> Read(const PeerProcess& peer, WantedKindsPtr wanted);

  Subject(PeerProcess peer, WantedKindsPtr wanted, std::shared_ptr<const ProcDir> proc, ProcStatus status)
      : peer_(std::move(peer)), wanted_(std::move(wanted)), proc_(std::move(proc)), status_(std::move(status)) {}

  const PeerProcess& peer() const { return peer_; }
  const WantedKinds& wanted() const { return *wanted_; }
  const ProcStatus& status() const { return status_; }
  // For anything else below /proc/PID. The descriptor may go to the pool; the rest is for the loop thread.
  const std::shared_ptr<const ProcDir>& proc() const {
    only_status_ = false;
    return proc_;
  }
  const Result<std::vector<CgroupMembership>>& cgroups() const;
  const Result<Executable>& executable() const;
  // Where FindContainer (container_finder.h) keeps what it found.
  std::optional<Result<ContainerName>>& container() const { return container_; }

  // The ids in /proc are still those of the connection: PermissionDenied otherwise.
  Status CheckIds() const;
  // Whatever was read was so at one moment: Unavailable when the process has exited since, or (where more than one
  // look was taken) changed its ids, executable or cgroups in between.
  Status CheckUnchanged() const;

 private:
  const PeerProcess peer_;
  const WantedKindsPtr wanted_;
  const std::shared_ptr<const ProcDir> proc_;
  const ProcStatus status_;
  mutable bool only_status_ = true;
  mutable std::optional<Result<std::vector<CgroupMembership>>> cgroups_;
  mutable std::optional<Result<Executable>> executable_;
  mutable std::optional<Result<ContainerName>> container_;
};

}  // namespace lanyard
