// grpc.health.v1.Health: Check and Watch, answered from a callback.
//
// "" is the whole agent; other names are the services registered here. An unknown name is NotFound on Check and
// SERVICE_UNKNOWN on Watch. A Watch sends the state it finds, then every change, told by Changed().
//
// Lifetime: outlives the server that has its methods. Thread: loop.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "node_agent/rpc/call.h"

namespace lanyard {

enum class ServingStatus { kServing, kNotServing };

class HealthService {
 public:
  // `services`: full names besides "". `status` is asked with "" or one of them.
  HealthService(std::vector<std::string> services, std::function<ServingStatus(std::string_view service)> status);
  ~HealthService();

  void AddTo(Methods& methods);
  // Sends the new state to those who watch, where it differs from what they have.
  void Changed();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace lanyard
