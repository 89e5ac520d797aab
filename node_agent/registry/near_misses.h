// Which entries a process almost earns, and what it lacks: for people who ask why somebody has no identity.
//
// Thread: any.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "node_agent/registry/registry.h"

namespace lanyard {

struct NearMiss {
  Registry::Item item;
  std::vector<Selector> missing;  // at least one; in the entry's order

  size_t found() const { return item.entry->selectors.size() - missing.size(); }
  // "2 of 3 selectors; missing systemd:id:planner.service"
  std::string Describe() const;
};

// Entries of which at least one selector is among `selectors`, and one is not: those that lack least first, of equal
// ones those that have most, then as in the registry. At most `most`. Looks at every entry: not for the way of a
// request.
std::vector<NearMiss> NearMisses(const Registry& registry, std::span<const Selector> selectors, size_t most);

}  // namespace lanyard
