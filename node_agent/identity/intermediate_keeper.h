// Signs with an intermediate that somebody else issued, read from files and read again when they change.
//
// A set of files is taken only if it works as a whole: the key belongs to the certificate, the chain may sign for our
// trust domain, and a leaf made with it verifies against the upstream roots right now. Anything less keeps the last
// good set in use and is said in health(); files that are replaced one after another therefore do no harm. At start-up
// there is no last good set, and a bad one is fatal.
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
  void Rotate(Done done) override;
  void Reload() override;
  std::vector<AuthorityInfo> Show() const override;
  HealthReport health() const override { return ca_.health(); }

 private:
  IntermediateKeeper(CaOptions options, EventLoop& loop, Clock& clock);
  void Take(SigningState state);
  void OnLoaded(Result<SigningState> loaded);
  void SetAlarm();
  void ReportHealth();

  CaOptions options_;
  EventLoop& loop_;
  Clock& clock_;
  EmbeddedCa ca_;
  std::optional<Issuer> issuer_;  // set from the first good load on
  std::unique_ptr<DirWatcher> watcher_;
  std::unique_ptr<Clock::Alarm> alarm_;
  Status last_failure_;
  bool loading_ = false;
  bool load_again_ = false;
  std::shared_ptr<void> alive_ = std::make_shared<char>();
};

}  // namespace lanyard
