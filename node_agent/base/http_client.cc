#include "node_agent/base/http_client.h"

#include <string.h>
#include <sys/socket.h>
#include <uv.h>

#include <unordered_map>
#include <utility>

#include "node_agent/base/curl_library.h"
#include "node_agent/base/trusted_socket.h"
#include "node_agent/base/uv_handle.h"

namespace lanyard {

// What the callbacks of libcurl's multi interface need: it says which descriptors to poll and when to wake it.
struct HttpClient::State : std::enable_shared_from_this<State> {
  struct Poll {
    Poll(State& state, curl_socket_t socket) : owner(state), fd(socket) {}
    State& owner;
    const curl_socket_t fd;
    UvHandle<uv_poll_t> handle{this};
  };

  State(EventLoop& event_loop, Clock& system_clock, HttpClientOptions given)
      : loop(event_loop), clock(system_clock), options(std::move(given)), library(LoadCurl()) {
    if (!library.ok()) return;
    uv_timer_init(loop.native(), timer.get());
    multi = curl().multi_init();
    curl().multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, &State::OnSocket);
    curl().multi_setopt(multi, CURLMOPT_SOCKETDATA, this);
    curl().multi_setopt(multi, CURLMOPT_TIMERFUNCTION, &State::OnTimer);
    curl().multi_setopt(multi, CURLMOPT_TIMERDATA, this);
    curl().multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, static_cast<long>(options.connections));
    curl().multi_setopt(multi, CURLMOPT_MAXCONNECTS, static_cast<long>(options.connections));
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    if (multi != nullptr) curl().multi_cleanup(multi);
  }

  const CurlLibrary& curl() const { return **library; }

  static int OnSocket(CURL* /*easy*/, curl_socket_t fd, int what, void* data, void* /*socket_data*/) {
    auto& state = *static_cast<State*>(data);
    if (what == CURL_POLL_REMOVE) {
      state.polls.erase(fd);
      return 0;
    }
    std::unique_ptr<Poll>& poll = state.polls[fd];
    if (poll == nullptr) {
      poll = std::make_unique<Poll>(state, fd);
      if (uv_poll_init(state.loop.native(), poll->handle.get(), fd) != 0) {
        state.polls.erase(fd);
        return -1;
      }
    }
    const int events = ((what & CURL_POLL_IN) != 0 ? UV_READABLE : 0) | ((what & CURL_POLL_OUT) != 0 ? UV_WRITABLE : 0);
    return uv_poll_start(poll->handle.get(), events, [](uv_poll_t* handle, int error, int ready) {
      auto* self = Owner<Poll>(handle);
      if (self == nullptr) return;
      const int action = error != 0 ? CURL_CSELECT_ERR
                                    : ((ready & UV_READABLE) != 0 ? CURL_CSELECT_IN : 0) |
                                          ((ready & UV_WRITABLE) != 0 ? CURL_CSELECT_OUT : 0);
      self->owner.Advance(self->fd, action);
    });
  }

  static int OnTimer(CURLM* /*multi*/, long timeout_ms, void* data) {
    uv_timer_t* timer = static_cast<State*>(data)->timer.get();
    if (timeout_ms < 0) return uv_timer_stop(timer);
    return uv_timer_start(
        timer,
        [](uv_timer_t* handle) {
          if (auto* self = Owner<State>(handle)) self->Advance(CURL_SOCKET_TIMEOUT, 0);
        },
        static_cast<uint64_t>(timeout_ms), 0);
  }

  void Advance(curl_socket_t fd, int action);

  EventLoop& loop;
  Clock& clock;
  const HttpClientOptions options;
  const Result<const CurlLibrary*> library;
  UvHandle<uv_timer_t> timer{this};
  std::unordered_map<curl_socket_t, std::unique_ptr<Poll>> polls;
  CURLM* multi = nullptr;
};

// One request, from Get to its answer.
class HttpClient::Transfer : public Request {
 public:
  Transfer(State& state, Done done) : state_(state), done_(std::move(done)) {}
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;
  ~Transfer() override { Leave(); }

  void Start(const std::string& path, Deadline deadline) {
    if (!state_.library.ok()) return FinishLater(state_.library.status());
    const CurlLibrary& curl = state_.curl();
    easy_ = curl.easy_init();
    const auto set = [&](CURLoption option, auto value) { return curl.easy_setopt(easy_, option, value) == CURLE_OK; };
    const bool understood =
        easy_ != nullptr && set(CURLOPT_URL, ("http://localhost" + path).c_str()) && set(CURLOPT_PATH_AS_IS, 1L) &&
        set(CURLOPT_UNIX_SOCKET_PATH, state_.options.unix_socket.c_str()) && set(CURLOPT_PROTOCOLS_STR, "http") &&
        set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1)) && set(CURLOPT_FOLLOWLOCATION, 0L) &&
        set(CURLOPT_PROXY, "") && set(CURLOPT_NOPROXY, "*") && set(CURLOPT_NETRC, 0L) && set(CURLOPT_NOSIGNAL, 1L) &&
        set(CURLOPT_USERAGENT, "lanyard") && set(CURLOPT_PRIVATE, this) &&
        set(CURLOPT_OPENSOCKETFUNCTION, &Transfer::OnOpen) && set(CURLOPT_OPENSOCKETDATA, this) &&
        set(CURLOPT_PREREQFUNCTION, &Transfer::OnConnected) && set(CURLOPT_PREREQDATA, this) &&
        set(CURLOPT_HEADERFUNCTION, &Transfer::OnHeader) && set(CURLOPT_HEADERDATA, this) &&
        set(CURLOPT_WRITEFUNCTION, &Transfer::OnBody) && set(CURLOPT_WRITEDATA, this);
    if (!understood || curl.multi_add_handle(state_.multi, easy_) != CURLM_OK)
      return FinishLater(Error(StatusCode::kInternal, "libcurl does not take the request"));
    added_ = true;
    alarm_ = state_.clock.CallAt(
        deadline, [this] { Finish(Error(StatusCode::kDeadlineExceeded, "no whole answer came in time")); });
  }

  void OnComplete(CURLcode code) {
    if (code != CURLE_OK) return Finish(failed_.ok() ? Describe(code) : failed_);
    long status = 0;
    state_.curl().easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
    answer_.status = static_cast<int>(status);
    Finish(OkStatus());
  }

 private:
  // libcurl asks for a socket and will connect it to `address`: we put in what we have checked.
  static curl_socket_t OnOpen(void* data, curlsocktype /*purpose*/, curl_sockaddr* address) {
    auto& self = *static_cast<Transfer*>(data);
    self.socket_ = FindTrustedSocket(self.state_.options.unix_socket);
    if (!self.socket_.ok()) {
      self.failed_ = self.socket_.status();
      return CURL_SOCKET_BAD;
    }
    static_assert(sizeof(sockaddr_un) <= sizeof(sockaddr_storage));  // what libcurl has room for
    memcpy(&address->addr, &self.socket_->address, sizeof(sockaddr_un));
    address->addrlen = sizeof(sockaddr_un);
    self.fresh_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return self.fresh_;
  }
  // Connected, and nothing sent yet. A connection that is used again was asked about by the transfer that made it: one
  // that did not come to its end has taken its connection with it.
  static int OnConnected(void* data, char* /*remote*/, char* /*local*/, int /*remote_port*/, int /*local_port*/) {
    auto& self = *static_cast<Transfer*>(data);
    if (self.fresh_ == CURL_SOCKET_BAD) return CURL_PREREQFUNC_OK;
    self.failed_ = CheckListener(self.fresh_).status();
    return self.failed_.ok() ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
  }

  static size_t OnHeader(const char* /*bytes*/, size_t /*one*/, size_t size, void* data) {
    auto& self = *static_cast<Transfer*>(data);
    self.header_bytes_ += size;
    if (self.header_bytes_ <= self.state_.options.max_header_bytes) return size;
    return self.TooLong("headers", self.state_.options.max_header_bytes);
  }
  static size_t OnBody(const char* bytes, size_t /*one*/, size_t size, void* data) {
    auto& self = *static_cast<Transfer*>(data);
    const size_t most = self.state_.options.max_body_bytes;
    if (size > most - self.answer_.body.size()) return self.TooLong("body", most);
    self.answer_.body.append(bytes, size);
    return size;
  }
  // Ends the transfer: libcurl is told that nothing was taken.
  size_t TooLong(std::string_view what, size_t most) {
    failed_ = Error(StatusCode::kResourceExhausted, "the answer's {} is longer than {} bytes", what, most);
    return 0;
  }

  Status Describe(CURLcode code) const {
    if (code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_WEIRD_SERVER_REPLY)
      return Error(StatusCode::kUnavailable, "what came is not HTTP");
    if (code != CURLE_COULDNT_CONNECT) return Error(StatusCode::kUnavailable, "{}", state_.curl().easy_strerror(code));
    long error = 0;
    state_.curl().easy_getinfo(easy_, CURLINFO_OS_ERRNO, &error);
    // A Unix socket's connect() does not go on by itself after EAGAIN; libcurl waits, finds no connection and no error.
    if (error == 0 || error == EAGAIN)
      return Error(StatusCode::kUnavailable, "connect: too many connections wait to be accepted");
    return ErrnoStatus(static_cast<int>(error), "connect");
  }

  void FinishLater(Status status) {
    state_.loop.Post([this, status = std::move(status), alive = std::weak_ptr<int>(alive_)] {
      if (!alive.expired()) Finish(status);
    });
  }

  // May destroy this.
  void Finish(const Status& status) {
    Leave();
    alarm_.reset();
    Done done = std::exchange(done_, nullptr);
    if (!status.ok()) return std::move(done)(Annotate(status, "socket {}", state_.options.unix_socket));
    std::move(done)(std::move(answer_));
  }

  // A transfer that is not complete takes its connection with it.
  void Leave() {
    if (easy_ == nullptr) return;
    if (added_) state_.curl().multi_remove_handle(state_.multi, easy_);
    state_.curl().easy_cleanup(std::exchange(easy_, nullptr));
  }

  State& state_;
  Done done_;
  CURL* easy_ = nullptr;
  bool added_ = false;
  std::unique_ptr<Clock::Alarm> alarm_;
  size_t header_bytes_ = 0;
  HttpAnswer answer_;
  Result<TrustedSocket> socket_ = TrustedSocket{};
  curl_socket_t fresh_ = CURL_SOCKET_BAD;  // libcurl's, made for this transfer
  Status failed_;                          // why a callback ended it
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

void HttpClient::State::Advance(curl_socket_t fd, int action) {
  int running = 0;
  curl().multi_socket_action(multi, fd, action, &running);
  const std::weak_ptr<State> alive = weak_from_this();
  int queued = 0;
  while (!alive.expired()) {  // whoever gets an answer may destroy the client
    const CURLMsg* message = curl().multi_info_read(multi, &queued);
    if (message == nullptr) return;
    if (message->msg != CURLMSG_DONE) continue;
    const CURLcode code = message->data.result;
    char* transfer = nullptr;
    curl().easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
    reinterpret_cast<Transfer*>(transfer)->OnComplete(code);
  }
}

Status HttpClient::Available() {
  return LoadCurl().status();
}

HttpClient::HttpClient(EventLoop& loop, Clock& clock, HttpClientOptions options)
    : state_(std::make_shared<State>(loop, clock, std::move(options))) {}

HttpClient::~HttpClient() = default;

std::unique_ptr<HttpClient::Request> HttpClient::Get(const std::string& path, Deadline deadline, Done done) {
  auto transfer = std::make_unique<Transfer>(*state_, std::move(done));
  transfer->Start(path, deadline);
  return transfer;
}

}  // namespace lanyard
