// Threads that say in ps, top, gdb and perf what they are for.
#pragma once

#include <pthread.h>

namespace lanyard {

// At most 15 characters (prctl(2), PR_SET_NAME). For a thread that has just begun.
inline void NameThisThread(const char* name) {
  pthread_setname_np(pthread_self(), name);
}

}  // namespace lanyard
