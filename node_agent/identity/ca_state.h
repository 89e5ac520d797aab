// What the embedded CA knows about its own roots; what CaStore keeps on disk.
//
// Thread: any; values.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "node_agent/base/clock.h"
#include "node_agent/identity/ca_keeper.h"
#include "pki/certificate.h"
#include "pki/key.h"

namespace lanyard {

struct Authority {
  std::string id;  // subject key identifier, hex; also the name of its file
  AuthorityPhase phase = AuthorityPhase::kActive;
  WallTime created;                    // its life is counted from here; the certificate is backdated
  std::optional<WallTime> keep_until;  // of a retired one: when the last SVID that it signed has expired
  // Of a retired one: only the wall clock took it out of service. If the clock comes back, it may sign again.
  bool may_return = false;
  Certificate certificate;
  PrivateKey key;
};

struct CaState {
  std::vector<Authority> authorities;  // oldest first; at most one is active
  // No leaf has ever been given a longer life. On disk before such a leaf is handed out, so that a root that retires
  // stays for as long as its last SVID, even if TTLs were shortened in between.
  std::chrono::seconds longest_lifetime{0};

  const Authority* Active() const {
    for (const Authority& authority : authorities) {
      if (authority.phase == AuthorityPhase::kActive) return &authority;
    }
    return nullptr;
  }
};

}  // namespace lanyard
