// Decides whether a presented X.509-SVID proves its SPIFFE ID.
//
// The leaf's ID names a trust domain, and only that trust domain's bundle can vouch for it
// (SPIFFE_Trust_Domain_and_Bundle §3). Path validation is OpenSSL's (RFC 5280 §6, name constraints and path lengths
// included); the rules of X509-SVID come on top, for the leaf (§5.2) and for each signing certificate on the path that
// was found (§3.2, §4).
//
// Thread: any; no state. Fails closed: anything that cannot be established is an error.
#pragma once

#include <chrono>
#include <cstddef>
#include <span>

#include "node_agent/base/status.h"
#include "pki/bundle.h"
#include "pki/certificate.h"
#include "pki/revocation.h"
#include "pki/spiffe_id.h"

namespace lanyard {

// What the peer is about to do with its certificate; an extended key usage in a CA may forbid one of them.
enum class KeyPurpose { kServer, kClient, kAny };

inline constexpr std::size_t kMaxChainCertificates = 10;  // leaf and intermediates as presented

// `chain` is the leaf first, then intermediates in any order. `now` is the time at which every certificate must be
// valid. With `lists`, what they say about the path counts too. InvalidArgument: the leaf is not an X.509-SVID.
// Unauthenticated: it is one, but nothing trusted vouches for it, or it was revoked.
Result<SpiffeId> VerifyX509Svid(std::span<const Certificate> chain, const BundleSet& bundles,
                                std::chrono::system_clock::time_point now, KeyPurpose purpose = KeyPurpose::kAny,
                                const RevocationLists* lists = nullptr);

}  // namespace lanyard
