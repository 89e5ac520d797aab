#include "node_agent/base/http_client.h"

#include <string.h>
#include <sys/socket.h>

#include <algorithm>
#include <list>
#include <utility>

#include "node_agent/base/curl_fault.h"
#include "node_agent/base/curl_library.h"
#include "node_agent/base/curl_multi.h"
#include "node_agent/base/tls_files.h"
#include "node_agent/base/trusted_socket.h"

namespace lanyard {

struct HttpClient::State {
  State(EventLoop& event_loop, Clock& system_clock, HttpClientOptions given);

  const CurlLibrary& curl() const { return **library; }

  EventLoop& loop;
  Clock& clock;
  const HttpClientOptions options;
  const Result<const CurlLibrary*> library;
  std::unique_ptr<CurlMulti> multi;  // none without the library
  size_t last_body = 0;              // the length of the last answer's
  unsigned reading = 0;              // reads of certificate files under way, also for requests that are over
  std::list<Transfer*> to_read;      // whose turn to read has not come
  std::shared_ptr<int> alive = std::make_shared<int>(0);
};

// One request, from Get to its answer.
class HttpClient::Transfer : public Request {
 public:
  Transfer(State& state, const std::string& path, Done done) : state_(state), path_(path), done_(std::move(done)) {}
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;
  ~Transfer() override { Leave(); }

  void Start(const WipedString& token, Deadline deadline) {
    const HttpPeer& server = state_.options.server;
    if (!state_.library.ok()) return FinishLater(state_.library.status());
    if (Status wrong = CheckPeer(server); !wrong.ok()) return FinishLater(std::move(wrong));
    if (Status wrong = Authorize(token); !wrong.ok()) return FinishLater(std::move(wrong));
    alarm_ = state_.clock.CallAt(deadline, [this] { Finish(Late()); });
    if (TlsOf(server) == nullptr) {
      if (Status wrong = Begin(); !wrong.ok()) FinishLater(std::move(wrong));
      return;
    }
    ReadFiles();
  }

  void OnComplete(CURLcode code) {
    if (code != CURLE_OK) {
      if (failed_.ok()) failed_ = ExplainFault(state_.curl(), easy_, code, text_, state_.options.server);
      return Finish(failed_);
    }
    long status = 0;
    state_.curl().easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
    answer_.status = static_cast<int>(status);
    state_.last_body = answer_.body.size();
    Finish(OkStatus());
  }

 private:
  // A header of our own, since this way the only copy that libcurl makes is the request itself; the option for bearer
  // tokens makes three.
  Status Authorize(const WipedString& token) {
    if (token.empty()) return OkStatus();
    if (TlsOf(state_.options.server) == nullptr)
      return Error(StatusCode::kInvalidArgument, "a token is not sent without TLS");
    // RFC 6750 §2.1: b64token
    constexpr std::string_view kAllowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=";
    if (std::string_view(token).find_first_not_of(kAllowed) != std::string_view::npos)
      return Error(StatusCode::kInvalidArgument,
                   "the bearer token has characters that no token has, such as a space or a line break");
    constexpr std::string_view kHeader = "Authorization: Bearer ";
    authorization_.reserve(kHeader.size() + token.size());
    authorization_.append(kHeader).append(token);
    header_.data = authorization_.data();
    return OkStatus();
  }

  // No more at a time than there are connections: reads that hang must not fill the pool.
  void ReadFiles() {
    if (state_.reading == state_.options.connections) {
      state_.to_read.push_back(this);
      in_line_ = true;
      return;
    }
    ++state_.reading;
    state_.loop.ComputeInPool([settings = *TlsOf(state_.options.server)] { return ReadTlsFiles(settings); },
                              [this, state = &state_, client = std::weak_ptr<int>(state_.alive),
                               alive = std::weak_ptr<int>(alive_)](Result<TlsFiles> files) {
                                if (client.expired()) return;
                                --state->reading;
                                if (!state->to_read.empty()) {
                                  Transfer* next = state->to_read.front();
                                  state->to_read.pop_front();
                                  next->in_line_ = false;
                                  next->ReadFiles();
                                }
                                if (alive.expired() || done_ == nullptr) return;
                                if (!files.ok()) return Finish(files.status());
                                files_ = *std::move(files);
                                if (const Status wrong = Begin(); !wrong.ok()) Finish(wrong);
                              });
  }

  // Hands the request to libcurl.
  Status Begin() {
    const CurlLibrary& curl = state_.curl();
    const HttpPeer& server = state_.options.server;
    easy_ = curl.easy_init();
    connect_to_ = ConnectTo(server);
    connect_to_line_.data = connect_to_.data();
    const bool understood =
        easy_ != nullptr && Set(CURLOPT_URL, RequestUrl(server, path_).c_str()) && Set(CURLOPT_PATH_AS_IS, 1L) &&
        (connect_to_.empty() || Set(CURLOPT_CONNECT_TO, &connect_to_line_)) &&
        (authorization_.empty() || Set(CURLOPT_HTTPHEADER, &header_)) &&
        Set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1)) && Set(CURLOPT_FOLLOWLOCATION, 0L) &&
        Set(CURLOPT_PROXY, "") && Set(CURLOPT_NOPROXY, "*") && Set(CURLOPT_NETRC, 0L) && Set(CURLOPT_NOSIGNAL, 1L) &&
        // Without this libcurl waits for the thread that still resolves the name of a request that is cancelled.
        Set(CURLOPT_QUICK_EXIT, 1L) && Set(CURLOPT_USERAGENT, "lanyard") && Set(CURLOPT_PRIVATE, this) &&
        Set(CURLOPT_ERRORBUFFER, text_) && Set(CURLOPT_OPENSOCKETFUNCTION, &Transfer::OnOpen) &&
        Set(CURLOPT_OPENSOCKETDATA, this) && Set(CURLOPT_PREREQFUNCTION, &Transfer::OnConnected) &&
        Set(CURLOPT_PREREQDATA, this) && Set(CURLOPT_HEADERFUNCTION, &Transfer::OnHeader) &&
        Set(CURLOPT_HEADERDATA, this) && Set(CURLOPT_WRITEFUNCTION, &Transfer::OnBody) &&
        Set(CURLOPT_WRITEDATA, this) && SetServer();
    if (!understood || !state_.multi->Add(easy_))
      return Error(StatusCode::kInternal, "libcurl does not take the request");
    added_ = true;
    return OkStatus();
  }

  template <class Value>
  bool Set(CURLoption option, Value value) {
    return state_.curl().easy_setopt(easy_, option, value) == CURLE_OK;
  }
  // libcurl looks at the bytes where they are, as long as the transfer lasts.
  template <class Bytes>
  bool SetBlob(CURLoption option, Bytes& bytes) {
    curl_blob blob{.data = bytes.data(), .len = bytes.size(), .flags = CURL_BLOB_NOCOPY};
    return Set(option, &blob);
  }

  bool SetServer() {
    if (const auto* local = std::get_if<UnixServer>(&state_.options.server))
      return Set(CURLOPT_PROTOCOLS_STR, "http") && Set(CURLOPT_UNIX_SOCKET_PATH, local->path.c_str());
    const TlsSettings* tls = TlsOf(state_.options.server);
    if (tls == nullptr) return Set(CURLOPT_PROTOCOLS_STR, "http");
    const bool verify = !tls->skip_verification;
    const bool name_matters = verify && !tls->server_name.empty();
    return Set(CURLOPT_PROTOCOLS_STR, "https") && Set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2)) &&
           Set(CURLOPT_SSL_SESSIONID_CACHE, 0L) && Set(CURLOPT_SSL_VERIFYPEER, verify ? 1L : 0L) &&
           Set(CURLOPT_SSL_VERIFYHOST, name_matters ? 2L : 0L) && Set(CURLOPT_CERTINFO, name_matters ? 1L : 0L) &&
           // The machine's own authorities are not asked: libcurl would add those of its directory to ours.
           Set(CURLOPT_CAINFO, nullptr) && Set(CURLOPT_CAPATH, nullptr) &&
           (!verify || SetBlob(CURLOPT_CAINFO_BLOB, files_.authorities)) &&
           // An empty password: an encrypted key is an error, and nobody is asked at a terminal.
           Set(CURLOPT_KEYPASSWD, "") &&
           (tls->certificate_file.empty() ||
            (SetBlob(CURLOPT_SSLCERT_BLOB, files_.certificate) && SetBlob(CURLOPT_SSLKEY_BLOB, files_.key)));
  }

  // libcurl asks for a socket and will connect it to `address`: for a Unix socket we put in what we have checked.
  static curl_socket_t OnOpen(void* data, curlsocktype /*purpose*/, curl_sockaddr* address) {
    auto& self = *static_cast<Transfer*>(data);
    if (const auto* local = std::get_if<UnixServer>(&self.state_.options.server)) {
      self.socket_ = FindTrustedSocket(local->path);
      if (!self.socket_.ok()) {
        self.failed_ = self.socket_.status();
        return CURL_SOCKET_BAD;
      }
      static_assert(sizeof(sockaddr_un) <= sizeof(sockaddr_storage));  // what libcurl has room for
      memcpy(&address->addr, &self.socket_->address, sizeof(sockaddr_un));
      address->addrlen = sizeof(sockaddr_un);
    }
    self.fresh_ = socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address->protocol);
    return self.fresh_;
  }
  // Connected, by TLS where it is spoken, and nothing sent yet. A connection that is used again was asked about by the
  // transfer that made it: one that did not come to its end has taken its connection with it.
  static int OnConnected(void* data, char* /*remote*/, char* /*local*/, int /*remote_port*/, int /*local_port*/) {
    auto& self = *static_cast<Transfer*>(data);
    self.connected_ = true;
    if (self.fresh_ == CURL_SOCKET_BAD || !std::holds_alternative<UnixServer>(self.state_.options.server))
      return CURL_PREREQFUNC_OK;
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
    if (self.answer_.body.empty()) self.Reserve();
    if (size > most - self.answer_.body.size()) return self.TooLong("body", most);
    self.answer_.body.append(bytes, size);
    return size;
  }
  // Ends the transfer: libcurl is told that nothing was taken.
  size_t TooLong(std::string_view what, size_t most) {
    failed_ = Error(StatusCode::kResourceExhausted, "the answer's {} is longer than {} bytes", what, most);
    return 0;
  }

  // Room for the body: as long as it says that it is, else about as long as the last one was. Growing to 3 MB, wiping
  // what is outgrown, takes 100 times as long as that.
  void Reserve() {
    curl_off_t length = -1;
    state_.curl().easy_getinfo(easy_, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    const size_t expected = length >= 0 ? static_cast<size_t>(length) : state_.last_body + state_.last_body / 8;
    answer_.body.reserve(std::min(expected, state_.options.max_body_bytes));
  }

  // The deadline has come: for what was it too short?
  Status Late() const {
    const auto late = [](std::string_view what) { return Error(StatusCode::kDeadlineExceeded, "{} in time", what); };
    if (easy_ == nullptr) return late("its certificate files could not be read");
    if (connected_ || std::holds_alternative<UnixServer>(state_.options.server)) return late("no whole answer came");
    if (fresh_ == CURL_SOCKET_BAD) return late("its address was not resolved, or no connection was free");
    sockaddr_storage peer;
    socklen_t size = sizeof(peer);
    const bool reached = getpeername(fresh_, reinterpret_cast<sockaddr*>(&peer), &size) == 0;
    return late(reached ? "the TLS handshake did not come to its end" : "connect: no answer came");
  }

  void FinishLater(Status status) {
    alarm_.reset();
    state_.loop.Post([this, status = std::move(status), alive = std::weak_ptr<int>(alive_)] {
      if (!alive.expired()) Finish(status);
    });
  }

  // May destroy this.
  void Finish(const Status& status) {
    Leave();
    alarm_.reset();
    Done done = std::exchange(done_, nullptr);
    if (!status.ok()) return std::move(done)(Annotate(status, "{}", PeerName(state_.options.server, path_)));
    std::move(done)(std::move(answer_));
  }

  // A transfer that is not complete takes its connection with it.
  void Leave() {
    if (std::exchange(in_line_, false)) state_.to_read.remove(this);
    if (easy_ == nullptr) return;
    if (added_) state_.multi->Remove(easy_);
    state_.curl().easy_cleanup(std::exchange(easy_, nullptr));
  }

  State& state_;
  const std::string path_;
  Done done_;
  WipedString authorization_;
  TlsFiles files_;
  std::string connect_to_;
  curl_slist header_{};           // authorization_
  curl_slist connect_to_line_{};  // connect_to_
  char text_[CURL_ERROR_SIZE] = {};
  CURL* easy_ = nullptr;
  bool added_ = false;
  bool in_line_ = false;  // in State::to_read
  std::unique_ptr<Clock::Alarm> alarm_;
  size_t header_bytes_ = 0;
  HttpAnswer answer_;
  Result<TrustedSocket> socket_ = TrustedSocket{};
  curl_socket_t fresh_ = CURL_SOCKET_BAD;  // libcurl's, made for this transfer
  bool connected_ = false;                 // the request was sent, or is about to be
  Status failed_;                          // why a callback ended it
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

HttpClient::State::State(EventLoop& event_loop, Clock& system_clock, HttpClientOptions given)
    : loop(event_loop), clock(system_clock), options(std::move(given)), library(LoadCurl()) {
  if (!library.ok()) return;
  multi = std::make_unique<CurlMulti>(loop, curl(), options.connections, [](void* transfer, CURLcode code) {
    static_cast<Transfer*>(transfer)->OnComplete(code);
  });
}

Status HttpClient::Available() {
  return LoadCurl().status();
}

HttpClient::HttpClient(EventLoop& loop, Clock& clock, HttpClientOptions options)
    : state_(std::make_unique<State>(loop, clock, std::move(options))) {}

HttpClient::~HttpClient() = default;

std::unique_ptr<HttpClient::Request> HttpClient::Get(const std::string& path, Deadline deadline, Done done) {
  return Get(path, WipedString(), deadline, std::move(done));
}

std::unique_ptr<HttpClient::Request> HttpClient::Get(const std::string& path, const WipedString& token,
                                                     Deadline deadline, Done done) {
  auto transfer = std::make_unique<Transfer>(*state_, path, std::move(done));
  transfer->Start(token, deadline);
  return transfer;
}

}  // namespace lanyard
