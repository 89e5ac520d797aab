#include "attestors/attestor.h"

namespace lanyard {

bool Covers(const Gap& gap, const Selector& selector) {
  const std::string text = selector.str();
  if (gap.prefix.empty() || !text.starts_with(gap.prefix)) return false;
  return text.size() == gap.prefix.size() || text[gap.prefix.size()] == ':';
}

}  // namespace lanyard
