// Preloaded: makes this kernel look like one before 6.5, which knows no SO_PEERPIDFD.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/socket.h>

enum { kSoPeerPidfd = 77 };

int getsockopt(int fd, int level, int name, void* value, socklen_t* size) {
  static int (*real)(int, int, int, void*, socklen_t*);
  if (real == 0) *(void**)&real = dlsym(RTLD_NEXT, "getsockopt");
  if (level == SOL_SOCKET && name == kSoPeerPidfd) {
    errno = ENOPROTOOPT;
    return -1;
  }
  return real(fd, level, name, value, size);
}
