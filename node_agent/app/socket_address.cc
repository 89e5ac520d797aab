#include "node_agent/app/socket_address.h"

#include <cstdlib>

#include "workload_api/client/endpoint.h"

namespace lanyard {
namespace {

constexpr std::string_view kDefaultAdminSocket = "/run/lanyard-admin/admin.sock";

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

Result<std::string> ResolveWorkloadSocket(const std::string& flag) {
  return Resolve("--socket", flag, "SPIFFE_ENDPOINT_SOCKET", kDefaultWorkloadSocket);
}

Result<std::string> ResolveAdminSocket(const std::string& flag) {
  return Resolve("--admin-socket", flag, "LANYARD_ADMIN_SOCKET", kDefaultAdminSocket);
}

}  // namespace lanyard
