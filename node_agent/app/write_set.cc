#include "node_agent/app/write_set.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <memory>

#include "node_agent/base/fd.h"
#include "node_agent/base/file.h"

namespace lanyard {
namespace {

constexpr char kCurrent[] = ".current";
constexpr std::string_view kSetPrefix = ".set-";

Result<std::string> FreshName(std::string_view prefix) {
  unsigned char random[8];
  if (getrandom(random, sizeof random, 0) != sizeof random) return ErrnoStatus(errno, "get random bytes");
  std::string name(prefix);
  for (const unsigned char byte : random) name += fmt::format("{:02x}", byte);
  return name;
}

Status WriteNewFile(int directory, const FileOfSet& file) {
  UniqueFd fd(
      openat(directory, file.name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, file.mode & 0600));
  if (!fd) return ErrnoStatus(errno, fmt::format("create {}", file.name));
  std::string_view rest = file.bytes;
  while (!rest.empty()) {
    const ssize_t written = write(fd.get(), rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return ErrnoStatus(errno, fmt::format("write {}", file.name));
    rest.remove_prefix(static_cast<size_t>(written));
  }
  if (fchmod(fd.get(), file.mode) != 0)
    return ErrnoStatus(errno, fmt::format("set mode {:04o} on {}", file.mode, file.name));
  if (fsync(fd.get()) != 0) return ErrnoStatus(errno, fmt::format("fsync {}", file.name));
  return OkStatus();
}

// Makes `name` a link to `target` in one step, whatever it was.
Status ReplaceLink(int directory, const std::string& name, const std::string& target) {
  ASSIGN_OR_RETURN(const std::string temporary, FreshName(".link-"));
  if (symlinkat(target.c_str(), directory, temporary.c_str()) != 0)
    return ErrnoStatus(errno, fmt::format("make the link {}", temporary));
  if (renameat(directory, temporary.c_str(), directory, name.c_str()) != 0) {
    const int error = errno;
    unlinkat(directory, temporary.c_str(), 0);
    return ErrnoStatus(error, fmt::format("replace {}", name));
  }
  return OkStatus();
}

// What the link `name` says; empty when it is not one.
std::string ReadLink(int directory, const std::string& name) {
  char target[PATH_MAX];
  const ssize_t length = readlinkat(directory, name.c_str(), target, sizeof target);
  return length > 0 ? std::string(target, static_cast<size_t>(length)) : std::string();
}

std::vector<std::string> ListNames(int directory) {
  std::vector<std::string> names;
  const int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (copy < 0) return names;
  DIR* listing = fdopendir(copy);
  if (listing == nullptr) {
    close(copy);
    return names;
  }
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nobody else has this listing
  while (const dirent* entry = readdir(listing)) names.emplace_back(entry->d_name);
  closedir(listing);
  return names;
}

void RemoveSet(int directory, const std::string& name) {
  UniqueFd set(openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!set) return;
  for (const std::string& file : ListNames(set.get())) {
    if (file != "." && file != "..") unlinkat(set.get(), file.c_str(), 0);
  }
  unlinkat(directory, name.c_str(), AT_REMOVEDIR);
}

Status FillSet(int directory, const std::string& set_name, const std::vector<FileOfSet>& files) {
  if (mkdirat(directory, set_name.c_str(), 0700) != 0)
    return ErrnoStatus(errno, fmt::format("make directory {}", set_name));
  UniqueFd set(openat(directory, set_name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!set) return ErrnoStatus(errno, fmt::format("open directory {}", set_name));
  for (const FileOfSet& file : files) RETURN_IF_ERROR(WriteNewFile(set.get(), file));
  if (fchmod(set.get(), 0755) != 0) return ErrnoStatus(errno, fmt::format("set mode 0755 on {}", set_name));
  if (fsync(set.get()) != 0) return ErrnoStatus(errno, fmt::format("fsync directory {}", set_name));
  return OkStatus();
}

Status WriteSetBelow(int directory, const std::vector<FileOfSet>& files) {
  if (flock(directory, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK)
      return Error(StatusCode::kFailedPrecondition, "another process is writing there now; try again");
    return ErrnoStatus(errno, "lock it");
  }
  const std::string before = ReadLink(directory, kCurrent);
  ASSIGN_OR_RETURN(const std::string set_name, FreshName(kSetPrefix));
  Status swapped = FillSet(directory, set_name, files);
  if (swapped.ok() && fsync(directory) != 0) swapped = ErrnoStatus(errno, "fsync it");
  if (swapped.ok()) swapped = ReplaceLink(directory, kCurrent, set_name);
  if (!swapped.ok()) {
    RemoveSet(directory, set_name);
    return swapped;
  }
  for (const FileOfSet& file : files) {
    const std::string target = fmt::format("{}/{}", kCurrent, file.name);
    if (ReadLink(directory, file.name) != target) RETURN_IF_ERROR(ReplaceLink(directory, file.name, target));
  }
  for (const std::string& name : ListNames(directory)) {
    const auto is = [&](const FileOfSet& file) { return file.name == name; };
    if (std::none_of(files.begin(), files.end(), is) &&
        ReadLink(directory, name) == fmt::format("{}/{}", kCurrent, name))
      unlinkat(directory, name.c_str(), 0);
  }
  if (fsync(directory) != 0) return ErrnoStatus(errno, "fsync it");
  for (const std::string& name : ListNames(directory)) {
    if (name.starts_with(kSetPrefix) && name != set_name && name != before) RemoveSet(directory, name);
  }
  return OkStatus();
}

}  // namespace

Status WriteSet(const std::string& directory, const std::vector<FileOfSet>& files) {
  RETURN_IF_ERROR(MakeDirectory(directory, 0700));
  UniqueFd fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return ErrnoStatus(errno, fmt::format("open directory {}", directory));
  return Annotate(WriteSetBelow(fd.get(), files), "write into {}", directory);
}

}  // namespace lanyard
