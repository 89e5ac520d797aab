// The server that an HTTP client asks: where it is, and how it is known to be the right one.
//
// On this machine a server is known by its socket (trusted_socket.h), elsewhere by its certificate. TLS is 1.2 or
// newer. Host names are what DNS and certificates know, without the dot at the end; IPv6 addresses have no brackets and
// no zone.
//
// Thread: any.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "node_agent/base/status.h"

namespace lanyard {

struct UnixServer {
  std::string path;  // absolute
};

// The files are PEM and read anew for each request, so that a renewed one is used at once. They must be files that only
// root or our own user can change (file_trust.h), and others must not read `key_file`.
struct TlsSettings {
  std::string ca_file;           // who may have signed the server's certificate; nobody else's word counts
  std::string server_name;       // what it must be for, a host name or IP address; empty: no matter what
  std::string certificate_file;  // ours, with its intermediates, for servers that ask for one; empty: we have none
  std::string key_file;
  bool skip_verification = false;  // whoever answers is believed
};

struct TcpServer {
  std::string address;  // an IP address or a host name; need not be what the certificate is for
  uint16_t port = 0;
  std::optional<TlsSettings> tls;  // without: plain HTTP
};

using HttpPeer = std::variant<UnixServer, TcpServer>;

// How it proves itself; null where TLS is not spoken.
const TlsSettings* TlsOf(const HttpPeer& peer);

// InvalidArgument, naming the setting, when it is none that could be asked.
Status CheckPeer(const HttpPeer& peer);

// For messages: "socket /run/docker.sock", "https://10.0.0.5:10250/pods".
std::string PeerName(const HttpPeer& peer, std::string_view path);

// What libcurl is to ask for, and where it is to connect to instead (CURLOPT_CONNECT_TO; empty: there). The URL's host
// is what the certificate must be for.
std::string RequestUrl(const HttpPeer& peer, std::string_view path);
std::string ConnectTo(const HttpPeer& peer);

}  // namespace lanyard
