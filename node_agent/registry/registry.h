// All registration entries at one moment, and which of them a caller earns.
//
// An entry is earned when all of its selectors were found. Where an attestor could not find out (a gap), an entry is
// undetermined when the selectors outside the gaps were found and at least one other lies in a gap; everything else is
// not earned. Each entry is filed under its rarest selector, so that a match looks at few of them, however large the
// registry is: entries filed under what the caller has, and those filed under what a gap covers.
//
// Lifetime: an immutable snapshot, shared by its readers. Thread: any.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "attestors/wanted_kinds.h"
#include "node_agent/base/yaml.h"
#include "node_agent/registry/entry.h"

namespace lanyard {

struct Undetermined {
  EntryPtr entry;
  size_t gap;  // index, in the gaps given to Match, of the first that covers a selector of this entry
};

struct Verdicts {
  // In the order of the registry: file, then position. Of several with one hint only the first is here.
  std::vector<EntryPtr> earned;
  std::vector<Undetermined> undetermined;
  // Earned, but left out because of its hint: {the one served, the one left out}.
  std::vector<std::pair<EntryPtr, EntryPtr>> hint_conflicts;
};

class Registry {
 public:
  struct Item {
    EntryPtr entry;
    SourcePosition position;  // of its spiffe_id's list item
  };

  // Keeps the order of `items`. `revision` names the text that they were read from.
  static std::shared_ptr<const Registry> Build(std::vector<Item> items, std::string revision = "");
  ~Registry();

  // `gaps` are prefixes of selectors that could not be found out: "unix" covers "unix:uid:1", "unix:sha256" covers
  // "unix:sha256:ab…".
  Verdicts Match(std::span<const Selector> selectors, std::span<const std::string_view> gaps) const;

  // The same for what attestation found: anything with `selectors` and with `gaps` that have a `prefix`.
  template <class Findings>
    requires requires(const Findings& findings) { findings.gaps.front().prefix; }
  Verdicts Match(const Findings& findings) const {
    std::vector<std::string_view> prefixes;
    prefixes.reserve(findings.gaps.size());
    for (const auto& gap : findings.gaps) prefixes.push_back(gap.prefix);
    return Match(findings.selectors, prefixes);
  }

  std::span<const Item> items() const { return items_; }
  size_t size() const { return items_.size(); }
  // SHA-256 over the files in force, in hex: which version of the registry decided. For records.
  const std::string& revision() const { return revision_; }
  // Of which kinds the selectors of its entries are; never null.
  const WantedKindsPtr& wanted() const { return wanted_; }
  // Where `entry` of this registry is written; a position without a file when it is not of this registry.
  SourcePosition PositionOf(const EntryPtr& entry) const;

 private:
  struct Index;  // in registry.cc
  Registry(std::vector<Item> items, std::string revision);

  std::vector<Item> items_;
  std::string revision_;
  WantedKindsPtr wanted_;
  std::unique_ptr<const Index> index_;
};

}  // namespace lanyard
