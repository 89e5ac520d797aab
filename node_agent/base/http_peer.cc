#include "node_agent/base/http_peer.h"

#include <arpa/inet.h>

#include <algorithm>

#include "node_agent/base/printable.h"

namespace lanyard {
namespace {

bool IsIpv6(const std::string& host) {
  in6_addr address{};
  return inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

// Of a name no more is asked than that it cannot be taken for something else in a URL; DNS knows the rest.
bool IsHost(const std::string& host) {
  const auto fits = [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_';
  };
  return IsIpv6(host) || (!host.empty() && std::all_of(host.begin(), host.end(), fits));
}

std::string HostAndPort(const std::string& host, uint16_t port) {
  return IsIpv6(host) ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

std::string Url(const TcpServer& server, const std::string& host, std::string_view path) {
  return fmt::format("{}://{}{}", server.tls ? "https" : "http", HostAndPort(host, server.port), path);
}

Status CheckTls(const TlsSettings& tls) {
  if (tls.ca_file.empty() && !tls.skip_verification)
    return Error(StatusCode::kInvalidArgument, "ca_file is missing: nobody is said to have signed its certificate");
  if (!tls.server_name.empty() && !IsHost(tls.server_name))
    return Error(StatusCode::kInvalidArgument, "server_name \"{}\" is neither a host name nor an IP address",
                 Printable(tls.server_name));
  if (tls.certificate_file.empty() != tls.key_file.empty())
    return Error(StatusCode::kInvalidArgument, "certificate_file and key_file: one is worth nothing without the other");
  return OkStatus();
}

}  // namespace

const TlsSettings* TlsOf(const HttpPeer& peer) {
  const auto* server = std::get_if<TcpServer>(&peer);
  return server != nullptr && server->tls ? &*server->tls : nullptr;
}

Status CheckPeer(const HttpPeer& peer) {
  const auto* server = std::get_if<TcpServer>(&peer);
  if (server == nullptr) return OkStatus();
  if (!IsHost(server->address))
    return Error(StatusCode::kInvalidArgument, "address \"{}\" is neither a host name nor an IP address",
                 Printable(server->address));
  if (server->port == 0) return Error(StatusCode::kInvalidArgument, "port 0 is none that a server has");
  return server->tls ? CheckTls(*server->tls) : OkStatus();
}

std::string PeerName(const HttpPeer& peer, std::string_view path) {
  if (const auto* local = std::get_if<UnixServer>(&peer)) return fmt::format("socket {}", local->path);
  const auto& server = std::get<TcpServer>(peer);
  return Url(server, Printable(server.address), path);
}

std::string RequestUrl(const HttpPeer& peer, std::string_view path) {
  if (std::holds_alternative<UnixServer>(peer)) return fmt::format("http://localhost{}", path);
  const auto& server = std::get<TcpServer>(peer);
  const bool named = server.tls && !server.tls->server_name.empty();
  return Url(server, named ? server.tls->server_name : server.address, path);
}

std::string ConnectTo(const HttpPeer& peer) {
  const TlsSettings* tls = TlsOf(peer);
  if (tls == nullptr || tls->server_name.empty()) return {};
  const auto& server = std::get<TcpServer>(peer);
  return "::" + HostAndPort(server.address, server.port);  // from whatever host and port
}

}  // namespace lanyard
