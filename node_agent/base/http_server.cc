#include "node_agent/base/http_server.h"

#include <arpa/inet.h>
#include <httplib.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <atomic>
#include <charconv>
#include <cstring>

#include "node_agent/base/log.h"

namespace lanyard {
namespace {

constexpr int kBacklog = 512;

struct SocketAddress {
  sockaddr_storage bytes{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&bytes); }
};

std::optional<SocketAddress> ToSocketAddress(const HttpAddress& address) {
  SocketAddress result;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&result.bytes);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&result.bytes);
  if (inet_pton(AF_INET, address.ip.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(address.port);
    result.size = sizeof(*v4);
  } else if (inet_pton(AF_INET6, address.ip.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(address.port);
    result.size = sizeof(*v6);
  } else {
    return std::nullopt;
  }
  return result;
}

Status BindError(int error, const HttpAddress& address) {
  switch (error) {
    case EADDRINUSE:
      return Error(StatusCode::kAlreadyExists,
                   "listen on {}: the port is taken by another process (ss -ltnp shows which); stop it or choose "
                   "another port",
                   address.str());
    case EADDRNOTAVAIL:
      return Error(StatusCode::kInvalidArgument,
                   "listen on {}: this machine does not have that address; use one that it has, e.g. 127.0.0.1:{}",
                   address.str(), address.port);
    case EACCES:
      return Error(StatusCode::kPermissionDenied,
                   "listen on {}: permission denied; use a port from 1024 on, or give the agent CAP_NET_BIND_SERVICE",
                   address.str());
    default:
      return ErrnoStatus(error, fmt::format("listen on {}", address.str()));
  }
}

Result<UniqueFd> Listen(const HttpAddress& address) {
  const std::optional<SocketAddress> where = ToSocketAddress(address);
  if (!where) return Error(StatusCode::kInvalidArgument, "listen on {}: this is no IP address", address.str());
  UniqueFd fd(socket(where->get()->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return ErrnoStatus(errno, fmt::format("make a socket for {}", address.str()));
  const int on = 1;  // connections of an agent before us may linger; SO_REUSEPORT would share the port with others
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (bind(fd.get(), where->get(), where->size) != 0 || listen(fd.get(), kBacklog) != 0)
    return BindError(errno, address);
  return fd;
}

Result<uint16_t> PortOf(int fd) {
  SocketAddress bound;
  bound.size = sizeof(bound.bytes);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&bound.bytes), &bound.size) != 0)
    return ErrnoStatus(errno, "read the port of a socket");
  return bound.bytes.ss_family == AF_INET ? ntohs(reinterpret_cast<const sockaddr_in*>(&bound.bytes)->sin_port)
                                          : ntohs(reinterpret_cast<const sockaddr_in6*>(&bound.bytes)->sin6_port);
}

// One request in memory, and the answer to it.
class MemoryStream : public httplib::Stream {
 public:
  explicit MemoryStream(std::string_view request) : left_(request) {}

  bool is_readable() const override { return !left_.empty(); }
  bool is_writable() const override { return true; }
  ssize_t read(char* bytes, size_t size) override {
    const size_t count = std::min(size, left_.size());
    std::memcpy(bytes, left_.data(), count);
    left_.remove_prefix(count);
    return static_cast<ssize_t>(count);
  }
  ssize_t write(const char* bytes, size_t size) override {
    written_.append(bytes, size);
    return static_cast<ssize_t>(size);
  }
  void get_remote_ip_and_port(std::string&, int&) const override {}
  void get_local_ip_and_port(std::string&, int&) const override {}
  socket_t socket() const override { return INVALID_SOCKET; }

  std::string TakeWritten() { return std::move(written_); }

 private:
  std::string_view left_;
  std::string written_;
};

}  // namespace

class HttpServer::Protocol : private httplib::Server {
 public:
  explicit Protocol(HttpRoutes routes) : routes_(std::move(routes)) {
    set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
      Route(request, response);
      return HandlerResponse::Handled;
    });
  }

  // Thread: loop.
  std::string Respond(const std::string& request_line) {
    const std::string head = request_line + "\r\n\r\n";
    MemoryStream stream(head);
    bool closed = false;
    try {
      process_request(stream, /*close_connection=*/true, closed, nullptr);
    } catch (const std::exception& error) {  // the library's
      LANYARD_LOG_ERROR("answer an HTTP request: {}", error.what());
      return HttpConnections::PlainAnswer("500 Internal Server Error", "the agent could not answer");
    }
    return stream.TakeWritten();
  }

 private:
  void Route(const httplib::Request& request, httplib::Response& response) const {
    const auto found = routes_.find(request.path);
    HttpResponse answer{.status = 404, .body = "there is no such page\n"};
    if (found != routes_.end() && (request.method == "GET" || request.method == "HEAD")) {
      answer = found->second();
    } else if (found != routes_.end()) {
      answer = {.status = 405, .body = "only GET and HEAD are answered\n"};
      response.set_header("Allow", "GET, HEAD");
    }
    response.status = answer.status;
    response.set_header("Cache-Control", answer.cache_control);
    response.set_header("X-Content-Type-Options", "nosniff");
    response.set_content(answer.body, answer.content_type);
  }

  const HttpRoutes routes_;
};

HttpServer::HttpServer(EventLoop& loop, HttpAddress address, UniqueFd listener, UniqueFd wake, HttpRoutes routes,
                       HttpLimits limits, HttpFilterFactory filters)
    : address_(std::move(address)), protocol_(std::make_shared<Protocol>(std::move(routes))) {
  auto ask = [&loop, weak = std::weak_ptr(protocol_), unanswered = std::make_shared<std::atomic<int>>(0)](
                 std::string line, HttpConnections::Answer answer) {
    if (unanswered->fetch_add(1) >= kMostUnanswered) {
      unanswered->fetch_sub(1);
      return answer(HttpConnections::PlainAnswer("503 Service Unavailable", "the agent's loop does not answer"));
    }
    loop.Post([weak, unanswered, line = std::move(line), answer = std::move(answer)] {
      unanswered->fetch_sub(1);
      if (const auto protocol = weak.lock()) answer(protocol->Respond(line));
    });
  };
  connections_ = std::make_unique<HttpConnections>(std::move(listener), std::move(wake), limits, std::move(ask),
                                                   std::move(filters));
}

HttpServer::~HttpServer() = default;

Result<std::unique_ptr<HttpServer>> HttpServer::Start(EventLoop& loop, const HttpAddress& address, HttpRoutes routes,
                                                      HttpLimits limits, HttpFilterFactory filters) {
  ASSIGN_OR_RETURN(UniqueFd listener, Listen(address));
  ASSIGN_OR_RETURN(const uint16_t port, PortOf(listener.get()));
  UniqueFd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake) return ErrnoStatus(errno, fmt::format("make an eventfd for the server on {}", address.str()));
  return std::unique_ptr<HttpServer>(new HttpServer(loop, {.ip = address.ip, .port = port}, std::move(listener),
                                                    std::move(wake), std::move(routes), limits, std::move(filters)));
}

std::string HttpAddress::str() const {
  return ip.find(':') == std::string::npos ? fmt::format("{}:{}", ip, port) : fmt::format("[{}]:{}", ip, port);
}

bool HttpAddress::IsLoopback() const {
  return ip.starts_with("127.") || ip == "::1";
}

Result<HttpAddress> ParseHttpAddress(std::string_view text) {
  const auto wrong = [text](std::string_view why) {
    return Error(StatusCode::kInvalidArgument,
                 "address \"{}\": {}; write an IP address and a port, e.g. 127.0.0.1:9464 or [::1]:9464", text, why);
  };
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return wrong("the port is missing");
  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (host.empty()) return wrong("it does not say on which address to listen");

  HttpAddress address{.ip = std::string(host)};
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), address.port);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size())
    return wrong("the port is no number from 0 to 65535");
  const bool has_zero_byte = host.find('\0') != std::string_view::npos;
  const std::optional<SocketAddress> known = has_zero_byte ? std::nullopt : ToSocketAddress(address);
  if (!known) return wrong("this is no IP address");
  if (bracketed != (known->bytes.ss_family == AF_INET6)) return wrong("brackets go around IPv6 addresses only");
  char canonical[INET6_ADDRSTRLEN] = {};
  const void* raw = bracketed
                        ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in6*>(&known->bytes)->sin6_addr)
                        : static_cast<const void*>(&reinterpret_cast<const sockaddr_in*>(&known->bytes)->sin_addr);
  if (inet_ntop(known->bytes.ss_family, raw, canonical, sizeof(canonical)) == nullptr)
    return wrong("this is no IP address");
  address.ip = canonical;
  return address;
}

}  // namespace lanyard
