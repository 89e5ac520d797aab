// What must not be forgotten, behind one interface: serials that were issued and revoked, the numbers of revocation
// lists, and how far the audit log had come.
//
// Writes are answered by callback once they are durable: what was answered OK is there after a kill or a power cut.
// Writes that arrive while others are on their way to the disk are committed together.
//
// Thread: loop; callbacks run on the loop, never inside the call. The loop never waits for a disk. Fails closed: a
// write that could not be made durable is answered with an error that says what to do, and later ones are tried anew.
#pragma once

#include <absl/functional/any_invocable.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "node_agent/base/clock.h"
#include "node_agent/base/health.h"
#include "node_agent/base/histogram.h"
#include "node_agent/base/status.h"

namespace lanyard {

// One certificate or token that this node signed. Serial numbers are unique per authority only (RFC 5280 §4.1.2.2).
struct IssuedSerial {
  std::string authority;  // subject key identifier of the signer, lower-case hex; of a token its key ID
  std::string serial;     // lower-case hex; of a token its "jti"
  std::string spiffe_id;
  WallTime not_after;

  bool operator==(const IssuedSerial&) const = default;
};

// One of them that was revoked before its end.
struct RevokedSerial {
  std::string authority;  // both as in IssuedSerial
  std::string serial;
  WallTime not_after;
  WallTime revoked_at;

  bool operator==(const RevokedSerial&) const = default;
};

// What a store knew of revocations when it was opened.
struct RevocationState {
  std::vector<RevokedSerial> revoked;
  std::map<std::string, uint64_t> crl_numbers;  // by authority: the highest in use
};

// The last line of the audit log that was durable: its number and its hash.
struct AuditHead {
  uint64_t seq = 0;
  std::string hash;  // lower-case hex SHA-256 of the line

  bool operator==(const AuditHead&) const = default;
};

struct StateStats {
  uint64_t commits = 0;         // batches made durable
  uint64_t failed_commits = 0;  // batches that could not be
  uint64_t writes = 0;          // writes in those that were
  size_t waiting = 0;           // writes not yet answered
  std::optional<WallTime> last_commit;
  uint64_t bytes = 0;  // on disk, database and its journal
};

// Writes may wait for a disk that does not answer for as long as that lasts. Who cannot wait gives up after this time.
inline constexpr std::chrono::seconds kDiskPatience{5};

class StateStore {
 public:
  using Done = absl::AnyInvocable<void(Status) &&>;

  virtual ~StateStore() = default;

  // Recording the same serial of the same authority again is no error and changes nothing.
  virtual void RecordIssued(IssuedSerial issued, Done done) = 0;

  // The same for what was revoked; the first time stays. May use the reserve.
  virtual void RecordRevoked(RevokedSerial revoked, Done done) = 0;

  // Asked before a CRL is signed: once it is answered OK, `number` and all below it count as used by `authority`, also
  // after a kill. May use the reserve.
  virtual void UseCrlNumber(std::string authority, uint64_t number, Done done) = 0;

  // Nobody waits for it: the newest head is committed with the next write, or within a second. May use the reserve.
  virtual void SaveAuditHead(AuditHead head) = 0;

  // Calls `done` when everything asked for before is durable or has failed.
  virtual void Flush(Done done) = 0;

  virtual StateStats stats() const = 0;
  // How long commits take, in seconds, fsync included.
  virtual const Histogram& commit_seconds() const = 0;
  virtual HealthReport health() const = 0;
};

}  // namespace lanyard
