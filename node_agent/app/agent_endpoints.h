// /metrics for Prometheus, /live and /ready for orchestrators, over HTTP.
//
// /live is 200 when the loop answers. /ready is 200 when every component is ok and 503 otherwise, with a JSON body that
// says which one is not. What they tell is asked anew for each request, on the loop. Whoever can reach the address can
// read them: nothing in them names an identity.
//
// Lifetime: loop and what the functions refer to outlive it. Thread: loop. Failure: an address that cannot be had takes
// nothing from the others; problem() says which.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "node_agent/audit/audit_log.h"
#include "node_agent/base/http_server.h"
#include "node_agent/identity/ca_keeper.h"
#include "node_agent/state/state_store.h"

namespace lanyard {

struct ComponentReadiness {
  std::string component;
  bool ok = true;
  std::string text;                               // for people
  std::optional<std::chrono::seconds> age{};      // of the newest thing that it did
  std::optional<std::chrono::seconds> expires{};  // from now; negative when over
};
using Readiness = std::vector<ComponentReadiness>;

bool IsReady(const Readiness& readiness);
// {"ready":true,"components":{"ca":{"ok":true,"text":"…","expires_in_seconds":2591000},…}}
std::string ReadinessJson(const Readiness& readiness);

struct ReadinessSources {
  WallTime now;
  std::optional<WallTime> registry_good{};  // when it was last read without an error
  size_t registry_problems = 0;
  const CaKeeper& ca;
  const StateStore* state = nullptr;  // null: left out
  const AuditLog* audit = nullptr;
};
// The agent is ready when it can sign and can put on record what it signs. A registry with broken files is served in
// its last good state, which is said but does not make the agent unready.
Readiness CollectReadiness(const ReadinessSources& sources);

struct EndpointOptions {
  std::optional<HttpAddress> metrics{};  // none: not served
  std::optional<HttpAddress> health{};   // the same address as `metrics`: one server for both
};

class AgentEndpoints {
 public:
  static std::unique_ptr<AgentEndpoints> Start(EventLoop& loop, const EndpointOptions& options,
                                               std::function<std::string()> metrics,
                                               std::function<Readiness()> readiness);

  // Of the first address that could not be had.
  const Status& problem() const { return problem_; }
  // With their true ports; null when not served.
  const HttpServer* metrics() const { return metrics_; }
  const HttpServer* health() const { return health_; }

 private:
  AgentEndpoints() = default;
  std::vector<std::unique_ptr<HttpServer>> servers_;
  const HttpServer* metrics_ = nullptr;
  const HttpServer* health_ = nullptr;
  Status problem_;
};

}  // namespace lanyard
