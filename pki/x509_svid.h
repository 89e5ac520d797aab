// An X.509-SVID with its private key: what a workload is handed.
//
// Built only by factories that check the profile of X509-SVID
// (https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md), so that whatever Lanyard hands out is something
// it would accept itself. Whether the chain leads to a trusted authority is the verifier's question, not asked here.
//
// Thread: any; copies share one immutable object.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "node_agent/base/status.h"
#include "pki/certificate.h"
#include "pki/key.h"
#include "pki/spiffe_id.h"

namespace lanyard {

// The ID of a leaf that follows the profile: X509-SVID §2, §3.1, §4.1, §4.3, §4.4 and §5.2. InvalidArgument names the
// broken rule.
Result<SpiffeId> IdFromLeaf(const Certificate& leaf);

// X509-SVID §3.2 and §4 for a certificate that signs others: CA, may sign certificates, and if it has a SPIFFE ID, one
// without a path. Returns the trust domain of that ID, or nothing where the certificate carries none.
Result<std::optional<TrustDomain>> CheckSigningCertificate(const Certificate& certificate);

class X509Svid {
 public:
  // `chain` is the leaf, then each certificate's issuer in turn, without the root. The key must be the leaf's.
  static Result<X509Svid> Create(std::vector<Certificate> chain, PrivateKey key);

  const SpiffeId& id() const { return state_->id; }
  const Certificate& leaf() const { return state_->chain.front(); }
  const std::vector<Certificate>& chain() const { return state_->chain; }
  std::string ChainDer() const;  // concatenated, leaf first, as in X509SVID.x509_svid of the Workload API
  std::string ChainPem() const;
  const PrivateKey& key() const { return state_->key; }

  std::chrono::system_clock::time_point not_before() const { return leaf().not_before(); }
  std::chrono::system_clock::time_point not_after() const { return leaf().not_after(); }
  const std::string& serial_hex() const { return leaf().serial_hex(); }

 private:
  friend class Issuer;
  struct State {
    SpiffeId id;
    std::vector<Certificate> chain;
    PrivateKey key;
  };
  explicit X509Svid(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  static X509Svid FromParts(SpiffeId id, std::vector<Certificate> chain, PrivateKey key);

  std::shared_ptr<const State> state_;
};

}  // namespace lanyard
