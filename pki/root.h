// Makes self-signed authorities for a trust domain.
//
// Thread: any.
#pragma once

#include <chrono>

#include "node_agent/base/status.h"
#include "pki/certificate.h"
#include "pki/key.h"
#include "pki/spiffe_id.h"

namespace lanyard {

struct SelfSignedCa {
  Certificate certificate;
  PrivateKey key;
};

// A signing certificate that is itself an SVID (X509-SVID §3.2): CA, keyCertSign and cRLSign, both extensions critical,
// SPIFFE ID of the trust domain without a path, random positive 16-byte serial.
Result<SelfSignedCa> MakeRootCa(const TrustDomain& trust_domain, KeyType key_type,
                                std::chrono::system_clock::time_point not_before,
                                std::chrono::system_clock::time_point not_after);

}  // namespace lanyard
