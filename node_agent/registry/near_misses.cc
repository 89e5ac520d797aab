#include "node_agent/registry/near_misses.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <unordered_set>
#include <utility>

namespace lanyard {

std::string NearMiss::Describe() const {
  std::vector<std::string> names;
  for (const Selector& selector : missing) names.push_back(selector.str());
  return fmt::format("{} of {} selectors; missing {}", found(), item.entry->selectors.size(), fmt::join(names, " "));
}

std::vector<NearMiss> NearMisses(const Registry& registry, std::span<const Selector> selectors, size_t most) {
  const std::unordered_set<Selector> has(selectors.begin(), selectors.end());
  std::vector<NearMiss> misses;
  for (const Registry::Item& item : registry.items()) {
    NearMiss miss{item, {}};
    for (const Selector& needed : item.entry->selectors) {
      if (!has.contains(needed)) miss.missing.push_back(needed);
    }
    if (!miss.missing.empty() && miss.found() > 0) misses.push_back(std::move(miss));
  }
  std::stable_sort(misses.begin(), misses.end(), [](const NearMiss& a, const NearMiss& b) {
    return a.missing.size() != b.missing.size() ? a.missing.size() < b.missing.size() : a.found() > b.found();
  });
  if (misses.size() > most) misses.erase(misses.begin() + static_cast<std::ptrdiff_t>(most), misses.end());
  return misses;
}

}  // namespace lanyard
