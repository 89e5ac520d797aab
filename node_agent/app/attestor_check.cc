#include "node_agent/app/attestor_check.h"

#include <optional>

namespace lanyard {
namespace {

// What would have to be in the configuration; no value when the attestor answers for `selector`, or is not ours.
std::optional<std::string_view> MissingSetting(const Selector& selector, const AttestorsConfig& attestors) {
  if (selector.type == "systemd" && !attestors.systemd) return "systemd: {}";
  if (selector.type == "docker" && !attestors.docker) return "docker: {}";
  if (selector.type == "containerd" && !attestors.containerd) return "containerd: {}";
  if (selector.type == "k8s") {
    if (!attestors.kubernetes) return "kubernetes: {}";
    if (selector.value.starts_with("ns-label:") && attestors.kubernetes->api_address.empty())
      return "kubernetes: {api_server: {address: …}}";
  }
  const bool of_executable = selector.value.starts_with("path:") || selector.value.starts_with("sha256:");
  if (selector.type == "unix" && of_executable && !attestors.unix_executable) return "unix: {executable: true}";
  return std::nullopt;
}

}  // namespace

std::vector<std::string> UnattestedEntries(const Registry& registry, const AttestorsConfig& attestors) {
  std::vector<std::string> lines;
  for (const Registry::Item& item : registry.items()) {
    for (const Selector& selector : item.entry->selectors) {
      const auto missing = MissingSetting(selector, attestors);
      if (!missing) continue;
      lines.push_back(fmt::format(
          "{}: {} needs {}, which no attestor that is on gives: nobody earns it; configure attestors: {{{}}}",
          item.position.str(), item.entry->id.str(), selector.str(), *missing));
      break;
    }
  }
  return lines;
}

}  // namespace lanyard
