// A registration entry: who may have which SPIFFE ID, on what terms, and who answers for it.
//
// Entries are immutable and shared. One whose content is the same after a reload keeps its pointer, so that what hangs
// on it (SVIDs, streams) stays; where an entry was written is no part of its content, the Registry knows that. The
// governance part is parsed and checked from the beginning and enforced with tasks, owners and tiers.
//
// Thread: any.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "attestors/selector.h"
#include "pki/key.h"
#include "pki/spiffe_id.h"

namespace lanyard {

enum class Environment { kDevelopment, kStaging, kProduction };
// InvalidArgument for anything but "development", "staging" and "production".
Result<Environment> ParseEnvironment(std::string_view name);
std::string_view EnvironmentName(Environment environment);

enum class ToolEffect { kRead, kWrite, kExternal, kPrivileged };
// InvalidArgument for anything but "read", "write", "external" and "privileged".
Result<ToolEffect> ParseToolEffect(std::string_view name);
std::string_view ToolEffectName(ToolEffect effect);

struct ToolGrant {
  ToolEffect effect = ToolEffect::kRead;
  std::vector<std::string> actions;
  std::vector<std::string> data_classes;
  std::optional<int64_t> max_calls_per_task;

  friend bool operator==(const ToolGrant&, const ToolGrant&) = default;
};

struct Owner {
  std::string business;                     // empty: not named
  std::map<std::string, std::string> data;  // data class → its owner
  std::string approved_by;
  std::optional<std::chrono::year_month_day> review_by;  // UTC, that day included

  friend bool operator==(const Owner&, const Owner&) = default;
};

struct Entry {  // the braces: so that it can be written with only some members named
  SpiffeId id;
  std::vector<Selector> selectors{};  // sorted, each once, never empty
  std::optional<std::chrono::seconds> x509_ttl{};
  std::optional<std::chrono::seconds> jwt_ttl{};
  std::optional<KeyType> key_type{};
  std::vector<std::string> dns_names{};
  std::vector<TrustDomain> federates_with{};  // sorted, each once, never our own
  std::string hint{};

  std::optional<Environment> environment{};
  std::string tier{};
  std::optional<Owner> owner{};
  std::map<std::string, ToolGrant> tools{};
  std::vector<SpiffeId> may_begin{};

  friend bool operator==(const Entry&, const Entry&) = default;
};

using EntryPtr = std::shared_ptr<const Entry>;

}  // namespace lanyard
