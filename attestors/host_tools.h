// What the attestors of local processes share: the mount table, blocking jobs, hashes of executables, names of users.
//
// One per agent, so that the hash cache and the limits on blocking jobs are the whole agent's.
//
// Lifetime: outlives the attestors made with it; the loop outlives it. Thread: loop.
#pragma once

#include <memory>

#include "attestors/blocking_jobs.h"
#include "attestors/executable_hash.h"
#include "attestors/name_lookup.h"
#include "node_agent/base/clock.h"
#include "node_agent/base/event_loop.h"
#include "node_agent/base/mounts.h"
#include "node_agent/base/status.h"

namespace lanyard {

struct HostTools {
  HostTools(EventLoop& event_loop, Clock& clock, BlockingLimits limits = DefaultBlockingLimits())
      : loop(event_loop), jobs(event_loop, limits), hasher(jobs), names(jobs, event_loop, clock) {}

  EventLoop& loop;
  OwnMounts mounts;
  BlockingJobs jobs;
  ExecutableHasher hasher;
  NameLookup names;
};

}  // namespace lanyard
