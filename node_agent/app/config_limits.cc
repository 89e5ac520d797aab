#include "node_agent/app/config_limits.h"

#include "node_agent/app/config_values.h"

namespace lanyard {
namespace {

using std::chrono::milliseconds;

// There is no "unlimited": a limit that nobody can reach is written as a large number.
void SetCount(const YamlNode& map, std::string_view key, unsigned& target, YamlErrors& errors) {
  SetValue(map, key, target, errors, ReadCount<1, 1'000'000>);
}

void ReadCaller(const YamlNode& node, CallerLimits& limits, YamlErrors& errors) {
  errors.Add(node.RequireKnownKeys(
      {"connections", "connections_per_second", "calls_per_second", "calls_in_flight", "streams"}));
  SetCount(node, "connections", limits.connections, errors);
  SetCount(node, "connections_per_second", limits.connections_per_second, errors);
  SetCount(node, "calls_per_second", limits.calls_per_second, errors);
  SetCount(node, "calls_in_flight", limits.calls_in_flight, errors);
  SetCount(node, "streams", limits.streams, errors);
}

void ReadIdentity(const YamlNode& node, IdentityLimitSettings& limits, YamlErrors& errors) {
  errors.Add(node.RequireKnownKeys({"calls_per_second", "streams"}));
  SetCount(node, "calls_per_second", limits.calls_per_second, errors);
  SetCount(node, "streams", limits.streams, errors);
}

}  // namespace

void ReadLimits(const YamlNode& node, LimitsConfig& limits, YamlErrors& errors) {
  errors.Add(node.RequireKnownKeys({"per_caller", "per_identity", "attestation_timeout", "reattestation_interval"},
                                   {"crl_push_interval"}));
  if (const YamlNode* caller = node.Find("per_caller")) ReadCaller(*caller, limits.per_caller, errors);
  if (const YamlNode* identity = node.Find("per_identity")) ReadIdentity(*identity, limits.per_identity, errors);
  SetValue(node, "attestation_timeout", limits.attestation_timeout, errors, [](const YamlNode& timeout) {
    return ReadDuration<milliseconds>(timeout, milliseconds(10), std::chrono::minutes(1));
  });
  SetValue(node, "reattestation_interval", limits.reattestation_interval, errors, [](const YamlNode& interval) {
    return ReadDuration<milliseconds>(interval, std::chrono::seconds(1), std::chrono::hours(24));
  });
}

}  // namespace lanyard
