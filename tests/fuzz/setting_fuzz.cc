// Single values that people write: durations, addresses, selectors, signals and names of kinds. What is accepted is
// written back as something that reads the same, and keeps its limits; names are accepted exactly in the spelling that
// we write.
#include <arpa/inet.h>

#include "attestors/selector.h"
#include "node_agent/app/exec_child.h"
#include "node_agent/audit/sync_policy.h"
#include "node_agent/base/duration.h"
#include "node_agent/base/http_server.h"
#include "node_agent/base/log.h"
#include "node_agent/registry/entry.h"
#include "tests/fuzz/fuzzing.h"
#include "workload_api/client/endpoint.h"

namespace lanyard {
namespace {

void CheckDuration(std::string_view text) {
  const auto duration = ParseDuration(text);
  if (!duration.ok()) return RequireTold(duration.status(), StatusCode::kInvalidArgument);
  Require(duration->count() >= 0);
  const std::string written = FormatDuration(*duration);
  const auto again = ParseDuration(written);
  Require(again.ok() && *again == *duration && written.size() <= std::max<size_t>(text.size(), 2) + 24);
}

void CheckHttpAddress(std::string_view text) {
  const auto address = ParseHttpAddress(text);
  if (!address.ok()) return RequireTold(address.status(), StatusCode::kInvalidArgument);
  in6_addr bytes{};
  const bool v4 = inet_pton(AF_INET, address->ip.c_str(), &bytes) == 1;
  Require(v4 || inet_pton(AF_INET6, address->ip.c_str(), &bytes) == 1);
  const auto again = ParseHttpAddress(address->str());
  Require(again.ok() && *again == *address);
  if (v4) Require(address->IsLoopback() == (reinterpret_cast<const unsigned char*>(&bytes)[0] == 127));
}

void CheckSocketAddress(std::string_view text) {
  const auto path = ParseSocketAddress(text);
  if (!path.ok()) return RequireTold(path.status(), StatusCode::kInvalidArgument);
  Require(path->starts_with('/') && path->size() <= kMaxSocketPath && path->find('\0') == std::string::npos);
  Require(text.ends_with(*path) && *ParseSocketAddress(*path) == *path);
  // As an address it may not be writable: a query's sign is allowed in a path.
  if (path->find_first_of("?#") == std::string::npos) Require(*ParseSocketAddress("unix://" + *path) == *path);
}

// The same address, and those of TCP, as a client of any Workload API takes them.
void CheckEndpoint(std::string_view text) {
  const auto path = ParseSocketAddress(text);
  const auto target = ParseEndpoint(text);
  if (!target.ok()) {
    Require(!path.ok());
    return RequireTold(target.status(), StatusCode::kInvalidArgument);
  }
  if (path.ok()) return Require(*target == ChannelTarget(*path) && target->starts_with("unix:/"));
  Require(text.starts_with("tcp://") && (target->starts_with("ipv4:") || target->starts_with("ipv6:[")));
  for (const char c : *target) Require(c > ' ' && c <= '~');
}

void CheckSelectorText(std::string_view text) {
  const auto selector = Selector::Parse(text);
  if (!selector.ok()) return RequireTold(selector.status(), StatusCode::kInvalidArgument);
  Require(selector->str() == text && FitsInSelector(text) && text.size() <= 4096);
  Require(!selector->type.empty() && !selector->value.empty());
  Require(*Selector::Parse(selector->str()) == *selector);
  const auto strength = CheckSelector(*selector);
  const SelectorKind* row = FindSelectorKind(*selector);
  if (strength.ok()) {
    Require(row != nullptr && row->strength == *strength && row->type == selector->type);
    Require(selector->value.starts_with(std::string(row->kind) + ":"));
  } else {
    RequireTold(strength.status());
    Require(strength.status().code() != StatusCode::kNotFound || row == nullptr);
  }
  // Two spellings of one user would be two selectors.
  if (strength.ok() && selector->value.starts_with("uid:"))
    Require(std::to_string(std::stoul(selector->value.substr(4))) == selector->value.substr(4));
}

void CheckSignal(const std::string& text) {
  const auto signal = ParseSignal(text);
  if (!signal.ok()) return RequireTold(signal.status(), StatusCode::kInvalidArgument);
  Require(*signal > 0 && *signal <= SIGRTMAX && *ParseSignal(std::to_string(*signal)) == *signal);
}

}  // namespace
}  // namespace lanyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lanyard;
  const std::string_view text = AsText(data, size);
  CheckDuration(text);
  CheckHttpAddress(text);
  CheckSocketAddress(text);
  CheckEndpoint(text);
  CheckSelectorText(text);
  CheckSignal(std::string(text));
  if (const auto environment = ParseEnvironment(text); environment.ok()) {
    Require(EnvironmentName(*environment) == text);
  } else {
    RequireTold(environment.status(), StatusCode::kInvalidArgument);
  }
  if (const auto effect = ParseToolEffect(text); effect.ok()) {
    Require(ToolEffectName(*effect) == text);
  } else {
    RequireTold(effect.status(), StatusCode::kInvalidArgument);
  }
  if (const auto sync = ParseSyncPolicy(text); sync.ok()) {
    Require(SyncPolicyName(*sync) == text);
  } else {
    RequireTold(sync.status(), StatusCode::kInvalidArgument);
  }
  Require(!ParseLogLevel(text) || !ParseLogFormat(text));
  return 0;
}
