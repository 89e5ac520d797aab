// Only root and we ourselves may decide what the agent believes.
//
// Whoever can change the configuration, the registry or a key file decides who is whom. So each such file, each
// directory on the way to it, and each symlink that is followed must belong to root or to our own user, and must not be
// writable by group or others. Two exceptions: a directory above may be writable when it is sticky (/tmp: others cannot
// replace our names in it), and what lies on a mount that is read-only in our mount namespace is taken as it is
// (Kubernetes mounts ConfigMaps and Secrets with mode 0777, but read-only, and swaps them from outside).
//
// The path is walked name by name with O_PATH descriptors, and what was checked is what is opened: renaming something
// in between does not help an attacker. POSIX ACLs that let others write show as group write permission and are caught
// by the same check.
//
// Thread: any; blocks on the disk. Errors: NotFound when the path does not exist, PermissionDenied naming the path at
// fault, its owner and mode and the remedy.
#pragma once

#include <cstddef>
#include <string>

#include "node_agent/base/fd.h"
#include "node_agent/base/status.h"
#include "node_agent/base/wiped_string.h"

namespace lanyard {

enum class FileSecrecy {
  kPublic,
  // Group and others must not read it either, unless it is on a read-only mount (there the mode is not the operator's
  // to choose, and what can enter our mount namespace is trusted).
  kSecret,
};

// Opens the regular file at `path` for reading.
Result<UniqueFd> OpenTrustedFile(const std::string& path, FileSecrecy secrecy);
// Opens the directory at `path` for listing. Sticky is no excuse here: others could add files.
Result<UniqueFd> OpenTrustedDirectory(const std::string& path);

// The Unix socket at `path`, as an O_PATH descriptor: connecting to /proc/self/fd/N reaches this socket, whatever has
// come to bear its name. Its mode is no matter, it only says who may connect; who answers at it is another question.
Result<UniqueFd> OpenTrustedSocket(const std::string& path);

Status CheckTrustedFile(const std::string& path, FileSecrecy secrecy);
Status CheckTrustedDirectory(const std::string& path);

// The bytes of a trusted file. ResourceExhausted when it holds more than `max_bytes`.
Result<std::string> ReadTrustedFile(const std::string& path, size_t max_bytes, FileSecrecy secrecy);
// The same for a key or a token, leaving no copy behind.
Result<WipedString> ReadTrustedSecret(const std::string& path, size_t max_bytes);

}  // namespace lanyard
