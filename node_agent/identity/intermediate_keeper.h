// Signs with an intermediate that somebody else issued, read from files and read again when they change.
//
// A set of files is taken only if it works as a whole: the key belongs to the certificate, the chain may sign for our
// trust domain, and a leaf made with it verifies against the upstream roots right now. Anything less keeps the last
// good set in use and is said in health(); files that are replaced one after another therefore do no harm. At start-up
// there is no last good set, and a bad one is fatal.
//
// Tokens are signed with the key in jwt_authority_key, which belongs to the set; without one none are issued. It signs
// JWT-SVIDs under its thumbprint as key ID, and WIT-SVIDs under the same with "wit-" before it: an ID names one key of
// the bundle (WIT-SVID §6.1), and a verifier of one kind does not find the other's. Whoever made the key replaces it;
// the one before stays in the bundle until the last token that this agent signed with it has expired.
//
// Lifetime: borrows the loop and the clock. Thread: loop; files are read in the pool. Fails closed: an expired issuer
// signs nothing.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "node_agent/base/dir_watcher.h"
#include "node_agent/identity/ca_keeper.h"
#include "node_agent/identity/embedded_ca.h"

namespace lanyard {

// Reads and proves the files; blocks. Errors name the file at fault where one is.
Result<SigningState> LoadGivenIssuer(const GivenIssuer& files, const TrustDomain& trust_domain, WallTime now);

// What `ca show` prints about it.
AuthorityInfo DescribeIssuer(const Issuer& issuer, const std::string& file);

class IntermediateKeeper final : public CaKeeper {
 public:
  // Blocks on the disk. `options.given` is set.
  static Result<std::unique_ptr<IntermediateKeeper>> Start(CaOptions options, EventLoop& loop, Clock& clock);

  IdentitySource& source() override { return ca_; }
  std::vector<Issuer> issuers() const override { return {given_->issuer}; }
  void Rotate(Done done) override;
  void Reload() override;
  std::vector<AuthorityInfo> Show() const override;
  HealthReport health() const override { return ca_.health(); }

 private:
  IntermediateKeeper(CaOptions options, EventLoop& loop, Clock& clock);
  void Take(SigningState state);
  // The keys before, for as long as their tokens may count.
  void RetireTokenKeys(const TokenKeys& next);
  bool DropRetiredKeys();
  Result<Bundle> WithRetiredKeys(const Bundle& bundle) const;
  void OnLoaded(Result<SigningState> loaded);
  void SetAlarm();
  void ReportHealth();

  CaOptions options_;
  EventLoop& loop_;
  Clock& clock_;
  EmbeddedCa ca_;
  std::optional<SigningState> given_;  // as the files say; set from the first good load on
  TokenAuthorities retired_;
  std::unique_ptr<DirWatcher> watcher_;
  std::unique_ptr<Clock::Alarm> alarm_;
  Status last_failure_;
  bool loading_ = false;
  bool load_again_ = false;
  std::shared_ptr<void> alive_ = std::make_shared<char>();
};

}  // namespace lanyard
