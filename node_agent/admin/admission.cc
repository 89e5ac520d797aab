#include "node_agent/admin/admission.h"

#include <grp.h>
#include <sys/stat.h>

#include <algorithm>
#include <vector>

#include "node_agent/base/file.h"
#include "node_agent/base/procfs.h"

namespace lanyard {
namespace {

// Two processes share a namespace when their links lead to the same inode.
Status CheckSameNamespace(const PeerProcess& peer, const char* kind) {
  struct stat ours {
  }, theirs{};
  const std::string path = peer.process->ProcPath(fmt::format("ns/{}", kind));
  if (stat(fmt::format("/proc/self/ns/{}", kind).c_str(), &ours) != 0 || stat(path.c_str(), &theirs) != 0) {
    return Error(StatusCode::kPermissionDenied, "cannot compare {} namespaces with process {}", kind,
                 peer.process->pid());
  }
  if (ours.st_dev != theirs.st_dev || ours.st_ino != theirs.st_ino) {
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
