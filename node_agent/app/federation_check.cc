#include "node_agent/app/federation_check.h"

#include <algorithm>

namespace lanyard {

std::vector<std::string> UnknownFederation(const Registry& registry, const std::vector<ForeignBundleFile>& files) {
  std::vector<std::string> lines;
  for (const Registry::Item& item : registry.items()) {
    std::vector<std::string> unknown;
    for (const TrustDomain& trust_domain : item.entry->federates_with) {
      const auto of = [&](const ForeignBundleFile& file) { return file.trust_domain == trust_domain; };
      if (std::none_of(files.begin(), files.end(), of)) unknown.push_back(trust_domain.name());
    }
    if (unknown.empty()) continue;
    lines.push_back(fmt::format(
        "{}: {} federates with {}, of which federation.trust_domains names no bundle: nothing of it will be believed",
        item.position.str(), item.entry->id.str(), fmt::join(unknown, ", ")));
  }
  return lines;
}

std::vector<std::string> UnusableBundles(const std::vector<ForeignBundleFile>& files) {
  std::vector<std::string> lines;
  for (const ForeignBundleFile& file : files) {
    const Status status = ReadForeignBundle(file).status();
    if (!status.ok()) {
      lines.push_back(
          fmt::format("{}: the agent would start, and believe nothing of this trust domain", Message(status)));
    }
  }
  return lines;
}

}  // namespace lanyard
