// Keeps the node's own self-signed roots: made on first start, rotated by themselves, never signing past their time.
//
// What happens when is decided by ca_schedule.h; this class does it: each step is made durable in the pool, then taken
// over on the loop and installed in the EmbeddedCa, one step at a time. It looks again whenever the next step falls due
// and every second, since the wall clock may be set; whoever asks for an SVID in between, after the clock has left the
// dates of the active root, waits for its successor. A step that fails (disk full) is tried again; meanwhile the active
// root signs on until it expires.
//
// Lifetime: borrows the loop, the clock and the lock. Thread: loop. Fails closed: an expired root signs nothing.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "node_agent/identity/ca_keeper.h"
#include "node_agent/identity/ca_schedule.h"
#include "node_agent/identity/ca_store.h"
#include "node_agent/identity/embedded_ca.h"

namespace lanyard {

class RootKeeper final : public CaKeeper {
 public:
  // Blocks on the disk.
  static Result<std::unique_ptr<RootKeeper>> Start(CaOptions options, const DataDirLock& data_dir, EventLoop& loop,
                                                   Clock& clock);

  IdentitySource& source() override { return ca_; }
  void Rotate(Done done) override;
  void Reload() override {}
  std::vector<AuthorityInfo> Show() const override;
  HealthReport health() const override { return ca_.health(); }
  bool made_anew() const override { return made_anew_; }

 private:
  using Change = absl::AnyInvocable<Result<CaState>(const CaState&)>;

  enum class Found { kRoots, kNothing };
  RootKeeper(CaOptions options, CaStore store, CaState state, Found found, EventLoop& loop, Clock& clock);
  // Answers `done` once leaves of `lifetime` are covered on disk.
  void Cover(std::chrono::seconds lifetime, Done done);
  bool IsCovered(std::chrono::seconds lifetime) const;
  void CoverWaiting();
  // Starts what has to be done next, unless something is being done; else sets the alarm.
  void Continue();
  void Run(std::string what, Change change, Done done);
  template <class Step>
  void RunStep(std::string_view what, Step step, Done done);
  void InstallState();
  void SetAlarm();
  void ReportHealth();

  CaOptions options_;
  CaStore store_;
  std::shared_ptr<const CaState> state_;
  const bool made_anew_;
  EventLoop& loop_;
  Clock& clock_;
  EmbeddedCa ca_;
  bool busy_ = false;
  Status last_failure_;
  std::deque<Done> rotations_;
  std::vector<std::pair<std::chrono::seconds, Done>> uncovered_;
  std::unique_ptr<Clock::Alarm> alarm_;
  std::shared_ptr<void> alive_ = std::make_shared<char>();
};

// Brings `state` up to `now`, durably; what a start does before anything is served.
Result<CaState> CatchUp(const CaStore& store, CaState state, const CaOptions& options, WallTime now);

// What `ca show` prints about roots.
std::vector<AuthorityInfo> DescribeRoots(const CaState& state, const std::string& directory);

}  // namespace lanyard
