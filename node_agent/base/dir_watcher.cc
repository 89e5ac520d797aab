#include "node_agent/base/dir_watcher.h"

#include <dirent.h>
#include <limits.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <uv.h>

#include <array>
#include <cstddef>
#include <map>
#include <optional>
#include <set>

#include "node_agent/base/fd.h"
#include "node_agent/base/file.h"
#include "node_agent/base/uv_handle.h"

namespace lanyard {
namespace {

constexpr int kMaxSymlinks = 40;
constexpr uint32_t kEvents = IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB |
                             IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

// In a watched directory, the names that matter.
struct Interest {
  bool all = false;
  std::set<std::string> names;

  bool Has(std::string_view name) const { return all || name.empty() || names.contains(std::string(name)); }
  void Add(const Interest& other) {
    all = all || other.all;
    names.insert(other.names.begin(), other.names.end());
  }
};
using Wanted = std::map<std::string, Interest>;  // by the directory's path

bool IsDirectory(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

std::string NameOf(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

std::optional<std::string> LinkTarget(const std::string& path) {
  std::array<char, PATH_MAX> target{};
  const ssize_t length = readlink(path.c_str(), target.data(), target.size());
  if (length <= 0 || static_cast<size_t>(length) == target.size()) return std::nullopt;
  return std::string(target.data(), static_cast<size_t>(length));
}

// Asks for `path`'s name in the directory above, or, when that is not there, for the nearest directory above that is.
void WantName(const std::string& path, Wanted& wanted) {
  const std::string parent = ParentDirectory(path);
  if (parent == path || path == "/") return;
  if (!IsDirectory(parent)) return WantName(parent, wanted);
  wanted[parent].names.insert(NameOf(path));
}

// Asks for every name that `path` leads through: each directory and symlink on it, wherever that points, and the end.
void WantWay(std::string path, Wanted& wanted, int& symlinks) {
  size_t slash = 0;
  while (slash != std::string::npos) {
    slash = path.find('/', slash + 1);
    const std::string part = path.substr(0, slash);
    WantName(part, wanted);
    const std::optional<std::string> target = LinkTarget(part);
    if (!target) continue;
    if (++symlinks > kMaxSymlinks) return;
    const std::string rest = slash == std::string::npos ? "" : path.substr(slash);
    path = target->starts_with('/') ? *target + rest : JoinPath(ParentDirectory(part), *target) + rest;
    slash = 0;
  }
}

void WantPath(const std::string& path, Wanted& wanted) {
  int symlinks = 0;
  WantWay(path, wanted, symlinks);
  if (!IsDirectory(path)) return;
  wanted[path].all = true;
  std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(path.c_str()), closedir);
  if (!directory) return;
  while (const dirent* entry = readdir(directory.get())) {
    const std::string_view name = entry->d_name;
    if ((entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN) || name.starts_with('.')) continue;
    symlinks = 0;
    WantWay(JoinPath(path, name), wanted, symlinks);
  }
}

class InotifyWatcher : public DirWatcher {
 public:
  InotifyWatcher(Clock& clock, std::vector<std::string> paths, absl::AnyInvocable<void()> on_change,
                 DirWatcherOptions options)
      : clock_(clock),
        paths_(std::move(paths)),
        options_(options),
        on_change_(std::make_shared<absl::AnyInvocable<void()>>(std::move(on_change))) {}

  Status Start(EventLoop& loop) {
    inotify_.reset(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    if (!inotify_) {
      return Annotate(ErrnoStatus(errno, "start inotify"),
                      "watch files (raise fs.inotify.max_user_instances if it is used up)");
    }
    if (const int error = uv_poll_init(loop.native(), poll_.get(), inotify_.get()); error != 0) {
      return Error(StatusCode::kUnavailable, "watch files: {}", uv_strerror(error));
    }
    uv_poll_start(poll_.get(), UV_READABLE, [](uv_poll_t* handle, int, int) {
      if (auto* self = Owner<InotifyWatcher>(handle)) self->OnReadable();
    });
    SetWatches();
    return OkStatus();
  }

  Status health() const override { return health_; }

 private:
  // What was asked for may change while it is being set (a directory that appears just before its parent is watched),
  // so ask again until it is what was set.
  void SetWatches() {
    Wanted last;
    for (int attempt = 0; attempt < 5; ++attempt) {
      Wanted wanted;
      for (const std::string& path : paths_) WantPath(path, wanted);
      if (attempt > 0 && SameDirectories(wanted, last)) return;
      AddWatches(wanted);
      last = std::move(wanted);
    }
  }

  static bool SameDirectories(const Wanted& a, const Wanted& b) {
    return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](const auto& x, const auto& y) {
             return x.first == y.first && x.second.all == y.second.all && x.second.names == y.second.names;
           });
  }

  void AddWatches(const Wanted& wanted) {
    std::map<int, Interest> watches;  // two paths may be one directory
    health_ = OkStatus();
    for (const auto& [path, interest] : wanted) {
      const int watch = inotify_add_watch(inotify_.get(), path.c_str(), kEvents);
      if (watch >= 0) {
        watches[watch].Add(interest);
      } else if (errno == ENOSPC) {
        health_ = Error(StatusCode::kResourceExhausted,
                        "watch {}: no inotify watches left: raise fs.inotify.max_user_watches", path);
      } else if (errno != ENOENT && errno != ENOTDIR) {  // gone meanwhile: its parent is watched
        health_ = ErrnoStatus(errno, fmt::format("watch {}", path));
      }
    }
    for (const auto& [watch, interest] : watches_) {
      if (!watches.contains(watch)) inotify_rm_watch(inotify_.get(), watch);
    }
    watches_ = std::move(watches);
  }

  void OnReadable() {
    alignas(inotify_event) std::array<char, 64 * 1024> buffer;
    bool changed = false;
    while (true) {
      const ssize_t length = read(inotify_.get(), buffer.data(), buffer.size());
      if (length <= 0) break;
      for (ssize_t at = 0; at < length;) {
        const auto* event = reinterpret_cast<const inotify_event*>(buffer.data() + at);
        changed = changed || Matters(*event);
        at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
      }
    }
    if (changed) Debounce();
  }

  bool Matters(const inotify_event& event) const {
    if ((event.mask & IN_Q_OVERFLOW) != 0) return true;
    const auto watch = watches_.find(event.wd);
    if (watch == watches_.end()) return false;  // removed meanwhile
    return watch->second.Has(event.len > 0 ? std::string_view(event.name) : std::string_view());
  }

  void Debounce() {
    const MonoTime now = clock_.MonoNow();
    if (!burst_start_) burst_start_ = now;
    alarm_ = clock_.CallAt(std::min(now + options_.quiet, *burst_start_ + options_.longest), [this] { Tell(); });
  }

  void Tell() {
    burst_start_.reset();
    SetWatches();
    const auto on_change = on_change_;  // *this may be destroyed by the call
    (*on_change)();
  }

  Clock& clock_;
  const std::vector<std::string> paths_;
  const DirWatcherOptions options_;
  const std::shared_ptr<absl::AnyInvocable<void()>> on_change_;
  UniqueFd inotify_;  // declared before the handle: closed after it has left the poll set
  UvHandle<uv_poll_t> poll_{this};
  std::map<int, Interest> watches_;  // by watch descriptor
  std::optional<MonoTime> burst_start_;
  std::unique_ptr<Clock::Alarm> alarm_;
  Status health_;
};

}  // namespace

Result<std::unique_ptr<DirWatcher>> WatchPaths(EventLoop& loop, Clock& clock, std::vector<std::string> paths,
                                               absl::AnyInvocable<void()> on_change, DirWatcherOptions options) {
  for (std::string& path : paths) {
    while (path.size() > 1 && path.ends_with('/')) path.pop_back();
    if (!path.starts_with('/')) path = "./" + path;
  }
  auto watcher = std::make_unique<InotifyWatcher>(clock, std::move(paths), std::move(on_change), options);
  RETURN_IF_ERROR(watcher->Start(loop));
  return watcher;
}

}  // namespace lanyard
