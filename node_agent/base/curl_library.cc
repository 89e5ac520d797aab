#include "node_agent/base/curl_library.h"

#include <dlfcn.h>

namespace lanyard {
namespace {

constexpr const char* kFile = "libcurl.so.4";

template <class Function>
bool Find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

Result<const CurlLibrary*> Load() {
  static CurlLibrary curl{};
  void* library = dlopen(kFile, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    return Error(StatusCode::kFailedPrecondition, "load libcurl: {}; install the package libcurl4", dlerror());
  const bool whole =
      Find(library, "curl_global_init", curl.global_init) && Find(library, "curl_easy_init", curl.easy_init) &&
      Find(library, "curl_easy_setopt", curl.easy_setopt) && Find(library, "curl_easy_getinfo", curl.easy_getinfo) &&
      Find(library, "curl_easy_cleanup", curl.easy_cleanup) &&
      Find(library, "curl_easy_strerror", curl.easy_strerror) && Find(library, "curl_multi_init", curl.multi_init) &&
      Find(library, "curl_multi_setopt", curl.multi_setopt) &&
      Find(library, "curl_multi_add_handle", curl.multi_add_handle) &&
      Find(library, "curl_multi_remove_handle", curl.multi_remove_handle) &&
      Find(library, "curl_multi_socket_action", curl.multi_socket_action) &&
      Find(library, "curl_multi_info_read", curl.multi_info_read) &&
      Find(library, "curl_multi_cleanup", curl.multi_cleanup);
  // Plain HTTP needs none of what could be set up here.
  if (!whole || curl.global_init(CURL_GLOBAL_NOTHING) != CURLE_OK)
    return Error(StatusCode::kFailedPrecondition,
                 "load libcurl: {} is not the library that we know; it must be 7.85 or newer", kFile);
  return &curl;
}

}  // namespace

Result<const CurlLibrary*> LoadCurl() {
  static const Result<const CurlLibrary*> loaded = Load();
  return loaded;
}

}  // namespace lanyard
