#include "workload_api/denial_memory.h"

#include <algorithm>

namespace lanyard {
namespace {

constexpr std::chrono::seconds kKeep{10};
constexpr size_t kMost = 256;

bool SameFindings(const Findings& a, const Findings& b) {
  return a.selectors == b.selectors &&
         std::equal(a.gaps.begin(), a.gaps.end(), b.gaps.begin(), b.gaps.end(),
                    [](const Gap& one, const Gap& other) { return one.prefix == other.prefix; });
}

}  // namespace

DenialMemory::FindingsPtr DenialMemory::Find(const ProcessRef& process, const Findings& narrow,
                                             const std::shared_ptr<const Registry>& registry) {
  const auto known = by_key_.find({process.pid(), process.start_time()});
  if (known == by_key_.end()) return nullptr;
  const Denial& denial = *known->second;
  if (clock_.MonoNow() - denial.looked >= kKeep || denial.registry.lock() != registry ||
      !SameFindings(*denial.narrow, narrow))
    return nullptr;
  return denial.whole;
}

void DenialMemory::Keep(const ProcessRef& process, FindingsPtr narrow, FindingsPtr whole,
                        const std::shared_ptr<const Registry>& registry) {
  const Key key{process.pid(), process.start_time()};
  if (const auto known = by_key_.find(key); known != by_key_.end()) {
    denials_.erase(known->second);
    by_key_.erase(known);
  }
  denials_.push_front({key, clock_.MonoNow(), registry, std::move(narrow), std::move(whole)});
  by_key_[key] = denials_.begin();
  if (denials_.size() <= kMost) return;
  by_key_.erase(denials_.back().key);
  denials_.pop_back();
}

}  // namespace lanyard
