#include "node_agent/admin/admission.h"

#include <grp.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <string_view>
#include <vector>

#include "node_agent/base/file.h"
#include "node_agent/base/procfs.h"

namespace lanyard {
namespace {

// Which user namespace a process is in, as everybody may read it: its maps of ids. In another namespace they are the
// same only where somebody with CAP_SETUID in ours has given it all of ours.
Result<std::string> ShownUserNamespace(const std::string& directory) {
  ASSIGN_OR_RETURN(const std::string users, ReadFile(directory + "uid_map", 65536));
  ASSIGN_OR_RETURN(const std::string groups, ReadFile(directory + "gid_map", 65536));
  return fmt::format("{}\n{}", users, groups);
}

// The same of its pid namespace: it has a pid in each from that of our /proc on, and one alone where it is in that
// itself.
Result<std::string> ShownPidNamespace(const std::string& directory) {
  constexpr std::string_view kLine = "\nNSpid:\t";
  ASSIGN_OR_RETURN(const std::string status, ReadFile(directory + "status", 65536));
  const size_t start = status.find(kLine);
  if (start == std::string::npos) return Error(StatusCode::kInternal, "{}status has no NSpid", directory);
  const std::string_view pids = std::string_view(status).substr(start + kLine.size());
  if (pids.find_first_not_of("0123456789") != pids.find('\n'))
    return Error(StatusCode::kFailedPrecondition, "{} is in another pid namespace than our /proc", directory);
  return std::string();
}

// Two processes share a namespace when their links lead to the same inode. Without SYS_PTRACE we are not shown the link
// of a process that is not dumpable, such as one of a program that may be run and not read: then what everybody may
// read has to be the same.
Result<bool> IsSameNamespace(const PeerProcess& peer, std::string_view kind) {
  struct stat ours {
  }, theirs{};
  if (stat(fmt::format("/proc/self/ns/{}", kind).c_str(), &ours) != 0)
    return ErrnoStatus(errno, fmt::format("our own {} namespace", kind));
  const std::string path = peer.process->ProcPath(fmt::format("ns/{}", kind));
  if (stat(path.c_str(), &theirs) == 0) return ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
  if (errno != EACCES) return ErrnoStatus(errno, path);
  const auto shown = kind == "user" ? ShownUserNamespace : ShownPidNamespace;
  ASSIGN_OR_RETURN(const std::string our_own, shown("/proc/self/"));
  ASSIGN_OR_RETURN(const std::string their_own, shown(peer.process->ProcPath("")));
  return our_own == their_own;
}

Status CheckSameNamespace(const PeerProcess& peer, std::string_view kind) {
  const Result<bool> same = IsSameNamespace(peer, kind);
  if (!same.ok()) {
    return Error(StatusCode::kPermissionDenied, "cannot compare {} namespaces with process {}: {}", kind,
                 peer.process->pid(), Message(same.status()));
  }
  if (!*same) {
    return Error(StatusCode::kPermissionDenied, "process {} is in another {} namespace than the node agent",
                 peer.process->pid(), kind);
  }
  return OkStatus();
}

Result<bool> HasSupplementaryGroup(const PeerProcess& peer, gid_t group) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(peer.process->ProcPath("status"), 65536));
  const Result<ProcStatus> status = ParseProcStatus(text);
  if (!status.ok())
    return Error(StatusCode::kPermissionDenied, "process {}: {}", peer.process->pid(), Message(status.status()));
  // The groups are those of now; if it has become somebody else meanwhile, they are not those of who connected.
  if (status->uid.effective != peer.uid || status->gid.effective != peer.gid) {
    return Error(StatusCode::kPermissionDenied,
                 "process {} is of uid {} and gid {}, and was of uid {} and gid {} when it connected; connect again",
                 peer.process->pid(), status->uid.effective, status->gid.effective, peer.uid, peer.gid);
  }
  return std::find(status->groups.begin(), status->groups.end(), group) != status->groups.end();
}

}  // namespace

Status AdminAdmission::Check(const PeerProcess& peer) const {
  RETURN_IF_ERROR(CheckSameNamespace(peer, "user"));
  if (pid_namespaces == PidNamespaces::kOwnOnly) RETURN_IF_ERROR(CheckSameNamespace(peer, "pid"));

  bool allowed = peer.uid == 0 || peer.uid == geteuid();
  if (!allowed && group) {
    if (peer.gid == *group) {
      allowed = true;
    } else {
      ASSIGN_OR_RETURN(allowed, HasSupplementaryGroup(peer, *group));
    }
  }
  if (!allowed) {
    return Error(StatusCode::kPermissionDenied, "uid {} is neither root nor the node agent's own uid{}", peer.uid,
                 group ? " nor in the admin group" : "");
  }
  if (!peer.process->StillRunning())
    return Error(StatusCode::kPermissionDenied, "process {} has exited", peer.process->pid());
  return OkStatus();
}

Result<gid_t> FindGroup(const std::string& name) {
  struct group entry {};
  struct group* found = nullptr;
  std::vector<char> buffer(size_t{64} * 1024);
  const int error = getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (error != 0) return ErrnoStatus(error, fmt::format("look up group {}", name));
  if (found == nullptr)
    return Error(StatusCode::kNotFound, "there is no group called {}; create it or correct admin_socket.group", name);
  return found->gr_gid;
}

}  // namespace lanyard
