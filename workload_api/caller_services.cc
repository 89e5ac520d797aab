#include "workload_api/caller_services.h"

#include <memory>
#include <random>

namespace lanyard {

Random MakeRandom() {
  auto engine = std::make_shared<std::mt19937_64>(std::random_device{}());
  return [engine] { return std::uniform_real_distribution<double>(0, 1)(*engine); };
}

}  // namespace lanyard
