// What a load generator has to know of a JWTSVIDResponse, a ValidateJWTSVIDResponse and a bundles response.
//
// Bytes that are no such message are no message: nullopt. Thread: any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lanyard::bench {

struct JwtMessage {
  size_t svids = 0;        // each with a SPIFFE ID and a token
  std::string first;       // the token of the first
  int64_t expires_at = 0;  // the earliest "exp", in seconds since 1970
};

// nullopt unless every SVID is whole and there is at least one.
std::optional<JwtMessage> ReadJwtMessage(std::string_view message);

// The SPIFFE ID in a ValidateJWTSVIDResponse that has claims, too.
std::optional<std::string> ReadValidation(std::string_view message);

struct BundlesMessage {
  size_t bundles = 0;
  uint64_t digest = 0;  // of them all: the order of a map's entries means nothing and does not change it
};

// `field`: the number of the map from trust domain to bundle. nullopt unless there is at least one.
std::optional<BundlesMessage> ReadBundlesMessage(std::string_view message, unsigned field);

}  // namespace lanyard::bench
