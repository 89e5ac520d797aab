// Whole files: read with a cap, written atomically.
//
// Thread: any; these calls block on the disk, so the loop thread uses them at start-up only, or through RunInPool.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "node_agent/base/status.h"

namespace lanyard {

// The bytes of the file at `path`. NotFound when it is absent, ResourceExhausted when it holds more than `max_bytes`.
Result<std::string> ReadFile(const std::string& path, size_t max_bytes);

// The same for a file that is already open; reads from the current position. `name` is for messages.
Result<std::string> ReadFd(int fd, size_t max_bytes, std::string_view name);

// Puts `bytes` at `path` in one step: a temporary file beside it, fsync, rename, fsync of the directory. Whoever opens
// `path` sees the old bytes or the new ones, also after a crash at any instant. The file has `mode`, whatever the
// umask.
Status WriteFileAtomic(const std::string& path, std::string_view bytes, mode_t mode);

// Makes `path` a directory of `mode` if it is absent (its parents too, those with mode 0755). An existing one stays as
// it is.
Status MakeDirectory(const std::string& path, mode_t mode);

// fsync of a directory, so that a rename or unlink in it survives a crash.
Status SyncDirectory(const std::string& path);

// "a/b" of "a/b/c"; "." when there is no slash.
std::string ParentDirectory(const std::string& path);
// "a/b" of "a" and "b"; "/b" of "/" and "b".
std::string JoinPath(std::string_view directory, std::string_view name);

}  // namespace lanyard
