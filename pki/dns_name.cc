#include "pki/dns_name.h"

namespace lanyard {

Status CheckDnsName(std::string_view name) {
  if (name.empty()) return Error(StatusCode::kInvalidArgument, "DNS name is empty");
  if (name.size() > 253) {
    return Error(StatusCode::kInvalidArgument, "DNS name has {} bytes, at most 253 are allowed", name.size());
  }
  if (name.find('*') != std::string_view::npos) {
    return Error(StatusCode::kInvalidArgument, "DNS name \"{}\" has a wildcard; name each host", name);
  }
  std::size_t label = 0;
  for (std::size_t i = 0; i <= name.size(); ++i) {
    const char c = i < name.size() ? name[i] : '.';
    if (c == '.') {
      if (label == 0) return Error(StatusCode::kInvalidArgument, "DNS name has an empty label");
      if (label > 63)
        return Error(StatusCode::kInvalidArgument, "DNS name has a label of {} bytes, at most 63 are allowed", label);
      if (name[i - 1] == '-') return Error(StatusCode::kInvalidArgument, "DNS name has a label that ends with '-'");
      label = 0;
      continue;
    }
    const bool ok = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || (c == '-' && label > 0);
    if (!ok) {
      return Error(StatusCode::kInvalidArgument,
                   "DNS name has byte 0x{:02x} at position {}; only lower-case letters, digits, '_', '.' and inner '-' "
                   "are allowed",
                   static_cast<unsigned char>(c), i);
    }
    ++label;
  }
  return OkStatus();
}

}  // namespace lanyard
