// Preloaded: kills the process, as kill -9 does, at one named step of what it writes to the disk.
//
// A step is a call of a function below that changes a file under LANYARD_KILL_UNDER. Steps count while the file
// LANYARD_KILL_WHEN is there. Each is written to LANYARD_KILL_LOG as "function path" before it is taken, the path
// relative; LANYARD_KILL_AT="function:pattern:number:when" says at which of those that match (fnmatch) the process
// ends: "before" it, "after" it, or with "half" of what was to be written. "held": it ends before it, but other threads
// have a while to do what does not wait for this step, which nothing that anybody gets may be.
//
// While the file LANYARD_READ_ONLY_WHEN is there, every step fails instead, and so does opening for writing: as on a
// disk that the kernel has made read-only after an error, which nobody can do on purpose while files are open.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum When { kNever, kAfter, kHalf, kRefused };

enum { kHeldMicroseconds = 250 * 1000 };

static void Die(void) {
  syscall(SYS_kill, getpid(), SIGKILL);
  for (;;) pause();
}

static void Log(const char* function, const char* path) {
  const char* to = getenv("LANYARD_KILL_LOG");
  if (to == 0) return;
  char line[PATH_MAX + 64];
  const int size = snprintf(line, sizeof line, "%s %s\n", function, path);
  const int fd = (int)syscall(SYS_openat, AT_FDCWD, to, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return;
  syscall(SYS_write, fd, line, (size_t)size);
  syscall(SYS_close, fd);
}

static int Exists(const char* path) {
  return path != 0 && syscall(SYS_faccessat, AT_FDCWD, path, F_OK) == 0;
}

// What of `path` lies under the directory; nothing when it does not.
static const char* Below(const char* path) {
  const char* under = getenv("LANYARD_KILL_UNDER");
  if (under == 0 || strncmp(path, under, strlen(under)) != 0) return 0;
  const char* relative = path + strlen(under);
  if (*relative == 0) return ".";
  return *relative == '/' ? relative + 1 : 0;
}

// Whether this is the step at which to end, and when.
static enum When Step(const char* function, const char* path) {
  static atomic_int matched;
  const char* relative = Below(path);
  if (relative == 0) return kNever;
  if (Exists(getenv("LANYARD_READ_ONLY_WHEN"))) return kRefused;
  if (!Exists(getenv("LANYARD_KILL_WHEN"))) return kNever;
  Log(function, relative);
  const char* at = getenv("LANYARD_KILL_AT");
  char name[64], pattern[PATH_MAX], when[16];
  int number = 0;
  if (at == 0 || sscanf(at, "%63[^:]:%4095[^:]:%d:%15s", name, pattern, &number, when) != 4) return kNever;
  if (strcmp(name, function) != 0 || fnmatch(pattern, relative, 0) != 0 || ++matched != number) return kNever;
  if (strcmp(when, "held") == 0) usleep(kHeldMicroseconds);
  if (strcmp(when, "held") == 0 || strcmp(when, "before") == 0) Die();
  return strcmp(when, "half") == 0 ? kHalf : kAfter;
}

static enum When StepOn(const char* function, int fd) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t size = readlink(link, path, sizeof path - 1);
  if (size < 0) return kNever;
  path[size] = 0;
  return Step(function, path);
}

#define REAL(type, name, ...)       \
  static type (*real)(__VA_ARGS__); \
  if (real == 0) *(void**)&real = dlsym(RTLD_NEXT, name)

#define RETURN(type, call)     \
  do {                         \
    if (when == kRefused) {    \
      errno = EROFS;           \
      return -1;               \
    }                          \
    const type result = call;  \
    if (when != kNever) Die(); \
    return result;             \
  } while (0)

ssize_t write(int fd, const void* data, size_t size) {
  REAL(ssize_t, "write", int, const void*, size_t);
  const enum When when = StepOn("write", fd);
  RETURN(ssize_t, real(fd, data, when == kHalf ? size / 2 : size));
}

ssize_t pwrite64(int fd, const void* data, size_t size, off64_t at) {
  REAL(ssize_t, "pwrite64", int, const void*, size_t, off64_t);
  const enum When when = StepOn("pwrite", fd);
  RETURN(ssize_t, real(fd, data, when == kHalf ? size / 2 : size, at));
}

ssize_t pwrite(int fd, const void* data, size_t size, off_t at) {
  return pwrite64(fd, data, size, at);
}

#define ON_FILE(name, parameters, arguments, ...) \
  int name parameters {                           \
    REAL(int, #name, __VA_ARGS__);                \
    const enum When when = StepOn(#name, fd);     \
    RETURN(int, real arguments);                  \
  }

ON_FILE(fsync, (int fd), (fd), int)
ON_FILE(fdatasync, (int fd), (fd), int)
ON_FILE(ftruncate, (int fd, off_t size), (fd, size), int, off_t)
ON_FILE(ftruncate64, (int fd, off64_t size), (fd, size), int, off64_t)
ON_FILE(fallocate, (int fd, int mode, off_t at, off_t size), (fd, mode, at, size), int, int, off_t, off_t)
ON_FILE(fchmod, (int fd, mode_t mode), (fd, mode), int, mode_t)

#define ON_PATH(name, parameters, arguments, ...) \
  int name parameters {                           \
    REAL(int, #name, __VA_ARGS__);                \
    const enum When when = Step(#name, path);     \
    RETURN(int, real arguments);                  \
  }

ON_PATH(rename, (const char* path, const char* to), (path, to), const char*, const char*)
ON_PATH(renameat2, (int from, const char* path, int to, const char* name, unsigned flags),
        (from, path, to, name, flags), int, const char*, int, const char*, unsigned)
ON_PATH(link, (const char* path, const char* to), (path, to), const char*, const char*)
ON_PATH(unlink, (const char* path), (path), const char*)
ON_PATH(unlinkat, (int directory, const char* path, int flags), (directory, path, flags), int, const char*, int)
ON_PATH(mkdir, (const char* path, mode_t mode), (path, mode), const char*, mode_t)

// Opening is a step where it makes the file, and is refused where it would write.
static enum When StepOfOpening(const char* path, int flags) {
  if ((flags & O_CREAT) != 0 && !Exists(path)) return Step("open", path);
  const int writes = (flags & O_ACCMODE) != O_RDONLY;
  return writes && Below(path) != 0 && Exists(getenv("LANYARD_READ_ONLY_WHEN")) ? kRefused : kNever;
}

#define OPENING(name)                                  \
  int name(const char* path, int flags, ...) {         \
    REAL(int, #name, const char*, int, ...);           \
    va_list list;                                      \
    va_start(list, flags);                             \
    const mode_t mode = va_arg(list, mode_t);          \
    va_end(list);                                      \
    const enum When when = StepOfOpening(path, flags); \
    RETURN(int, real(path, flags, mode));              \
  }

OPENING(open)
OPENING(open64)
