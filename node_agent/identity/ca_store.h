// The embedded CA's authorities of one kind on disk.
//
//   <data_dir>/ca/                   0700
//   <data_dir>/ca/<id>.pem           0600, certificate and key of one root
//   <data_dir>/ca/authorities.json   0600, which roots there are and in which phase
//
// The keys that sign tokens lie in <data_dir>/ca/jwt and ca/wit in the same form.
//
// Every file is replaced atomically, and in an order such that a crash at any instant leaves something that loads: a
// new root's file, then authorities.json, then the files of roots that are gone (overwritten before they are removed).
// A root's file that authorities.json does not name is left over from such a crash and is removed. Without
// authorities.json the roots found are adopted, so that losing that file loses no key.
//
// A file of the active or of the prepared root that is missing or does not parse, or that others could read or change,
// is an error that names it and the remedy: a CA key is never replaced silently.
//
// Thread: any, one call at a time (pool or start-up); blocks on the disk.
#pragma once

#include <string>
#include <vector>

#include "node_agent/base/status.h"
#include "node_agent/identity/ca_state.h"
#include "node_agent/state/data_dir_lock.h"
#include "pki/spiffe_id.h"

namespace lanyard {

class CaStore {
 public:
  // `below`: the directory, as seen from the data directory.
  CaStore(const DataDirLock& data_dir, TrustDomain trust_domain, const std::string& below = "ca");

  // Makes the directory if it is absent, loads what is there and clears away what a crash left. Empty when there is no
  // CA yet. FailedPrecondition and PermissionDenied come with the remedy.
  Result<CaState> Load() const;
  // The same without touching anything, and without a lock; for people who only look.
  static Result<CaState> Peek(const std::string& data_dir, const TrustDomain& trust_domain,
                              const std::string& below = "ca");

  // Makes `after` durable in place of `before`. When it fails, either of them may be on disk; both load. So one that is
  // too large to be loaded again is ResourceExhausted, and nothing is written.
  Status Replace(const CaState& before, const CaState& after) const;

  const std::string& directory() const { return directory_; }
  std::string FileOf(const std::string& id) const;

 private:
  CaStore(std::string directory, TrustDomain trust_domain);
  std::string ListPath() const;
  Result<CaState> Read() const;
  Result<CaState> Adopt() const;
  Result<Authority> ReadAuthority(const std::string& id) const;
  Status WriteAuthority(const Authority& authority) const;
  // Removes roots' files that `state` does not name. Unreadable ones stay for a person to look at.
  void RemoveUnlisted(const CaState& state) const;

  std::string directory_;
  TrustDomain trust_domain_;
};

}  // namespace lanyard
