// SHA-256 in pieces, for what is too large to hold.
//
// Thread: any, one at a time.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "node_agent/base/status.h"

namespace lanyard {

class Sha256 {
 public:
  Sha256();
  Sha256(Sha256&&) noexcept;
  ~Sha256();

  void Update(std::string_view bytes);
  // The 32 bytes, as 64 lower-case hexadecimal digits. Internal when OpenSSL failed at any step. Once only.
  Result<std::string> FinishHex();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lanyard
