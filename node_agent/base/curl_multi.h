// libcurl's transfers, driven by the event loop: libcurl says which descriptors to poll and when to wake it.
//
// Lifetime: the loop outlives it, and it every transfer that was added and not removed. Thread: loop.
#pragma once

#include <memory>
#include <unordered_map>

#include "node_agent/base/curl_library.h"
#include "node_agent/base/event_loop.h"
#include "node_agent/base/uv_handle.h"

namespace lanyard {

class CurlMulti {
 public:
  // Called when a transfer has ended, with what its CURLOPT_PRIVATE is; may destroy everything.
  using Ended = void (*)(void* transfer, CURLcode code);

  // Connections beyond `connections` are not made: transfers wait in line for one.
  CurlMulti(EventLoop& loop, const CurlLibrary& curl, unsigned connections, Ended ended);
  CurlMulti(const CurlMulti&) = delete;
  CurlMulti& operator=(const CurlMulti&) = delete;
  ~CurlMulti();

  bool Add(CURL* transfer);
  // A transfer that has not come to its end takes its connection with it.
  void Remove(CURL* transfer);

 private:
  struct Poll;

  static int OnSocket(CURL* easy, curl_socket_t fd, int what, void* data, void* socket_data);
  static int OnTimer(CURLM* multi, long timeout_ms, void* data);
  void Advance(curl_socket_t fd, int action);

  EventLoop& loop_;
  const CurlLibrary& curl_;
  const Ended ended_;
  UvHandle<uv_timer_t> timer_;
  std::unordered_map<curl_socket_t, std::unique_ptr<Poll>> polls_;
  CURLM* multi_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace lanyard
