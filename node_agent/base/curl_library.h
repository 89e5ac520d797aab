// libcurl, loaded when somebody first needs it.
//
// It costs six megabytes of resident memory with all that it brings, and most agents ask nobody anything over HTTP: so
// it is not linked, but looked up by name. Loaded once, it stays until the process ends.
//
// Thread: any.
#pragma once

#define CURL_DISABLE_TYPECHECK  // the checks are macros for the linked functions
#include <curl/curl.h>

#include "node_agent/base/status.h"

namespace lanyard {

// The functions of libcurl that we use, under their own names without the prefix.
struct CurlLibrary {
  decltype(&curl_global_init) global_init;
  decltype(&curl_easy_init) easy_init;
  decltype(&::curl_easy_setopt) easy_setopt;
  decltype(&::curl_easy_getinfo) easy_getinfo;
  decltype(&curl_easy_cleanup) easy_cleanup;
  decltype(&curl_easy_strerror) easy_strerror;
  decltype(&curl_multi_init) multi_init;
  decltype(&::curl_multi_setopt) multi_setopt;
  decltype(&curl_multi_add_handle) multi_add_handle;
  decltype(&curl_multi_remove_handle) multi_remove_handle;
  decltype(&curl_multi_socket_action) multi_socket_action;
  decltype(&curl_multi_info_read) multi_info_read;
  decltype(&curl_multi_cleanup) multi_cleanup;
};

// FailedPrecondition when it is not installed, or older than we need; the message says what to install. The same answer
// every time.
Result<const CurlLibrary*> LoadCurl();

}  // namespace lanyard
