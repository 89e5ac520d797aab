// libcurl, loaded when somebody first needs it.
//
// It costs six megabytes of resident memory with all that it brings, and most agents ask nobody anything over HTTP: so
// it is not linked, but looked up by name. Loaded once, it stays until the process ends. What it has held in memory,
// such as a request with its token, is overwritten when it is released.
//
// Of the environment, libcurl and its OpenSSL look at SSLKEYLOGFILE and OPENSSL_CONF when they are loaded; proxies and
// the like are for each request to refuse.
//
// Thread: any.
#pragma once

#define CURL_DISABLE_TYPECHECK  // the checks are macros for the linked functions
#include <curl/curl.h>

#include "node_agent/base/status.h"

namespace lanyard {

// The functions of libcurl that we use, under their own names without the prefix.
struct CurlLibrary {
  decltype(&curl_global_init_mem) global_init_mem;
  decltype(&curl_version_info) version_info;
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

// FailedPrecondition when it is not installed, or not what we need; the message says what to install. The same answer
// every time.
Result<const CurlLibrary*> LoadCurl();

// LoadCurl's work, done anew: `file` is a name for dlopen(). Tests ask for one that no machine has.
Result<CurlLibrary> OpenCurl(const char* file);

}  // namespace lanyard
