#include "node_agent/base/curl_multi.h"

#include <uv.h>

namespace lanyard {

struct CurlMulti::Poll {
  Poll(CurlMulti& multi, curl_socket_t socket) : owner(multi), fd(socket) {}
  int Start();

  CurlMulti& owner;
  const curl_socket_t fd;
  int events = 0;
  UvHandle<uv_poll_t> handle{this};
};

int CurlMulti::Poll::Start() {
  return uv_poll_start(handle.get(), events, [](uv_poll_t* polled, int error, int ready) {
    auto* self = Owner<Poll>(polled);
    if (self == nullptr) return;
    // A descriptor in error may still hold what came before, such as the reason: libcurl is to read, and finds the
    // error itself. libuv has stopped polling it.
    if (error != 0) {
      self->Start();
      ready = UV_READABLE | UV_WRITABLE;
    }
    const int action =
        ((ready & UV_READABLE) != 0 ? CURL_CSELECT_IN : 0) | ((ready & UV_WRITABLE) != 0 ? CURL_CSELECT_OUT : 0);
    self->owner.Advance(self->fd, action);
  });
}

CurlMulti::CurlMulti(EventLoop& loop, const CurlLibrary& curl, unsigned connections, Ended ended)
    : loop_(loop), curl_(curl), ended_(ended), timer_(this), multi_(curl.multi_init()) {
  uv_timer_init(loop.native(), timer_.get());
  curl_.multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &CurlMulti::OnSocket);
  curl_.multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
  curl_.multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &CurlMulti::OnTimer);
  curl_.multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
  curl_.multi_setopt(multi_, CURLMOPT_MAX_TOTAL_CONNECTIONS, static_cast<long>(connections));
  curl_.multi_setopt(multi_, CURLMOPT_MAXCONNECTS, static_cast<long>(connections));
}

CurlMulti::~CurlMulti() {
  curl_.multi_cleanup(multi_);
}

bool CurlMulti::Add(CURL* transfer) {
  return curl_.multi_add_handle(multi_, transfer) == CURLM_OK;
}

void CurlMulti::Remove(CURL* transfer) {
  curl_.multi_remove_handle(multi_, transfer);
}

int CurlMulti::OnSocket(CURL* /*easy*/, curl_socket_t fd, int what, void* data, void* /*socket_data*/) {
  auto& self = *static_cast<CurlMulti*>(data);
  if (what == CURL_POLL_REMOVE) {
    self.polls_.erase(fd);
    return 0;
  }
  std::unique_ptr<Poll>& poll = self.polls_[fd];
  if (poll == nullptr) {
    poll = std::make_unique<Poll>(self, fd);
    if (uv_poll_init(self.loop_.native(), poll->handle.get(), fd) != 0) {
      self.polls_.erase(fd);
      return -1;
    }
  }
  poll->events = ((what & CURL_POLL_IN) != 0 ? UV_READABLE : 0) | ((what & CURL_POLL_OUT) != 0 ? UV_WRITABLE : 0);
  return poll->Start();
}

int CurlMulti::OnTimer(CURLM* /*multi*/, long timeout_ms, void* data) {
  uv_timer_t* timer = static_cast<CurlMulti*>(data)->timer_.get();
  if (timeout_ms < 0) return uv_timer_stop(timer);
  return uv_timer_start(
      timer,
      [](uv_timer_t* handle) {
        if (auto* self = Owner<CurlMulti>(handle)) self->Advance(CURL_SOCKET_TIMEOUT, 0);
      },
      static_cast<uint64_t>(timeout_ms), 0);
}

void CurlMulti::Advance(curl_socket_t fd, int action) {
  int running = 0;
  curl_.multi_socket_action(multi_, fd, action, &running);
  const std::weak_ptr<int> alive = alive_;
  int queued = 0;
  while (!alive.expired()) {
    const CURLMsg* message = curl_.multi_info_read(multi_, &queued);
    if (message == nullptr) return;
    if (message->msg != CURLMSG_DONE) continue;
    const CURLcode code = message->data.result;
    char* transfer = nullptr;
    curl_.easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
    ended_(transfer, code);
  }
}

}  // namespace lanyard
