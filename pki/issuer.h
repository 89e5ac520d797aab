// Signs leaf SVIDs, and the list of those that were revoked, with one signing certificate.
//
// An issue makes the key, the certificate and the signature, about 40 us for the default key type. A leaf never
// outlives any certificate of the chain above it. What is issued is what X509Svid::Create would accept; issuer.cc says
// what is re-checked.
//
// Thread: any; immutable, copies share one object.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "node_agent/base/status.h"
#include "pki/certificate.h"
#include "pki/crl.h"
#include "pki/key.h"
#include "pki/spiffe_id.h"
#include "pki/x509_svid.h"

namespace lanyard {

struct LeafRequest {
  SpiffeId id;
  KeyType key_type = KeyType::kEcP256;
  std::vector<std::string> dns_names;
  std::chrono::system_clock::time_point not_before, not_after;  // fractions of a second are cut off
};

class Issuer {
 public:
  // `chain`: the signing certificate, then its issuers in turn. A self-signed root at the end is accepted, but not
  // passed on to workloads. Fails if a certificate may not sign, if one is not signed by the next, or if the key is not
  // the first one's.
  static Result<Issuer> Create(std::vector<Certificate> chain, PrivateKey key);

  // InvalidArgument if the ID has no path, is of another trust domain than the signing certificate's own SPIFFE ID, or
  // the names or dates make no sense; FailedPrecondition if the chain above has expired by `not_before`.
  Result<X509Svid> IssueLeaf(const LeafRequest& request) const;

  // The list of what was revoked of the signing certificate's leaves; see Crl::Sign().
  Result<Crl> SignCrl(const CrlContent& content) const;

  const Certificate& certificate() const;
  // Intermediates that follow the leaf in what workloads get: the signing certificate and those above, without
  // self-signed roots.
  const std::vector<Certificate>& chain_tail() const;
  // The earliest end of validity in the chain: no leaf lives longer.
  std::chrono::system_clock::time_point not_after() const;

 private:
  struct State;
  explicit Issuer(std::shared_ptr<const State> state) : state_(std::move(state)) {}

  std::shared_ptr<const State> state_;
};

}  // namespace lanyard
