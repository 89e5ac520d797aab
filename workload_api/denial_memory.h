// What was found about callers that were denied a moment ago.
//
// The record of a denial says everything that was found, for which a caller is looked at a second time, wholly. A
// process that asks again and again would make the agent do so each time. So what was found is kept for a few seconds:
// as long as the same process shows the same facts to the same registry, its denial is the same and is only counted.
// Values of environment variables are not kept beyond what the registry names.
//
// Bounded: the latest 256 processes; one about which more than 16 KiB were found is not remembered. Thread: loop.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <utility>

#include "attestors/attestor.h"
#include "node_agent/base/clock.h"
#include "node_agent/base/process.h"
#include "node_agent/registry/registry.h"

namespace lanyard {

class DenialMemory {
 public:
  using FindingsPtr = std::shared_ptr<const Findings>;

  explicit DenialMemory(Clock& clock) : clock_(clock) {}

  // What the whole look found; null when there was none lately, or when the process or the registry is not as it was.
  // `narrow`: what was found now of the kinds that the registry names.
  FindingsPtr Find(const ProcessRef& process, const Findings& narrow, const std::shared_ptr<const Registry>& registry);
  void Keep(const ProcessRef& process, FindingsPtr narrow, FindingsPtr whole,
            const std::shared_ptr<const Registry>& registry);

  size_t size() const { return denials_.size(); }

 private:
  using Key = std::pair<pid_t, uint64_t>;  // pid and start time: no other process
  struct Denial {
    Key key;
    MonoTime looked;
    std::weak_ptr<const Registry> registry;
    FindingsPtr narrow;
    FindingsPtr whole;
  };

  void Drop(std::list<Denial>::iterator denial);
  void WatchOldest();

  Clock& clock_;
  std::list<Denial> denials_;  // the latest first
  std::map<Key, std::list<Denial>::iterator> by_key_;
  std::unique_ptr<Clock::Alarm> alarm_;
};

}  // namespace lanyard
