#include "node_agent/app/svid_directory.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>

namespace lanyard {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "lanyard-exec-";
constexpr char kAlive[] = ".alive";

Status CheckPlace(const std::string& place) {
  if (!place.starts_with('/')) return Error(StatusCode::kInvalidArgument, "not an absolute path");
  UniqueFd fd(open(place.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  struct stat info {};
  struct statfs mount {};
  if (!fd || fstat(fd.get(), &info) != 0 || fstatfs(fd.get(), &mount) != 0) return ErrnoStatus(errno, "open it");
  if (mount.f_type != TMPFS_MAGIC) return Error(StatusCode::kFailedPrecondition, "not a tmpfs");
  if (info.st_uid != 0 && info.st_uid != geteuid())
    return Error(StatusCode::kFailedPrecondition, "it belongs to uid {}", info.st_uid);
  if ((info.st_mode & 022) != 0 && (info.st_mode & S_ISVTX) == 0)
    return Error(StatusCode::kFailedPrecondition, "others may replace what is in it (mode {:04o})",
                 info.st_mode & 07777);
  return OkStatus();
}

// What owners who were killed have left. Of a directory without `.alive` nobody can tell; there is nothing in it yet.
void RemoveAbandoned(const std::string& place) {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(place, error)) {
    if (!entry.path().filename().string().starts_with(kPrefix)) continue;
    UniqueFd directory(open(entry.path().c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    struct stat info {};
    if (!directory || fstat(directory.get(), &info) != 0 || info.st_uid != geteuid()) continue;
    UniqueFd alive(openat(directory.get(), kAlive, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!alive || flock(alive.get(), LOCK_EX | LOCK_NB) != 0) continue;
    std::error_code ignored;
    fs::remove_all(entry.path(), ignored);
  }
}

// A file that is locked from the moment it has its name.
Result<UniqueFd> MakeAlive(const std::string& directory) {
  const std::string name = directory + "/" + kAlive;
  UniqueFd fd(open((name + ".new").c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd || flock(fd.get(), LOCK_EX | LOCK_NB) != 0 || rename((name + ".new").c_str(), name.c_str()) != 0)
    return ErrnoStatus(errno, fmt::format("make {}", name));
  return fd;
}

}  // namespace

std::vector<std::string> SvidDirectoryPlaces() {
  std::vector<std::string> places;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nobody sets the environment meanwhile
  if (const char* runtime = std::getenv("XDG_RUNTIME_DIR"); runtime != nullptr && *runtime != '\0')
    places.emplace_back(runtime);
  places.emplace_back("/dev/shm");
  return places;
}

Result<SvidDirectory> SvidDirectory::Make(const std::vector<std::string>& places) {
  std::vector<std::string> why;
  for (const std::string& place : places) {
    if (const Status fit = CheckPlace(place); !fit.ok()) {
      why.push_back(fmt::format("{}: {}", place, Message(fit)));
      continue;
    }
    RemoveAbandoned(place);
    std::string path = fmt::format("{}/{}XXXXXX", place, kPrefix);
    if (mkdtemp(path.data()) == nullptr) {  // mode 0700
      why.push_back(fmt::format("{}: {}", place, Message(ErrnoStatus(errno, "make a directory in it"))));
      continue;
    }
    Result<UniqueFd> alive = MakeAlive(path);
    if (alive.ok()) return SvidDirectory(std::move(path), *std::move(alive));
    std::error_code ignored;
    fs::remove_all(path, ignored);
    why.push_back(std::string(Message(alive.status())));
  }
  return Error(
      StatusCode::kFailedPrecondition,
      "no place for a private key that is not a disk: {}; give the service a RuntimeDirectory on a tmpfs and set "
      "XDG_RUNTIME_DIR to it",
      fmt::join(why, "; "));
}

SvidDirectory::SvidDirectory(SvidDirectory&& other) noexcept
    : path_(std::exchange(other.path_, {})), alive_(std::move(other.alive_)) {}

SvidDirectory::~SvidDirectory() {
  if (path_.empty()) return;
  IGNORE_ERROR(Clear(), "what is left is removed with the directory");
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

Status SvidDirectory::Write(const std::vector<FileOfSet>& files) {
  return WriteSet(path_, files);
}

Status SvidDirectory::Clear() {
  std::error_code error;
  fs::remove(path_ + "/.current", error);
  std::vector<fs::path> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(path_, error)) {
    if (entry.path().filename() != kAlive) names.push_back(entry.path());
  }
  for (const fs::path& name : names) {
    std::error_code failed;
    fs::remove_all(name, failed);
    if (failed) error = failed;
  }
  if (error) return Error(StatusCode::kUnavailable, "take the files in {} away: {}", path_, error.message());
  return OkStatus();
}

}  // namespace lanyard
