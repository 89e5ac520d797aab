// Names of users and groups, asked of the node's user database off the loop and kept for a minute.
//
// The database may be a directory service on the network (NSS), so a lookup may take seconds or hang. A number without
// a name is an answer; a database that cannot be asked is an error and is not remembered. Who asks for many names has
// one lookup under way at a time, so that others do not wait behind all of them.
//
// Lifetime: `jobs`, `loop` and `clock` outlive it. Thread: loop.
#pragma once

#include <absl/functional/any_invocable.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "attestors/blocking_jobs.h"
#include "node_agent/base/clock.h"
#include "node_agent/base/event_loop.h"
#include "node_agent/base/status.h"

namespace lanyard {

enum class NameKind { kUser, kGroup };
using Name = std::optional<std::string>;  // no value: the number has no name

// Asks the system's database. Blocks; pool only. Unavailable when it cannot be asked.
Result<Name> LookUpName(NameKind kind, uint32_t id);

class NameLookup {
 public:
  static constexpr std::chrono::seconds kKeep{60};
  static constexpr size_t kMaxEntries = 65536;

  struct Ticket {
    virtual ~Ticket() = default;
  };  // destroy it to lose interest; `done` then never runs
  using Done = absl::AnyInvocable<void(Result<std::vector<Name>>) &&>;
  using Source = Result<Name> (*)(NameKind, uint32_t);

  // Of more than `max_entries` names the oldest are forgotten.
  NameLookup(BlockingJobs& jobs, EventLoop& loop, Clock& clock, Source source = LookUpName,
             size_t max_entries = kMaxEntries);
  ~NameLookup();

  // From memory, in the order of `ids`; no value unless all of them are known.
  std::optional<std::vector<Name>> Cached(NameKind kind, const std::vector<uint32_t>& ids);

  // Names in the order of `ids`, or the first error. `done` runs on the loop, never before Find has returned.
  [[nodiscard]] std::unique_ptr<Ticket> Find(NameKind kind, std::vector<uint32_t> ids, Done done);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace lanyard
