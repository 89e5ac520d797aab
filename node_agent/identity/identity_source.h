// Where identities come from: the seam between the agent and whoever signs.
//
// The agent asks for one SVID at a time and shows the source's bundle to workloads. EmbeddedCa signs on this node; an
// authority elsewhere answers the same questions over the network. Nobody above this seam knows which it is.
//
// Lifetime: outlives everything that listens to it or has asked it. Thread: loop.
#pragma once

#include <absl/functional/any_invocable.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "node_agent/base/health.h"
#include "node_agent/base/status.h"
#include "node_agent/registry/entry.h"
#include "pki/bundle.h"
#include "pki/jwt_svid.h"
#include "pki/key.h"
#include "pki/wit_svid.h"
#include "pki/x509_svid.h"

namespace lanyard {

enum class SvidKind { kX509, kJwt, kWit };
std::string_view SvidKindName(SvidKind kind);  // "x509", "jwt", "wit"

enum class IssueCause {
  kNew,      // somebody asked for an identity that nobody has now
  kRenewal,  // it replaces one that was handed out
};

struct IssueRequest {
  EntryPtr entry;
  std::chrono::seconds ttl{0};  // from now; the SVID may live shorter, never longer
  KeyType key_type = KeyType::kEcP256;
  IssueCause cause = IssueCause::kNew;
};

struct JwtRequest {
  EntryPtr entry;
  std::vector<std::string> audiences;  // in this order in the token
  std::chrono::seconds ttl{0};         // as above
  IssueCause cause = IssueCause::kNew;
};

struct WitRequest {
  EntryPtr entry;
  std::chrono::seconds ttl{0};  // as above
  KeyType key_type = KeyType::kEcP256;
  IssueCause cause = IssueCause::kNew;
};

class IdentitySource {
 public:
  using IssueDone = absl::AnyInvocable<void(Result<X509Svid>) &&>;
  using JwtDone = absl::AnyInvocable<void(Result<JwtSvid>) &&>;
  using WitDone = absl::AnyInvocable<void(Result<WitSvid>) &&>;
  using Listener = absl::AnyInvocable<void()>;

  virtual ~IdentitySource() = default;

  // Makes a new key and certificate for the entry. `done` runs once, on the loop thread, after Issue() has returned;
  // not at all when the source is destroyed first. Unavailable while nothing can sign, with the reason.
  // Always answers in bounded time: whoever waits for a network sets a deadline of its own.
  virtual void Issue(IssueRequest request, IssueDone done) = 0;

  // The same for tokens. A WIT-SVID comes with a new key. A source may be able to sign certificates, but no tokens.
  virtual void IssueJwt(JwtRequest request, JwtDone done) = 0;
  virtual void IssueWit(WitRequest request, WitDone done) = 0;

  // The trust domain's own bundle; null until the source is ready.
  virtual std::shared_ptr<const Bundle> bundle() const = 0;

  // Called after each change of bundle().
  virtual void OnBundleChange(Listener listener) = 0;

  // Called after another authority has begun to sign. What was issued before stays valid for now, but should be renewed
  // soon, so that nothing depends on the old authority when it goes.
  virtual void OnSignerChange(Listener listener) = 0;

  // Called after another key has begun to sign JWT-SVIDs or WIT-SVIDs. Tokens of the one before stay valid until they
  // expire.
  virtual void OnTokenSignerChange(Listener listener) = 0;

  virtual HealthReport health() const = 0;
};

}  // namespace lanyard
