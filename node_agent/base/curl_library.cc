#include "node_agent/base/curl_library.h"

#include <dlfcn.h>
#include <malloc.h>
#include <string.h>

#include <algorithm>
#include <cstdlib>

namespace lanyard {
namespace {

template <class Function>
bool Find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

bool FindAll(void* library, CurlLibrary& curl) {
  return Find(library, "curl_global_init_mem", curl.global_init_mem) &&
         Find(library, "curl_version_info", curl.version_info) && Find(library, "curl_easy_init", curl.easy_init) &&
         Find(library, "curl_easy_setopt", curl.easy_setopt) && Find(library, "curl_easy_getinfo", curl.easy_getinfo) &&
         Find(library, "curl_easy_cleanup", curl.easy_cleanup) &&
         Find(library, "curl_easy_strerror", curl.easy_strerror) && Find(library, "curl_multi_init", curl.multi_init) &&
         Find(library, "curl_multi_setopt", curl.multi_setopt) &&
         Find(library, "curl_multi_add_handle", curl.multi_add_handle) &&
         Find(library, "curl_multi_remove_handle", curl.multi_remove_handle) &&
         Find(library, "curl_multi_socket_action", curl.multi_socket_action) &&
         Find(library, "curl_multi_info_read", curl.multi_info_read) &&
         Find(library, "curl_multi_cleanup", curl.multi_cleanup);
}

// libcurl's allocator: the C library's, but what is given back is overwritten.
void Wipe(void* memory) {
  if (memory != nullptr) explicit_bzero(memory, malloc_usable_size(memory));
  free(memory);
}
void* Resize(void* memory, size_t size) {
  void* moved = malloc(size);
  if (memory == nullptr || moved == nullptr) return moved;
  memcpy(moved, memory, std::min(size, malloc_usable_size(memory)));
  Wipe(memory);
  return moved;
}

}  // namespace

Result<CurlLibrary> OpenCurl(const char* file) {
  void* library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    // NOLINTNEXTLINE(concurrency-mt-unsafe): glibc has one for each thread
    return Error(StatusCode::kFailedPrecondition, "load libcurl: {}; install the package libcurl4", dlerror());
  CurlLibrary curl{};
  // TLS is set up whether it is asked for or not, and nothing else is needed.
  if (!FindAll(library, curl) ||
      curl.global_init_mem(CURL_GLOBAL_NOTHING, malloc, Wipe, Resize, strdup, calloc) != CURLE_OK)
    return Error(StatusCode::kFailedPrecondition,
                 "load libcurl: {} is not the library that we know; it must be 7.87 or newer", file);
  const int needed = CURL_VERSION_SSL | CURL_VERSION_ASYNCHDNS | CURL_VERSION_UNIX_SOCKETS;
  if ((curl.version_info(CURLVERSION_NOW)->features & needed) != needed)
    return Error(StatusCode::kFailedPrecondition,
                 "load libcurl: {} was built without TLS, Unix sockets, or a resolver that others need not wait for; "
                 "install the package libcurl4",
                 file);
  return curl;
}

Result<const CurlLibrary*> LoadCurl() {
  static const Result<CurlLibrary> loaded = OpenCurl("libcurl.so.4");
  if (!loaded.ok()) return loaded.status();
  return &*loaded;
}

}  // namespace lanyard
