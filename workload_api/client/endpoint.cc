#include "workload_api/client/endpoint.h"

#include <arpa/inet.h>

#include <charconv>
#include <cstdint>
#include <cstdlib>

namespace lanyard {
namespace {

Result<std::string> CheckPath(std::string_view path, std::string_view address) {
  if (path.empty() || path.front() != '/') {
    return Error(StatusCode::kInvalidArgument,
                 "socket address \"{}\": the path must be absolute, e.g. unix:///run/lanyard/workload.sock", address);
  }
  if (path.find('\0') != std::string_view::npos) {
    return Error(StatusCode::kInvalidArgument, "socket address: the path has a zero byte in it");
  }
  if (path.size() > kMaxSocketPath) {
    return Error(StatusCode::kInvalidArgument,
                 "socket address \"{}\": the path has {} bytes, a Unix socket has at most {}", address, path.size(),
                 kMaxSocketPath);
  }
  return std::string(path);
}

// "IP:PORT" or "[IPv6]:PORT" as gRPC names it. Hosts by name are not for an endpoint of this kind: the standard wants
// an address.
Result<std::string> TcpTarget(std::string_view authority, std::string_view address) {
  const auto wrong = [&] {
    return Error(StatusCode::kInvalidArgument,
                 "endpoint \"{}\": after tcp:// comes an IP address and a port, e.g. tcp://127.0.0.1:8081", address);
  };
  const std::size_t colon = authority.rfind(':');
  if (colon == std::string_view::npos || authority.find('\0') != std::string_view::npos) return wrong();
  std::string host(authority.substr(0, colon));
  const std::string_view digits = authority.substr(colon + 1);
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc() || end != digits.data() + digits.size() || port == 0) return wrong();
  unsigned char binary[sizeof(in6_addr)];
  if (inet_pton(AF_INET, host.c_str(), binary) == 1) return fmt::format("ipv4:{}:{}", host, port);
  if (host.size() < 2 || host.front() != '[' || host.back() != ']') return wrong();
  host = host.substr(1, host.size() - 2);
  if (inet_pton(AF_INET6, host.c_str(), binary) != 1) return wrong();
  return fmt::format("ipv6:[{}]:{}", host, port);
}

}  // namespace

Result<std::string> ParseSocketAddress(std::string_view address) {
  const size_t colon = address.find(':');
  const size_t slash = address.find('/');
  if (colon == std::string_view::npos || slash < colon) return CheckPath(address, address);  // no scheme

  const std::string_view scheme = address.substr(0, colon);
  std::string_view rest = address.substr(colon + 1);
  if (scheme == "tcp") {
    return Error(
        StatusCode::kInvalidArgument,
        "socket address \"{}\": only Unix sockets are served, because over TCP the kernel does not say who is calling",
        address);
  }
  if (scheme != "unix") {
    return Error(StatusCode::kInvalidArgument,
                 "socket address \"{}\": the scheme must be unix, e.g. unix:///run/lanyard/workload.sock", address);
  }
  if (rest.starts_with("//")) {
    rest.remove_prefix(2);
    if (!rest.starts_with('/')) {
      return Error(StatusCode::kInvalidArgument,
                   "socket address \"{}\": there is a host before the path; write three slashes, unix:///path",
                   address);
    }
  }
  if (rest.find_first_of("?#") != std::string_view::npos) {
    return Error(StatusCode::kInvalidArgument, "socket address \"{}\": a query or fragment has no meaning here",
                 address);
  }
  return CheckPath(rest, address);
}

// gRPC reads it as a URI and decodes it, so that a '%' or a space in a path must be encoded.
std::string ChannelTarget(const std::string& path) {
  std::string target = "unix:";
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
                       c == '/' || c == '-' || c == '_' || c == '.' || c == '~';
    if (plain) {
      target += c;
    } else {
      target += fmt::format("%{:02X}", byte);
    }
  }
  return target;
}

Result<std::string> ParseEndpoint(std::string_view address) {
  constexpr std::string_view kTcp = "tcp://";
  if (address.starts_with(kTcp)) return TcpTarget(address.substr(kTcp.size()), address);
  ASSIGN_OR_RETURN(const std::string path, ParseSocketAddress(address));
  return ChannelTarget(path);
}

std::string EndpointOrDefault(std::string given) {
  if (!given.empty()) return given;
  const char* variable = std::getenv("SPIFFE_ENDPOINT_SOCKET");  // NOLINT(concurrency-mt-unsafe): said in the header
  if (variable != nullptr && *variable != '\0') return variable;
  return fmt::format("unix://{}", kDefaultWorkloadSocket);
}

}  // namespace lanyard
