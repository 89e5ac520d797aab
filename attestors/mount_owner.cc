#include "attestors/mount_owner.h"

#include <linux/nsfs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

namespace lanyard {

Result<bool> OnlyRootMounts(const ProcDir& process, const MountTable& mounts) {
  const auto failed = [&process] {
    return ErrnoStatus(errno, fmt::format("find the owner of the mount namespace of pid {}", process.pid()));
  };
  ASSIGN_OR_RETURN(const UniqueFd mount_namespace, process.OpenFile("ns/mnt"));
  const UniqueFd owner(ioctl(mount_namespace.get(), NS_GET_USERNS));
  if (!owner && errno == EPERM) return false;  // it belongs to a namespace that is not below ours
  if (!owner) return failed();
  struct stat info {};
  if (fstat(owner.get(), &info) != 0) return failed();
  return info.st_ino == mounts.own_user_namespace;
}

}  // namespace lanyard
