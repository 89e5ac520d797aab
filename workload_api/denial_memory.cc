#include "workload_api/denial_memory.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

namespace lanyard {
namespace {

constexpr std::chrono::seconds kKeep{10};
constexpr size_t kMost = 256;
constexpr size_t kMostBytes = size_t{16} * 1024;  // of what was found about one

size_t SizeOf(const Findings& findings) {
  size_t bytes = 0;
  for (const Selector& selector : findings.selectors) bytes += selector.type.size() + selector.value.size();
  for (const Gap& gap : findings.gaps) bytes += gap.prefix.size() + Message(gap.why).size();
  return bytes;
}

bool SameFindings(const Findings& a, const Findings& b) {
  return a.selectors == b.selectors &&
         std::equal(a.gaps.begin(), a.gaps.end(), b.gaps.begin(), b.gaps.end(),
                    [](const Gap& one, const Gap& other) { return one.prefix == other.prefix; });
}

// As records show it. The same when there is nothing to hide.
DenialMemory::FindingsPtr AsShown(DenialMemory::FindingsPtr findings) {
  std::shared_ptr<Findings> shown;
  for (size_t i = 0; i < findings->selectors.size(); ++i) {
    const Selector& selector = findings->selectors[i];
    const std::string text = Shown(selector);
    if (text == selector.str()) continue;
    if (shown == nullptr) shown = std::make_shared<Findings>(*findings);
    shown->selectors[i].value = text.substr(selector.type.size() + 1);
  }
  return shown == nullptr ? std::move(findings) : std::move(shown);
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
  if (const auto known = by_key_.find(key); known != by_key_.end()) Drop(known->second);
  if (SizeOf(*narrow) + SizeOf(*whole) > kMostBytes) return;
  denials_.push_front({key, clock_.MonoNow(), registry, std::move(narrow), AsShown(std::move(whole))});
  by_key_[key] = denials_.begin();
  if (denials_.size() > kMost) Drop(std::prev(denials_.end()));
  if (denials_.size() == 1) WatchOldest();
}

void DenialMemory::Drop(std::list<Denial>::iterator denial) {
  by_key_.erase(denial->key);
  denials_.erase(denial);
}

void DenialMemory::WatchOldest() {
  alarm_ = clock_.CallAt(denials_.back().looked + kKeep, [this] {
    while (!denials_.empty() && clock_.MonoNow() - denials_.back().looked >= kKeep) Drop(std::prev(denials_.end()));
    if (!denials_.empty()) WatchOldest();
  });
}

}  // namespace lanyard
