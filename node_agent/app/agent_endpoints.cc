#include "node_agent/app/agent_endpoints.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "node_agent/base/metrics.h"

namespace lanyard {
namespace {

using std::chrono::seconds;

seconds Between(WallTime from, WallTime to) {
  return std::chrono::floor<seconds>(to - from);
}

ComponentReadiness OfReport(std::string component, const HealthReport& report) {
  return {.component = std::move(component), .ok = report.level != HealthLevel::kBroken, .text = report.text};
}

ComponentReadiness OfRegistry(const ReadinessSources& sources) {
  ComponentReadiness registry{.component = "registry", .text = "read without an error"};
  if (sources.registry_problems > 0) {
    registry.text = fmt::format("{} problems; the last good state is in force (lanyard health names them)",
                                sources.registry_problems);
  }
  if (sources.registry_good) registry.age = Between(*sources.registry_good, sources.now);
  return registry;
}

ComponentReadiness OfCa(const ReadinessSources& sources) {
  ComponentReadiness ca = OfReport("ca", sources.ca.health());
  const std::vector<AuthorityInfo> authorities = sources.ca.Show();
  const auto active = std::find_if(authorities.begin(), authorities.end(), [](const AuthorityInfo& authority) {
    return authority.phase == AuthorityPhase::kActive;
  });
  if (active == authorities.end()) {
    ca.ok = false;
    if (ca.text.empty()) ca.text = "no authority signs";
    return ca;
  }
  ca.expires = Between(sources.now, active->not_after);
  if (ca.expires->count() <= 0) ca.ok = false;
  return ca;
}

// Making a page takes the loop's time, and anybody on the machine may ask: so many get the one that was just made.
constexpr std::chrono::milliseconds kSharePage{10};

template <class Page>
std::function<Page()> Shared(std::function<Page()> make) {
  return
      [make = std::move(make), page = Page(), made = std::optional<std::chrono::steady_clock::time_point>()]() mutable {
        const auto now = std::chrono::steady_clock::now();
        if (!made || now - *made >= kSharePage) {
          page = make();
          made = now;
        }
        return page;
      };
}

HttpRoutes MetricRoutes(std::function<std::string()> page) {
  return {{"/metrics", [page = std::move(page)] {
             return HttpResponse{.content_type = std::string(kMetricsContentType), .body = page()};
           }}};
}

HttpRoutes HealthRoutes(std::function<Readiness()> readiness) {
  return {{"/live", [] { return HttpResponse{.body = "live\n"}; }}, {"/ready", [readiness = std::move(readiness)] {
                                                                       const Readiness now = readiness();
                                                                       return HttpResponse{
                                                                           .status = IsReady(now) ? 200 : 503,
                                                                           .content_type = "application/json",
                                                                           .body = ReadinessJson(now) + "\n"};
                                                                     }}};
}

}  // namespace

bool IsReady(const Readiness& readiness) {
  return std::all_of(readiness.begin(), readiness.end(), [](const ComponentReadiness& part) { return part.ok; });
}

std::string ReadinessJson(const Readiness& readiness) {
  using Json = nlohmann::ordered_json;
  Json components = Json::object();
  for (const ComponentReadiness& part : readiness) {
    Json& json = components[part.component] = {{"ok", part.ok}, {"text", part.text}};
    if (part.age) json["age_seconds"] = part.age->count();
    if (part.expires) json["expires_in_seconds"] = part.expires->count();
  }
  const Json whole = {{"ready", IsReady(readiness)}, {"components", std::move(components)}};
  return whole.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Readiness CollectReadiness(const ReadinessSources& sources) {
  Readiness readiness{OfRegistry(sources), OfCa(sources)};
  if (sources.state != nullptr) {
    readiness.push_back(OfReport("state", sources.state->health()));
    if (const auto last = sources.state->stats().last_commit) readiness.back().age = Between(*last, sources.now);
  }
  if (sources.audit != nullptr) {
    readiness.push_back(OfReport("audit", sources.audit->health()));
    if (const auto last = sources.audit->stats().last_write) readiness.back().age = Between(*last, sources.now);
  }
  return readiness;
}

std::unique_ptr<AgentEndpoints> AgentEndpoints::Start(EventLoop& loop, const EndpointOptions& options,
                                                      std::function<std::string()> metrics,
                                                      std::function<Readiness()> readiness) {
  std::unique_ptr<AgentEndpoints> endpoints(new AgentEndpoints);
  const auto serve = [&](std::string_view name, const HttpAddress& address, HttpRoutes routes) -> const HttpServer* {
    auto server = HttpServer::Start(loop, address, std::move(routes));
    if (!server.ok()) {
      endpoints->problem_.Update(Annotate(server.status(), "endpoints.{}", name));
      return nullptr;
    }
    endpoints->servers_.push_back(*std::move(server));
    return endpoints->servers_.back().get();
  };
  readiness = Shared(std::move(readiness));
  const bool shared = options.metrics && options.health && *options.metrics == *options.health;
  if (options.metrics) {
    HttpRoutes routes = MetricRoutes(Shared(std::move(metrics)));
    if (shared) routes.merge(HealthRoutes(readiness));
    endpoints->metrics_ = serve("metrics", *options.metrics, std::move(routes));
    if (shared) endpoints->health_ = endpoints->metrics_;
  }
  if (options.health && !shared)
    endpoints->health_ = serve("health", *options.health, HealthRoutes(std::move(readiness)));
  return endpoints;
}

}  // namespace lanyard
