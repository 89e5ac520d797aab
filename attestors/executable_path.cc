#include "attestors/executable_path.h"

#include "attestors/selector.h"

namespace lanyard {

std::optional<std::string> PathInOwnNamespace(const Executable& executable, const MountTable& mounts) {
  if (executable.mount_namespace != mounts.own_mount_namespace) return std::nullopt;
  if (mounts.Find(executable.mount_id) == nullptr) return std::nullopt;
  // The kernel appends " (deleted)" to the name of an unlinked file; a file may also really be called that: neither
  // counts.
  if (executable.link.ends_with(" (deleted)")) return std::nullopt;
  if (!executable.link.starts_with('/') || !FitsInSelector(executable.link)) return std::nullopt;
  return executable.link;
}

}  // namespace lanyard
