#include "attestors/subject.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <climits>

#include "node_agent/base/cgroups.h"
#include "node_agent/base/file.h"

namespace lanyard {
namespace {

constexpr size_t kMaxStatus = size_t{64} * 1024;  // leaves room for about 9,000 groups

#ifndef STATX_MNT_ID_UNIQUE
constexpr unsigned kMountIdUnique = 0x4000;  // linux/stat.h since 6.8
#else
constexpr unsigned kMountIdUnique = STATX_MNT_ID_UNIQUE;
#endif

Status Gone(pid_t pid) {
  return Error(StatusCode::kUnavailable, "caller with pid {} exited during attestation", pid);
}

int64_t Nanoseconds(const statx_timestamp& time) {
  return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

// An error of reading /proc is about this moment and not about the caller's rights: the answer is "try again".
Status Unavailable(const Status& status) {
  return Error(StatusCode::kUnavailable, "{}", Message(status));
}

Result<ProcStatus> ReadStatus(const ProcDir& proc) {
  ASSIGN_OR_RETURN(const std::string text, proc.Read("status", kMaxStatus));
  return ParseProcStatus(text);
}

Result<std::vector<CgroupMembership>> ReadCgroups(const ProcDir& proc) {
  ASSIGN_OR_RETURN(const std::string text, proc.Read("cgroup", kMaxCgroupText));
  return ParseCgroups(text);
}

}  // namespace

Result<ProcDir> ProcDir::Open(pid_t pid) {
  const std::string path = fmt::format("/proc/{}", pid);
  UniqueFd fd(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return ErrnoStatus(errno, fmt::format("open {}", path));
  return ProcDir(pid, std::move(fd));
}

Result<std::string> ProcDir::Read(const char* name, size_t max_bytes) const {
  const UniqueFd file(openat(fd_.get(), name, O_RDONLY | O_CLOEXEC));
  if (!file) return ErrnoStatus(errno, fmt::format("open /proc/{}/{}", pid_, name));
  // The kernel makes the whole text at the first read, which nearly always is the last one too.
  std::string text(std::min<size_t>(max_bytes + 1, 8192), '\0');
  ssize_t got = 0;
  do {
    got = read(file.get(), text.data(), text.size());
  } while (got < 0 && errno == EINTR);
  if (got < 0) return ErrnoStatus(errno, fmt::format("read /proc/{}/{}", pid_, name));
  const bool whole = static_cast<size_t>(got) < text.size();
  text.resize(static_cast<size_t>(got));
  if (whole) return text;
  ASSIGN_OR_RETURN(const std::string rest, ReadFd(file.get(), max_bytes - std::min(max_bytes, text.size()),
                                                  fmt::format("/proc/{}/{}", pid_, name)));
  return text + rest;
}

Result<std::string> ProcDir::ReadLink(const char* name) const {
  char target[PATH_MAX];
  const ssize_t length = readlinkat(fd_.get(), name, target, sizeof target);
  if (length < 0) return ErrnoStatus(errno, fmt::format("read link /proc/{}/{}", pid_, name));
  if (length == sizeof target)
    return Error(StatusCode::kResourceExhausted, "read link /proc/{}/{}: longer than a path may be", pid_, name);
  return std::string(target, static_cast<size_t>(length));
}

Result<UniqueFd> ProcDir::OpenFile(const char* name) const {
  UniqueFd file(openat(fd_.get(), name, O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!file) return ErrnoStatus(errno, fmt::format("open the file behind /proc/{}/{}", pid_, name));
  return file;
}

Result<FileVersion> StatFile(int directory, const char* name, int flags) {
  struct statx info {};
  constexpr unsigned kWanted = STATX_INO | STATX_SIZE | STATX_MTIME | STATX_CTIME;
  if (statx(directory, name, flags, kWanted | kMountIdUnique, &info) != 0) return ErrnoStatus(errno, "look at file");
  if ((info.stx_mask & kWanted) != kWanted)
    return Error(StatusCode::kUnavailable, "look at file: its file system does not tell its version");
  if ((info.stx_mask & kMountIdUnique) == 0 && statx(directory, name, flags, kWanted | STATX_MNT_ID, &info) != 0) {
    return ErrnoStatus(errno, "look at file");
  }
  return FileVersion{info.stx_dev_major,          info.stx_dev_minor,          info.stx_ino,   info.stx_size,
                     Nanoseconds(info.stx_mtime), Nanoseconds(info.stx_ctime), info.stx_mnt_id};
}

Result<Executable> ReadExecutable(const ProcDir& proc) {
  Executable executable;
  ASSIGN_OR_RETURN(const std::string mount_namespace, proc.ReadLink("ns/mnt"));
  ASSIGN_OR_RETURN(executable.mount_namespace, ParseNamespaceLink("mnt", mount_namespace));
  // O_PATH does not open the file, it only holds on to it: path, mount and version are then of one file, whatever the
  // process executes meanwhile.
  UniqueFd file(openat(proc.fd(), "exe", O_PATH | O_CLOEXEC));
  if (!file) return ErrnoStatus(errno, fmt::format("find executable of pid {}", proc.pid()));
  char link[PATH_MAX];
  const ssize_t length = readlink(fmt::format("/proc/self/fd/{}", file.get()).c_str(), link, sizeof link);
  if (length < 0) return ErrnoStatus(errno, fmt::format("find path of the executable of pid {}", proc.pid()));
  executable.link.assign(link, static_cast<size_t>(length));

  constexpr int kFlags = AT_EMPTY_PATH | AT_STATX_DONT_SYNC;
  Result<FileVersion> version = StatFile(file.get(), "", kFlags);
  if (!version.ok()) return Annotate(version.status(), "executable of pid {}", proc.pid());
  executable.file = *version;
  struct statx info {};
  if (statx(file.get(), "", kFlags, STATX_INO | STATX_MNT_ID, &info) != 0) {
    return ErrnoStatus(errno, fmt::format("executable of pid {}: look at file", proc.pid()));
  }
  if ((info.stx_mask & STATX_MNT_ID) == 0) {
    return Error(StatusCode::kUnavailable, "executable of pid {}: the kernel does not tell its mount (needs Linux 5.8)",
                 proc.pid());
  }
  executable.mount_id = info.stx_mnt_id;
  executable.held = std::make_shared<const UniqueFd>(std::move(file));
  return executable;
}

Result<std::shared_ptr<const Subject>> Subject::Read(const PeerProcess& peer, WantedKindsPtr wanted) {
  const pid_t pid = peer.process->pid();
  Result<ProcDir> proc = ProcDir::Open(pid);
  // The directory is of whoever has the pid now. That is the caller if the caller still runs, and stays so.
  if (!peer.process->StillRunning()) return Gone(pid);
  if (!proc.ok()) return Unavailable(proc.status());
  auto opened = std::make_shared<const ProcDir>(*std::move(proc));
  Result<ProcStatus> status = ReadStatus(*opened);
  if (!status.ok()) return peer.process->StillRunning() ? Unavailable(status.status()) : Gone(pid);
  return std::make_shared<const Subject>(peer, std::move(wanted), std::move(opened), *std::move(status));
}

const Result<std::vector<CgroupMembership>>& Subject::cgroups() const {
  if (!cgroups_) cgroups_ = ReadCgroups(*proc());
  return *cgroups_;
}

const Result<Executable>& Subject::executable() const {
  if (!executable_) executable_ = ReadExecutable(*proc());
  return *executable_;
}

Status Subject::CheckIds() const {
  if (status_.uid.effective != peer_.uid) {
    return Error(StatusCode::kPermissionDenied, "uid changed from {} to {} since it connected; connect again",
                 peer_.uid, status_.uid.effective);
  }
  if (status_.gid.effective != peer_.gid) {
    return Error(StatusCode::kPermissionDenied, "gid changed from {} to {} since it connected; connect again",
                 peer_.gid, status_.gid.effective);
  }
  return OkStatus();
}

Status Subject::CheckUnchanged() const {
  if (!peer_.process->StillRunning()) return Gone(peer_.process->pid());
  if (only_status_) return OkStatus();  // one text: true of one moment by itself
  const Result<ProcStatus> status_now = ReadStatus(*proc_);
  const auto cgroups_now = cgroups_ ? std::optional(ReadCgroups(*proc_)) : std::nullopt;
  const auto executable_now = executable_ ? std::optional(ReadExecutable(*proc_)) : std::nullopt;
  if (!peer_.process->StillRunning()) return Gone(peer_.process->pid());
  if (!status_now.ok()) return Unavailable(status_now.status());
  if (status_now->uid != status_.uid || status_now->gid != status_.gid || status_now->groups != status_.groups) {
    return Error(StatusCode::kUnavailable, "caller changed its user or groups while being attested; ask again");
  }
  if (cgroups_ && cgroups_now) {
    if (!cgroups_now->ok()) return Unavailable(cgroups_now->status());
    if (!cgroups_->ok()) return Unavailable(cgroups_->status());
    if (**cgroups_now != **cgroups_) {
      return Error(StatusCode::kUnavailable, "caller moved to another cgroup while being attested; ask again");
    }
  }
  if (!executable_ || !executable_now) return OkStatus();
  // An executable that could not be looked at gave no selector; it must not have been looked at in between either.
  const Result<Executable>& before = *executable_;
  const Result<Executable>& now = *executable_now;
  const bool same =
      before.ok() == now.ok() &&
      (!before.ok() || (before->file.SameFile(now->file) && before->link == now->link &&
                        before->mount_id == now->mount_id && before->mount_namespace == now->mount_namespace));
  if (!same) return Error(StatusCode::kUnavailable, "caller changed its executable while being attested; ask again");
  return OkStatus();
}

}  // namespace lanyard
