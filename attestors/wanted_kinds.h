// Which kinds of selectors anybody asks about: what no entry of the registry names is not worth looking up.
//
// Looking a process up costs several times as much as everything else that is done for a call, most of it for facts
// (namespaces, ancestors, the terminal) that few registries ever name. Attestors are told what is wanted and leave out
// the rest; an attestor of which nothing is wanted is not asked at all, so that a slow one never delays callers whose
// entries cannot need it.
//
// Lifetime: immutable, shared. Thread: any.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "attestors/selector.h"

namespace lanyard {

class WantedKinds {
 public:
  // Nothing so far.
  WantedKinds() = default;
  // Every kind of every type.
  static std::shared_ptr<const WantedKinds> All() {
    static const std::shared_ptr<const WantedKinds> all = [] {
      auto kinds = std::make_shared<WantedKinds>();
      kinds->all_ = true;
      return kinds;
    }();
    return all;
  }

  void Add(const Selector& selector) {
    const std::string_view kind = std::string_view(selector.value).substr(0, selector.value.find(':'));
    if (!Has(selector.type, kind)) kinds_.emplace_back(selector.type, kind);
  }

  bool Has(std::string_view type, std::string_view kind) const {
    return all_ || std::any_of(kinds_.begin(), kinds_.end(),
                               [&](const auto& one) { return one.second == kind && one.first == type; });
  }
  // Any kind of it.
  bool HasType(std::string_view type) const {
    return all_ || std::any_of(kinds_.begin(), kinds_.end(), [&](const auto& one) { return one.first == type; });
  }
  // Everything that is wanted in `other` is wanted here.
  bool Covers(const WantedKinds& other) const {
    if (all_ || other.all_) return all_;
    return std::all_of(other.kinds_.begin(), other.kinds_.end(),
                       [this](const auto& one) { return Has(one.first, one.second); });
  }

 private:
  bool all_ = false;
  std::vector<std::pair<std::string, std::string>> kinds_;  // {type, kind}; a dozen at most: no set is faster
};

using WantedKindsPtr = std::shared_ptr<const WantedKinds>;

}  // namespace lanyard
