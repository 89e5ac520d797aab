#include "node_agent/audit/audit_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "node_agent/base/file.h"
#include "node_agent/base/file_trust.h"

namespace lanyard {
namespace {

constexpr size_t kSeqDigits = 20;  // of the largest 64-bit number
constexpr std::string_view kCompactTime = "ddddddddTddddddZ";

// 2026-01-01T00:00:00.000000Z as 20260101T000000Z, which sorts by time.
std::string CompactTime(std::string_view time) {
  std::string compact;
  for (const char c : time.substr(0, time.find('.'))) {
    if (c != '-' && c != ':') compact += c;
  }
  return compact + 'Z';
}

// A "d" in the form stands for a digit.
bool HasForm(std::string_view text, std::string_view form) {
  return std::equal(text.begin(), text.end(), form.begin(), form.end(),
                    [](char c, char f) { return f == 'd' ? c >= '0' && c <= '9' : c == f; });
}

// What follows "<path>." in the names of files in its directory.
Result<std::vector<std::string>> NamesBeside(const std::string& path) {
  const std::string directory = ParentDirectory(path);
  const std::string prefix = path.substr(path.rfind('/') + 1) + ".";
  std::unique_ptr<DIR, decltype([](DIR* open) { closedir(open); })> dir(opendir(directory.c_str()));
  if (dir == nullptr) return ErrnoStatus(errno, fmt::format("list {}", directory));
  std::vector<std::string> names;
  while (true) {
    errno = 0;
    const dirent* found = readdir(dir.get());  // NOLINT(concurrency-mt-unsafe): nobody else has this listing
    if (found == nullptr && errno != 0) return ErrnoStatus(errno, fmt::format("list {}", directory));
    if (found == nullptr) return names;
    const std::string_view name = found->d_name;
    if (name.starts_with(prefix)) names.emplace_back(name.substr(prefix.size()));
  }
}

Status WriteError(int error, std::string_view attempted, const std::string& path) {
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
    return Error(StatusCode::kResourceExhausted,
                 "{} {}: {}; free space on its file system, nothing can be recorded until then", attempted, path,
                 std::generic_category().message(error));
  }
  return ErrnoStatus(error, fmt::format("{} {}", attempted, path));
}

Result<struct stat> StatOf(int fd, const std::string& path) {
  struct stat info {};
  if (fstat(fd, &info) != 0) return ErrnoStatus(errno, fmt::format("look at {}", path));
  return info;
}

}  // namespace

AuditFile::AuditFile(std::string path, UniqueFd fd, uint64_t size)
    : path_(std::move(path)), fd_(std::make_shared<const UniqueFd>(std::move(fd))), size_(size) {}

Result<AuditFile> AuditFile::Create(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd && errno == ENOENT) {
    const std::string directory = ParentDirectory(path);
    return Error(StatusCode::kNotFound,
                 "create audit log {}: its directory is gone; put it back, or if it is lost: install -d -m 0700 {}",
                 path, directory);
  }
  if (!fd) return WriteError(errno, "create audit log", path);
  if (Status named = SyncDirectory(ParentDirectory(path)); !named.ok()) {
    unlink(path.c_str());  // left there, the next try would take it for somebody else's
    return named;
  }
  return AuditFile(path, std::move(fd), 0);
}

Result<AuditFile> AuditFile::Open(const std::string& path) {
  RETURN_IF_ERROR(CheckTrustedFile(path, FileSecrecy::kPublic));
  UniqueFd fd(open(path.c_str(), O_RDWR | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) return ErrnoStatus(errno, fmt::format("open audit log {}", path));
  ASSIGN_OR_RETURN(const struct stat info, StatOf(fd.get(), path));
  if (!S_ISREG(info.st_mode))
    return Error(StatusCode::kFailedPrecondition, "open audit log {}: not a regular file", path);
  return AuditFile(path, std::move(fd), static_cast<uint64_t>(info.st_size));
}

Status AuditFile::Append(std::string_view bytes, AuditFsync fsync) {
  if (rest_is_junk_) RETURN_IF_ERROR(Truncate(size_));
  if (Status written = WriteAndSync(bytes, fsync); !written.ok()) {
    rest_is_junk_ = true;  // after a failed fsync too
    IGNORE_ERROR(Truncate(size_), "tried again before the next Append");
    return written;
  }
  size_ += bytes.size();
  if (fsync == AuditFsync::kLater) unsynced_ += bytes;
  return OkStatus();
}

Status AuditFile::WriteAndSync(std::string_view bytes, AuditFsync fsync) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd_->get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return WriteError(errno, "write audit log", path_);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return fsync == AuditFsync::kNow ? Sync() : OkStatus();
}

Status AuditFile::Sync() {
  if (sync_failed_) RETURN_IF_ERROR(WriteAgain());
  if (fdatasync(fd_->get()) != 0) {
    const int error = errno;
    sync_failed_ = !unsynced_.empty();
    return WriteError(error, "write to disk the audit log", path_);
  }
  unsynced_.clear();
  sync_failed_ = false;
  return OkStatus();
}

// Over themselves, so that a kill in between loses nothing. Ours only appends, hence a descriptor of its own.
Status AuditFile::WriteAgain() {
  const UniqueFd fd(open(fmt::format("/proc/self/fd/{}", fd_->get()).c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return WriteError(errno, "write again the audit log", path_);
  std::string_view bytes = unsynced_;
  while (!bytes.empty()) {
    const ssize_t written = pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(size_ - bytes.size()));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return WriteError(errno, "write again the audit log", path_);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return OkStatus();
}

Status AuditFile::Truncate(uint64_t size) {
  if (ftruncate(fd_->get(), static_cast<off_t>(size)) != 0)
    return WriteError(errno, "take back a write to audit log", path_);
  rest_is_junk_ = false;
  unsynced_.resize(unsynced_.size() - std::min<uint64_t>(unsynced_.size(), size_ - std::min(size, size_)));
  size_ = size;
  return Sync();
}

Result<AuditFile::Fate> AuditFile::Look() const {
  ASSIGN_OR_RETURN(const struct stat ours, StatOf(fd_->get(), path_));
  struct stat there {};
  if (lstat(path_.c_str(), &there) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return Fate::kGone;
    return ErrnoStatus(errno, fmt::format("look at audit log {}", path_));
  }
  if (there.st_dev != ours.st_dev || there.st_ino != ours.st_ino) return Fate::kReplaced;
  const auto size = static_cast<uint64_t>(ours.st_size);
  return size == size_ || (rest_is_junk_ && size > size_) ? Fate::kOurs : Fate::kChanged;
}

std::string AuditFile::WhereNow() const {
  struct stat info {};
  if (fstat(fd_->get(), &info) != 0 || info.st_nlink == 0) return "";
  std::array<char, PATH_MAX> target{};
  const ssize_t length =
      readlink(fmt::format("/proc/self/fd/{}", fd_->get()).c_str(), target.data(), target.size() - 1);
  return length > 0 ? std::string(target.data(), static_cast<size_t>(length)) : "";
}

Status MoveAuditFile(const std::string& from, const std::string& to) {
  int moved = renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE);
  if (moved != 0 && errno == EINVAL) {  // a file system that cannot promise it: look, then rename
    struct stat info {};
    if (lstat(to.c_str(), &info) == 0) {
      errno = EEXIST;
    } else {
      moved = rename(from.c_str(), to.c_str());
    }
  }
  return moved == 0 ? OkStatus() : ErrnoStatus(errno, fmt::format("rename {} to {}", from, to));
}

std::string AsideName(const std::string& path, std::string_view why, std::string_view time) {
  const std::string name = fmt::format("{}.{}-{}", path, why, CompactTime(time));
  std::string unused = name;
  struct stat info {};
  for (int i = 2; lstat(unused.c_str(), &info) == 0; ++i) unused = fmt::format("{}-{}", name, i);
  return unused;
}

Result<std::string> NewestAside(const std::string& path, std::string_view since) {
  const std::string earliest = since.empty() ? "" : CompactTime(since);
  std::string newest, newest_order;
  ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesBeside(path));
  for (const std::string& name : names) {
    for (const std::string_view why : {"damaged-", "foreign-"}) {
      if (!name.starts_with(why)) continue;
      const std::string time = name.substr(why.size(), kCompactTime.size());
      if (!HasForm(time, kCompactTime) || time < earliest) continue;
      // Of one second the last: "…Z-10" comes after "…Z-9", and that after "…Z".
      std::string order = fmt::format("{}{: >20}", time, name.substr(why.size() + time.size()));
      if (order <= newest_order) continue;
      newest = name;
      newest_order = std::move(order);
    }
  }
  return newest.empty() ? "" : fmt::format("{}.{}", path, newest);
}

std::string RotatedName(const std::string& path, uint64_t last_seq) {
  return fmt::format("{}.{:0{}}", path, last_seq, kSeqDigits);
}

Result<std::vector<RotatedAuditFile>> RotatedAuditFiles(const std::string& path) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesBeside(path));
  std::vector<RotatedAuditFile> files;
  for (const std::string& digits : names) {
    if (digits.size() != kSeqDigits || digits.find_first_not_of("0123456789") != std::string::npos) continue;
    errno = 0;
    const uint64_t seq = std::strtoull(digits.c_str(), nullptr, 10);
    if (errno != 0 || seq == 0) continue;
    files.push_back({fmt::format("{}.{}", path, digits), seq});
  }
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.last_seq < b.last_seq; });
  return files;
}

}  // namespace lanyard
