#include "pki/openssl_ptr.h"

#include <openssl/err.h>

#include <string>

namespace lanyard {

Status OpenSslError(std::string_view attempted, StatusCode code) {
  std::string reasons;
  while (const unsigned long error = ERR_get_error()) {
    const char* reason = ERR_reason_error_string(error);
    if (!reasons.empty()) reasons += "; ";
    reasons += reason != nullptr ? reason : fmt::format("openssl error {:#x}", error);
  }
  if (reasons.empty()) reasons = "openssl gave no reason";
  return Error(code, "{}: {}", attempted, reasons);
}

}  // namespace lanyard
