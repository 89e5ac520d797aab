#include "node_agent/app/socket_address.h"

#include <cstdlib>

namespace lanyard {
namespace {

constexpr std::string_view kDefaultWorkloadSocket = "/run/lanyard/workload.sock";
constexpr std::string_view kDefaultAdminSocket = "/run/lanyard-admin/admin.sock";

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

Result<std::string> Resolve(std::string_view flag_name, const std::string& flag, const char* variable,
                            std::string_view fallback) {
  if (!flag.empty()) {
    Result<std::string> path = ParseSocketAddress(flag);
    return path.ok() ? path : Annotate(path.status(), "{}", flag_name);
  }
  const char* value = std::getenv(variable);  // NOLINT(concurrency-mt-unsafe): one thread
  if (value != nullptr && *value != '\0') {
    Result<std::string> path = ParseSocketAddress(value);
    return path.ok() ? path : Annotate(path.status(), "${}", variable);
  }
  return std::string(fallback);
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

Result<std::string> ResolveWorkloadSocket(const std::string& flag) {
  return Resolve("--socket", flag, "SPIFFE_ENDPOINT_SOCKET", kDefaultWorkloadSocket);
}

Result<std::string> ResolveAdminSocket(const std::string& flag) {
  return Resolve("--admin-socket", flag, "LANYARD_ADMIN_SOCKET", kDefaultAdminSocket);
}

}  // namespace lanyard
