// The revocation lists of the CAs above a given issuer, read from a file and read again when it changes.
//
// Lanyard signs the list of the given issuer itself, but not those of whoever certified it; a verifier that checks
// every certificate of a chain wants them all. The file has one list of each of these CAs (with a root right above the
// issuer: one list), PEM or, for a single one, DER. It is taken only as a whole: each list signed by a certificate
// above the issuer or by an upstream root, no CA twice (verifiers take either), none missing, none over, none of
// tomorrow. Anything less keeps the last good one in use, even past its end, and is said in health(): without a list
// verifiers refuse just the same.
//
// Never fatal, also not at start: the identities of a node do not end for a list that somebody forgot to renew.
//
// Lifetime: borrows the loop and the clock. Thread: loop; the file is read in the pool, at start by Start() itself.
#pragma once

#include <absl/functional/any_invocable.h>

#include <memory>
#include <string>
#include <vector>

#include "node_agent/base/clock.h"
#include "node_agent/base/dir_watcher.h"
#include "node_agent/base/event_loop.h"
#include "node_agent/base/health.h"
#include "pki/bundle.h"
#include "pki/crl.h"
#include "pki/issuer.h"

namespace lanyard {

// Reads and checks the file; blocks.
Result<std::vector<Crl>> LoadIssuerRootCrl(const std::string& path, const Issuer& issuer, const Bundle& upstream_roots,
                                           WallTime now);

class IssuerRootCrl {
 public:
  // Blocks on the disk. `on_change` is called when lists() are others, never before Start() has returned. An error when
  // changes of files cannot be watched at all.
  static Result<std::unique_ptr<IssuerRootCrl>> Start(std::string path, Issuer issuer, Bundle upstream_roots,
                                                      EventLoop& loop, Clock& clock,
                                                      absl::AnyInvocable<void()> on_change);

  // Another issuer signs, or there are other roots: the file is checked against them.
  void SetChain(Issuer issuer, Bundle upstream_roots);
  // Reads the file again, as after a change of it.
  void Reload();

  const std::vector<Crl>& lists() const { return lists_; }  // empty until there was a good one
  HealthReport health() const;

 private:
  IssuerRootCrl(std::string path, Issuer issuer, Bundle upstream_roots, EventLoop& loop, Clock& clock,
                absl::AnyInvocable<void()> on_change);
  void OnLoaded(Result<std::vector<Crl>> loaded);
  void SetAlarm();

  const std::string path_;
  Issuer issuer_;
  Bundle upstream_roots_;
  EventLoop& loop_;
  Clock& clock_;
  absl::AnyInvocable<void()> on_change_;
  std::vector<Crl> lists_;
  Status failure_;  // of the last load
  bool loading_ = false;
  bool load_again_ = false;
  std::unique_ptr<DirWatcher> watcher_;
  std::unique_ptr<Clock::Alarm> alarm_;
  std::shared_ptr<void> alive_ = std::make_shared<char>();
};

}  // namespace lanyard
