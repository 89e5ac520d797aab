#include "deploy/demo/mtls/demo_exit.h"

#include <chrono>
#include <iostream>

namespace lanyard::demo {

int Report(const Status& status) {
  std::cerr << "error: " << Message(status) << " (" << CodeName(status.code()) << ")" << std::endl;
  switch (status.code()) {
    case StatusCode::kPermissionDenied:
      return 4;
    case StatusCode::kUnavailable:
      return 3;
    default:
      return 1;
  }
}

std::string Describe(const X509Svid& svid) {
  const auto left =
      std::chrono::duration_cast<std::chrono::seconds>(svid.not_after() - std::chrono::system_clock::now());
  return fmt::format("{}, serial {}, valid for {} s", svid.id().str(), svid.serial_hex(), left.count());
}

}  // namespace lanyard::demo
