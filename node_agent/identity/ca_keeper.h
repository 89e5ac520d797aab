// The embedded CA as the rest of the agent sees it: a source of identities, and an authority that an operator can look
// at and rotate.
//
// MakeEmbeddedCa chooses between the two ways to run it: self-signed roots that the agent makes and rotates by itself
// (RootKeeper), or an intermediate that somebody else issued (IntermediateKeeper).
//
// Lifetime: borrows the loop, the clock and the data directory's lock. Thread: loop.
#pragma once

#include <absl/functional/any_invocable.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "node_agent/base/clock.h"
#include "node_agent/base/event_loop.h"
#include "node_agent/identity/identity_source.h"
#include "node_agent/state/data_dir_lock.h"
#include "pki/issuer.h"
#include "pki/key.h"
#include "pki/spiffe_id.h"

namespace lanyard {

inline constexpr std::chrono::seconds kShortestCaTtl{60};

// PEM files of an authority that somebody else issued.
struct GivenIssuer {
  std::string issuer_cert;        // the signing certificate, then its issuers in turn
  std::string issuer_key;         // of the first one
  std::string upstream_roots;     // what workloads verify against: the trust domain's bundle
  std::string jwt_authority_key;  // the key that signs tokens; may be empty, and none are issued then
  std::string issuer_root_crl;    // the revocation lists of those above the issuer; may be empty

  bool operator==(const GivenIssuer&) const = default;
};

struct CaOptions {
  TrustDomain trust_domain;
  KeyType key_type = KeyType::kEcP256;                    // of roots made from now on
  std::chrono::seconds ca_ttl = std::chrono::hours(720);  // of roots made from now on
  // These spare the first SVID a wait for the disk.
  std::chrono::seconds usual_leaf_ttl = std::chrono::hours(1);
  std::chrono::seconds usual_jwt_ttl = std::chrono::minutes(5);
  std::string jwt_issuer = {};  // "iss" of JWT-SVIDs; left out if empty
  std::optional<GivenIssuer> given = std::nullopt;
};

enum class AuthorityPhase {
  kPrepared,  // in the bundle, does not sign yet
  kActive,    // signs
  kRetired,   // in the bundle until the last SVID that it signed has expired
};
std::string_view AuthorityPhaseName(AuthorityPhase phase);  // "prepared", "active", "retired"

// One line of `lanyard ca show`.
struct AuthorityInfo {
  std::string id;  // subject key identifier, hex; of a key for tokens its key ID
  SvidKind kind = SvidKind::kX509;
  AuthorityPhase phase = AuthorityPhase::kActive;
  std::string key_type;
  WallTime not_before, not_after;
  std::optional<WallTime> signs_from;  // of a prepared one: when it will begin to sign
  std::optional<WallTime> keep_until;  // of a retired one
  std::string file;                    // where it is kept
};

class CaKeeper {
 public:
  using Done = absl::AnyInvocable<void(Status) &&>;

  virtual ~CaKeeper() = default;
  virtual IdentitySource& source() = 0;
  // Every authority whose key is here and that may have signed what is accepted now: each of the roots in the bundle,
  // or the given issuer. Others than before whenever source() tells of another bundle or signer.
  virtual std::vector<Issuer> issuers() const = 0;
  // Makes the prepared root sign now; makes one if none is prepared. The new root is published and signs from the same
  // moment: each node has its own roots, so bundle and new SVIDs reach everyone concerned in the same push. The old
  // root stays in the bundle until its SVIDs have expired. FailedPrecondition for a given issuer. `done` runs on the
  // loop, after Rotate() has returned.
  virtual void Rotate(Done done) = 0;
  // Reads given files again, as after a change of them (for SIGHUP); roots need no such thing.
  virtual void Reload() = 0;
  virtual std::vector<AuthorityInfo> Show() const = 0;
  virtual HealthReport health() const = 0;
  // True when there was no authority at start, and the first one was made then.
  virtual bool made_anew() const { return false; }
};

// Loads the authority, and makes the first root if there is none. Blocks on the disk: for start-up. What is broken is
// named together with the remedy, and never replaced.
Result<std::unique_ptr<CaKeeper>> MakeEmbeddedCa(CaOptions options, const DataDirLock& data_dir, EventLoop& loop,
                                                 Clock& clock);

// What `lanyard ca init` does while no agent runs: the same as a start of the agent, once. Blocks.
Result<std::vector<AuthorityInfo>> InitCa(const CaOptions& options, const DataDirLock& data_dir, WallTime now);

// What `lanyard ca show` does while no agent runs. Changes nothing; FailedPrecondition if no CA has been made. Blocks.
Result<std::vector<AuthorityInfo>> ReadCa(const CaOptions& options, const std::string& data_dir, WallTime now);

}  // namespace lanyard
