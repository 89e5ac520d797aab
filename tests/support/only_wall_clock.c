// Preloaded in front of libfaketime, so that only the wall clock moves, as it does when somebody sets it.
//
// libfaketime 0.9.10 with FAKETIME_DONT_FAKE_MONOTONIC leaves the boot clock alone but still moves what waits: absolute
// timers of timerfd whatever their clock, and it cannot see futexes, whose absolute wall time the kernel reads by the true
// clock. Both are put right here.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>

static long (*real_syscall)(long, ...);

static long Call(long number, long a, long b, long c, long d, long e, long f) {
  if (real_syscall == 0) *(void**)&real_syscall = dlsym(RTLD_NEXT, "syscall");
  return real_syscall(number, a, b, c, d, e, f);
}

int timerfd_settime(int fd, int flags, const struct itimerspec* value, struct itimerspec* old) {
  return (int)Call(SYS_timerfd_settime, fd, flags, (long)value, (long)old, 0, 0);
}

long syscall(long number, ...) {
  va_list list;
  va_start(list, number);
  long arguments[6];
  for (int i = 0; i < 6; ++i) arguments[i] = va_arg(list, long);
  va_end(list);
  const struct timespec* until = (const struct timespec*)arguments[3];
  if (number == SYS_futex && (arguments[1] & FUTEX_CLOCK_REALTIME) != 0 && until != 0) {
    struct timespec shown;
    struct timespec true_now;
    clock_gettime(CLOCK_REALTIME, &shown);
    Call(SYS_clock_gettime, CLOCK_REALTIME, (long)&true_now, 0, 0, 0, 0);
    struct timespec moved = *until;
    moved.tv_sec -= shown.tv_sec - true_now.tv_sec;
    if (moved.tv_sec < 0) moved.tv_sec = 0;
    return Call(number, arguments[0], arguments[1], arguments[2], (long)&moved, arguments[4], arguments[5]);
  }
  return Call(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
}
