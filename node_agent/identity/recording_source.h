// Writes down every SVID before anybody gets it, certificates and tokens alike.
//
// Stands around a source. What that source has signed is handed on when its serial (of a token, its token ID) is in the
// state store and an "issue", "issue_jwt" or "issue_wit" record is in the audit log; both are written at the same time.
// When they cannot be written (a full disk), a new identity is refused, while a renewal is handed on and what should
// have been written waits in a bounded buffer: it is written first, in its order, as soon as there is room again. A
// disk that does not answer within kDiskPatience counts as one that cannot be written. A full buffer ends renewals too.
// What is in the buffer is lost when the agent is killed before there is room: at most kMostUnwritten renewals, and
// only during an outage that health() names.
//
// Lifetime: borrows the source, the store, the log and the clock. Thread: loop.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <vector>

#include "node_agent/audit/audit_log.h"
#include "node_agent/base/clock.h"
#include "node_agent/identity/identity_source.h"
#include "node_agent/state/state_store.h"

namespace lanyard {

inline constexpr std::size_t kMostUnwritten = 4096;

class RecordingSource final : public IdentitySource {
 public:
  RecordingSource(IdentitySource& source, StateStore& state, AuditLog& audit, Clock& clock,
                  std::size_t most_unwritten = kMostUnwritten);

  void Issue(IssueRequest request, IssueDone done) override;
  void IssueJwt(JwtRequest request, JwtDone done) override;
  void IssueWit(WitRequest request, WitDone done) override;
  std::shared_ptr<const Bundle> bundle() const override { return source_.bundle(); }
  void OnBundleChange(Listener listener) override { source_.OnBundleChange(std::move(listener)); }
  void OnSignerChange(Listener listener) override { source_.OnSignerChange(std::move(listener)); }
  void OnTokenSignerChange(Listener listener) override { source_.OnTokenSignerChange(std::move(listener)); }
  // The source's, unless the record is worse off.
  HealthReport health() const override;
  // Of the record alone.
  HealthReport record_health() const;

  // Renewals that were handed on and are not yet written.
  std::size_t unwritten() const { return backlog_.size(); }

 private:
  // What is to be written of one SVID.
  struct Issued {
    IssuedSerial serial;
    AuditRecord record;
    bool in_state = false;
    bool in_audit = false;
    bool writing = false;

    bool written() const { return in_state && in_audit; }
  };
  // An SVID on its way to whoever asked for it.
  struct Ask {
    IssueCause cause;
    std::shared_ptr<Issued> issued;
    // Hands the SVID on if that was OK, else the error; empty once it was called.
    absl::AnyInvocable<void(Status) &&> done;
  };
  using AskPtr = std::shared_ptr<Ask>;
  struct Waiting {
    AskPtr ask;
    absl::AnyInvocable<void(Status) &&> answer;
  };

  static Issued ToIssued(const X509Svid& svid);
  static Issued ToIssued(const JwtSvid& svid);
  static Issued ToIssued(const WitSvid& svid);
  // What to do with an answer of the source.
  template <class Svid, class Done>
  absl::AnyInvocable<void(Result<Svid>) &&> Recorded(EntryPtr entry, IssueCause cause, Done done);
  void Record(AskPtr ask);
  // Answers `ask`, once: with the SVID if it was written, or is a renewal that can be kept.
  void Finish(Ask& ask, Status written);
  // Writes what of `issued` is not written yet; `done` on the loop, never if this is destroyed first.
  void Write(const std::shared_ptr<Issued>& issued, absl::AnyInvocable<void(Status) &&> done);
  Status Keep(std::shared_ptr<Issued> issued, const Status& why);
  void WriteBacklog();
  void OnBacklogWritten(const Status& status);
  void RetryLater();

  IdentitySource& source_;
  StateStore& state_;
  AuditLog& audit_;
  Clock& clock_;
  const std::size_t most_unwritten_;
  std::deque<std::shared_ptr<Issued>> backlog_;
  std::vector<Waiting> waiting_;  // new identities, for the backlog to be written first
  bool writing_backlog_ = false;
  Status why_unwritten_;
  std::unique_ptr<Clock::Alarm> retry_;
  std::shared_ptr<void> alive_ = std::make_shared<char>();
};

}  // namespace lanyard
