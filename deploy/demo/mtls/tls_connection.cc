#include "deploy/demo/mtls/tls_connection.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <charconv>

namespace lanyard::demo {
namespace {

constexpr timeval kPatience{10, 0};
constexpr std::size_t kMaxLine = 4096;

Result<sockaddr_in> ParseAddress(const std::string& address) {
  const auto colon = address.rfind(':');
  sockaddr_in parsed{};
  parsed.sin_family = AF_INET;
  std::uint16_t port = 0;
  const char* end = address.data() + address.size();
  if (colon == std::string::npos || inet_pton(AF_INET, address.substr(0, colon).c_str(), &parsed.sin_addr) != 1 ||
      std::from_chars(address.data() + colon + 1, end, port).ptr != end) {
    return Error(StatusCode::kInvalidArgument, "\"{}\" is not an IPv4 address and port like 127.0.0.1:8443", address);
  }
  parsed.sin_port = htons(port);
  return parsed;
}

sockaddr* Generic(sockaddr_in* address) {
  return reinterpret_cast<sockaddr*>(address);
}

}  // namespace

Result<UniqueFd> Listen(const std::string& address) {
  ASSIGN_OR_RETURN(sockaddr_in parsed, ParseAddress(address));
  UniqueFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  if (!listener || setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      bind(listener.get(), Generic(&parsed), sizeof parsed) != 0 || listen(listener.get(), 16) != 0) {
    return ErrnoStatus(errno, fmt::format("listen on {}", address));
  }
  return listener;
}

Result<std::string> LocalAddress(int fd) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  char text[INET_ADDRSTRLEN] = {};
  if (getsockname(fd, Generic(&address), &size) != 0 ||
      inet_ntop(AF_INET, &address.sin_addr, text, sizeof text) == nullptr) {
    return ErrnoStatus(errno, "read the address of a listening socket");
  }
  return fmt::format("{}:{}", text, ntohs(address.sin_port));
}

Result<UniqueFd> Accept(int listener) {
  UniqueFd socket;
  do {
    socket.reset(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  } while (!socket && errno == EINTR);
  if (!socket) return ErrnoStatus(errno, "accept a connection");
  return socket;
}

Result<UniqueFd> Connect(const std::string& address) {
  ASSIGN_OR_RETURN(sockaddr_in parsed, ParseAddress(address));
  UniqueFd connection(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!connection || connect(connection.get(), Generic(&parsed), sizeof parsed) != 0) {
    return ErrnoStatus(errno, fmt::format("connect to {}", address));
  }
  return connection;
}

void TlsConnection::FreeSsl::operator()(ssl_st* ssl) const {
  SSL_free(ssl);
}

Result<TlsConnection> TlsConnection::Handshake(const TlsContext& context, UniqueFd socket, TlsRole role) {
  setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
  setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience);
  ERR_clear_error();
  std::unique_ptr<ssl_st, FreeSsl> ssl(SSL_new(context.native()));
  if (ssl == nullptr || SSL_set_fd(ssl.get(), socket.get()) != 1) {
    return Error(StatusCode::kInternal, "prepare a TLS connection: out of memory");
  }
  const int done = role == TlsRole::kServer ? SSL_accept(ssl.get()) : SSL_connect(ssl.get());
  if (done != 1) return ConnectionError(ssl.get(), "TLS handshake");
  ASSIGN_OR_RETURN(SpiffeId peer, PeerId(ssl.get()));
  return TlsConnection(std::move(socket), std::move(ssl), std::move(peer));
}

TlsConnection::~TlsConnection() {
  if (ssl_ != nullptr) SSL_shutdown(ssl_.get());
}

Status TlsConnection::WriteLine(std::string_view line) {
  const std::string text = fmt::format("{}\n", line);
  ERR_clear_error();
  if (SSL_write(ssl_.get(), text.data(), static_cast<int>(text.size())) <= 0)
    return ConnectionError(ssl_.get(), "send");
  return OkStatus();
}

Result<std::string> TlsConnection::ReadLine() {
  std::string line;
  char byte = 0;
  while (line.size() < kMaxLine) {
    ERR_clear_error();
    if (SSL_read(ssl_.get(), &byte, 1) <= 0) return ConnectionError(ssl_.get(), "receive");
    if (byte == '\n') return line;
    line.push_back(byte);
  }
  return Error(StatusCode::kInvalidArgument, "the other side sent a line of more than {} bytes", kMaxLine);
}

}  // namespace lanyard::demo
