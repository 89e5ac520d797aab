#include "node_agent/rpc/health.h"

#include <algorithm>
#include <optional>
#include <set>

#include "node_agent/rpc/proto/health_v1.pb.h"

namespace lanyard {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

namespace {
class Watcher;
}

struct HealthService::State {
  std::vector<std::string> services;
  std::function<ServingStatus(std::string_view)> status;
  std::set<Watcher*> watchers;

  // Nothing: no such service.
  std::optional<HealthCheckResponse::ServingStatus> Look(const std::string& service) const {
    if (!service.empty() && std::find(services.begin(), services.end(), service) == services.end()) return std::nullopt;
    return status(service) == ServingStatus::kServing ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
  }
};

namespace {

grpc::ByteBuffer ToMessage(HealthCheckResponse::ServingStatus status) {
  HealthCheckResponse response;
  response.set_status(status);
  return SerializeShared(response);
}

class Check : public OneRequestHandler<HealthCheckRequest> {
 public:
  using Look = std::function<std::optional<HealthCheckResponse::ServingStatus>(const std::string&)>;
  Check(Call& call, Look look) : OneRequestHandler(call), look_(std::move(look)) {}

 private:
  void OnRequest(HealthCheckRequest request) override {
    const auto status = look_(request.service());
    if (!status)
      return call().Finish(Error(StatusCode::kNotFound, "no service of this name is known to the health check"));
    call().Reply(ToMessage(*status));
  }

  Look look_;
};

class Watcher : public OneRequestHandler<HealthCheckRequest> {
 public:
  Watcher(Call& call, Check::Look look, std::set<Watcher*>& watchers)
      : OneRequestHandler(call), look_(std::move(look)), watchers_(watchers) {
    watchers_.insert(this);
  }
  ~Watcher() override { watchers_.erase(this); }

  void Update() {
    if (!service_ || call().sending()) return;
    const auto now = look_(*service_).value_or(HealthCheckResponse::SERVICE_UNKNOWN);
    if (now == told_) return;
    told_ = now;
    call().Send(ToMessage(now), [this] { Update(); });
  }

 private:
  void OnRequest(HealthCheckRequest request) override {
    service_ = request.service();
    Update();
  }

  Check::Look look_;
  std::set<Watcher*>& watchers_;
  std::optional<std::string> service_;
  std::optional<HealthCheckResponse::ServingStatus> told_;
};

}  // namespace

HealthService::HealthService(std::vector<std::string> services, std::function<ServingStatus(std::string_view)> status)
    : state_(std::make_shared<State>()) {
  state_->services = std::move(services);
  state_->status = std::move(status);
}

HealthService::~HealthService() = default;

void HealthService::AddTo(Methods& methods) {
  methods["/grpc.health.v1.Health/Check"] = [state = state_](Call& call) {
    return std::make_unique<Check>(call, [state](const std::string& service) { return state->Look(service); });
  };
  methods["/grpc.health.v1.Health/Watch"] = [state = state_](Call& call) {
    return std::make_unique<Watcher>(
        call, [state](const std::string& service) { return state->Look(service); }, state->watchers);
  };
}

void HealthService::Changed() {
  for (Watcher* watcher : state_->watchers) watcher->Update();
}

}  // namespace lanyard
