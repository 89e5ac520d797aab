// The HTTP server under any bytes: it answers what is whole and nothing else, every answer is one that we know, as long
// as it says, and has nothing of the request in it; a page is shown for GET and HEAD only; and the server goes on.
//
// The real server on a real socket of this machine; its loop has a thread of its own.
#include <arpa/inet.h>
#include <sys/socket.h>

#include <future>
#include <thread>

#include "node_agent/base/http_server.h"
#include "tests/fuzz/fuzzing.h"

namespace lanyard {
namespace {

constexpr std::string_view kPage = "lanyard_up 1\n";

class Running {
 public:
  Running() : thread_([this] { Serve(); }) { port_ = started_.get_future().get(); }
  ~Running() {
    loop_->Post([this] { loop_->Stop(); });
    thread_.join();
  }

  // Everything that the server says to these bytes, up to its closing.
  std::string Ask(std::string_view request) const {
    const UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    // libFuzzer's timer interrupts, and thousands of connections in a second may leave no port for a moment.
    while (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 && errno != EISCONN)
      Require(errno == EINTR || errno == EALREADY || errno == EADDRNOTAVAIL);
    const timeval patience{.tv_sec = 10, .tv_usec = 0};
    Require(setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0);
    while (!request.empty()) {
      const ssize_t sent = send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL);
      if (sent <= 0) break;  // it has heard enough
      request.remove_prefix(static_cast<size_t>(sent));
    }
    shutdown(fd.get(), SHUT_WR);
    std::string answer;
    char bytes[4096];
    for (;;) {
      const ssize_t got = recv(fd.get(), bytes, sizeof(bytes), 0);
      if (got < 0 && errno == EINTR) continue;  // libFuzzer's timer, with our time limit
      Require(got >= 0 || errno == ECONNRESET);
      if (got <= 0) return answer;
      answer.append(bytes, static_cast<size_t>(got));
    }
  }

 private:
  void Serve() {
    EventLoop loop;
    loop_ = &loop;
    const auto server = HttpServer::Start(loop, ParseHttpAddress("127.0.0.1:0").value(),
                                          {{"/metrics", [] { return HttpResponse{.body = std::string(kPage)}; }}});
    Require(server.ok());
    started_.set_value((*server)->port());
    loop.Run();
  }

  EventLoop* loop_ = nullptr;
  uint16_t port_ = 0;
  std::promise<uint16_t> started_;
  std::thread thread_;  // last: it uses the others
};

bool IsGet(std::string_view request) {
  return request.starts_with("GET ") || request.starts_with("HEAD ");
}

void CheckAnswer(std::string_view request, std::string_view answer) {
  Require(answer.starts_with("HTTP/1.1 "));
  const std::string_view status = answer.substr(9, 3);
  const size_t head_end = answer.find("\r\n\r\n");
  Require(head_end != std::string_view::npos);
  const std::string_view head = answer.substr(0, head_end + 2), body = answer.substr(head_end + 4);
  Require(head.size() < 400);
  constexpr std::string_view kLength = "\r\nContent-Length: ";
  const size_t length = head.find(kLength);
  Require(length != std::string_view::npos && head.find(kLength, length + 1) == std::string_view::npos);
  const auto announced = std::strtoul(head.data() + length + kLength.size(), nullptr, 10);
  Require(request.starts_with("HEAD ") ? body.empty() || body.size() == announced : body.size() == announced);
  Require(head.find("\r\nConnection: close\r\n") != std::string_view::npos);
  if (status == "200") {
    Require(IsGet(request) && (body == kPage || request.starts_with("HEAD ")));
    Require(head.find("\r\nX-Content-Type-Options: nosniff\r\n") != std::string_view::npos);
  } else if (status == "404") {
    Require(body.empty() || body == "there is no such page\n");
  } else if (status == "405") {
    Require(!IsGet(request) && body == "only GET and HEAD are answered\n");
  } else {
    Require(status == "400" || status == "414" || status == "431");
    Require(body.size() <= 50);
  }
}

}  // namespace
}  // namespace lanyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lanyard;
  static const Running server;
  const std::string_view request = AsText(data, size);
  const std::string answer = server.Ask(request);
  if (answer.empty()) {  // only to what is not whole
    Require(request.find("\r\n\r\n") == std::string_view::npos && request.size() <= 8192);
  } else {
    CheckAnswer(request, answer);
  }
  static unsigned count = 0;
  if (++count % 64 == 1) Require(server.Ask("GET /metrics HTTP/1.1\r\n\r\n").ends_with(kPage));
  return 0;
}
