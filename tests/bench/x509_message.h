// What a load generator has to know of an X509SVIDResponse: how many SVIDs it holds, and when the first of them
// expires.
//
// Read by hand, without a protobuf or X.509 library: the reader shares its processors with the agent that it measures,
// and a push of 50 SVIDs to 500 streams is 25,000 certificates. Bytes that are no such message are no message: nullopt.
//
// Thread: any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace lanyard::bench {

struct X509Message {
  size_t svids = 0;        // each with a SPIFFE ID, a chain, a key and a bundle
  int64_t expires_at = 0;  // the earliest notAfter of their leaves, in seconds since 1970
};

// nullopt unless every SVID is whole and there is at least one.
std::optional<X509Message> ReadX509Message(std::string_view message);

// notAfter of the certificate in DER that `chain` begins with (RFC 5280 §4.1).
std::optional<int64_t> NotAfter(std::string_view chain);

}  // namespace lanyard::bench
