// One file of the audit log while it is written: lines are appended wholly or not at all, and what others do to the
// file is noticed.
//
// Thread: any, one at a time; blocks on the disk. The descriptor is shared with readers, who only use pread on it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "node_agent/base/fd.h"
#include "node_agent/base/status.h"

namespace lanyard {

using SharedFd = std::shared_ptr<const UniqueFd>;

// A file as far as it is known to be good, for readers.
struct AuditExtent {
  SharedFd fd;
  uint64_t end = 0;
};

enum class AuditFsync { kNow, kLater };

class AuditFile {
 public:
  // A new, empty file (0600) whose name is on the disk. AlreadyExists when there is something at `path`.
  static Result<AuditFile> Create(const std::string& path);
  // The file that is there, to be appended to. Refuses one that others may write to.
  static Result<AuditFile> Open(const std::string& path);

  // Appends all of `bytes`. When that fails, what was written of them is taken back; ResourceExhausted when there is
  // no space. OK with kNow: they are on the disk.
  Status Append(std::string_view bytes, AuditFsync fsync);
  // OK: everything that was appended is on the disk. After an error the next one writes again what was not: pages that
  // the kernel has given up on count as clean, and may be gone.
  Status Sync();
  // Drops everything from `size` on, durably.
  Status Truncate(uint64_t size);

  enum class Fate {
    kOurs,      // as we left it
    kGone,      // nothing is at the path
    kReplaced,  // something else is at the path
    kChanged,   // somebody appended to it or cut it
  };
  // What has become of the file since the last Append. An error when that cannot be found out.
  Result<Fate> Look() const;
  // Where the file is now, for people; empty when it was removed.
  std::string WhereNow() const;

  const std::string& path() const { return path_; }
  uint64_t size() const { return size_; }
  const SharedFd& fd() const { return fd_; }
  AuditExtent extent() const { return {fd_, size_}; }

 private:
  AuditFile(std::string path, UniqueFd fd, uint64_t size);

  Status WriteAndSync(std::string_view bytes, AuditFsync fsync);
  Status WriteAgain();

  std::string path_;
  SharedFd fd_;
  uint64_t size_;
  std::string unsynced_;       // the file's last bytes, appended since the last Sync()
  bool sync_failed_ = false;   // so that they have to be written again
  bool rest_is_junk_ = false;  // what an Append left behind its end could not be taken back yet
};

// Renames without replacing anything. AlreadyExists when `to` is taken. An error means that nothing was renamed; that
// it was is on the disk with the next Create() in the same directory, before anything is written there.
Status MoveAuditFile(const std::string& from, const std::string& to);

// "<path>.<why>-20260101T000000Z", with a number behind it when that is taken.
std::string AsideName(const std::string& path, std::string_view why, std::string_view time);
// The newest file that was set aside as damaged or foreign, not before `since` (a time as AsideName takes it, ""
// for any); empty when there is none.
Result<std::string> NewestAside(const std::string& path, std::string_view since);

struct RotatedAuditFile {
  std::string path;
  uint64_t last_seq = 0;  // what its name says
};
std::string RotatedName(const std::string& path, uint64_t last_seq);
// The rotated files of the log at `path`, oldest first.
Result<std::vector<RotatedAuditFile>> RotatedAuditFiles(const std::string& path);

}  // namespace lanyard
