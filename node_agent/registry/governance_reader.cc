#include "node_agent/registry/governance_reader.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "node_agent/registry/reserved_ids.h"

namespace lanyard {
namespace {

constexpr size_t kMaxLabelBytes = 256;
constexpr std::string_view kTaskSuffix = "/task/00000000-0000-0000-0000-000000000000";  // what a task appends: an UUID

// The name of a team, a data class, a tool or an action: something to see and to compare, so not empty and without
// surprises.
Result<std::string> ReadLabel(const YamlNode& node) {
  ASSIGN_OR_RETURN(std::string label, node.AsString());
  if (label.empty() || label.size() > kMaxLabelBytes)
    return node.Fail("a name of 1 to {} bytes is needed here", kMaxLabelBytes);
  const bool has_control =
      std::any_of(label.begin(), label.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
  if (has_control || label.front() == ' ' || label.back() == ' ') {
    return node.Fail("name '{}' has control bytes, or spaces at an end", label);
  }
  return label;
}

std::vector<std::string> ReadLabels(const YamlNode& node, YamlErrors& errors) {
  std::vector<std::string> labels;
  const auto items = errors.Take(node.AsList());
  if (!items) return labels;
  std::set<std::string> seen;
  for (const YamlNode& item : *items) {
    auto label = errors.Take(ReadLabel(item));
    if (!label) continue;
    if (!seen.insert(*label).second) errors.Add(item.Fail("'{}' is in this list twice", *label));
    labels.push_back(*std::move(label));
  }
  return labels;
}

Result<std::string> ReadTier(const YamlNode& node) {
  ASSIGN_OR_RETURN(std::string tier, node.AsString());
  const auto allowed = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'; };
  if (tier.empty() || tier.size() > 63 || !std::all_of(tier.begin(), tier.end(), allowed)) {
    return node.Fail("'{}' is not the name of a tier: use 1 to 63 of a-z, 0-9, '-' and '_'", tier);
  }
  return tier;
}

// RFC 3339 §5.6 full-date.
Result<std::chrono::year_month_day> ReadDate(const YamlNode& node) {
  ASSIGN_OR_RETURN(const std::string text, node.AsString());
  const auto number = [&](size_t at, size_t length) {
    int value = -1;
    const char* const end = text.data() + at + length;
    const auto parsed = std::from_chars(text.data() + at, end, value);
    return parsed.ptr == end ? value : -1;
  };
  if (text.size() == 10 && text[4] == '-' && text[7] == '-') {
    const int year = number(0, 4);
    const int month = number(5, 2);
    const int day = number(8, 2);
    const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                           std::chrono::day(static_cast<unsigned>(day))};
    if (year >= 0 && month >= 0 && day >= 0 && date.ok()) return date;
  }
  return node.Fail("'{}' is not a date: write for example 2027-03-31", text);
}

Owner ReadOwner(const YamlNode& node, YamlErrors& errors) {
  Owner owner;
  if (!errors.Add(node.RequireKnownKeys({"business", "data", "approved_by", "review_by"})) &&
      node.kind() != YamlNode::Kind::kMap)
    return owner;
  if (const YamlNode* business = node.Find("business")) owner.business = errors.Take(ReadLabel(*business)).value_or("");
  if (const YamlNode* approved_by = node.Find("approved_by"))
    owner.approved_by = errors.Take(ReadLabel(*approved_by)).value_or("");
  if (const YamlNode* review_by = node.Find("review_by")) owner.review_by = errors.Take(ReadDate(*review_by));
  if (const YamlNode* data = node.Find("data")) {
    if (const auto classes = errors.Take(data->AsMap())) {
      for (const YamlMember& member : *classes) {
        if (auto name = errors.Take(ReadLabel(member.value))) owner.data.emplace(member.key, *std::move(name));
      }
    }
  }
  return owner;
}

ToolGrant ReadTool(const YamlNode& node, YamlErrors& errors) {
  ToolGrant grant;
  if (!errors.Add(node.RequireKnownKeys({"effect", "actions", "data_classes", "max_calls_per_task"})) &&
      node.kind() != YamlNode::Kind::kMap) {
    return grant;
  }
  if (const YamlNode* effect = node.Find("effect")) {
    if (const auto name = errors.Take(effect->AsString())) {
      const Result<ToolEffect> parsed = ParseToolEffect(*name);
      if (errors.Add(effect->At(parsed.status()))) grant.effect = *parsed;
    }
  } else {
    errors.Add(node.Fail("the tool has no effect: write effect: read, write, external or privileged"));
  }
  if (const YamlNode* actions = node.Find("actions")) grant.actions = ReadLabels(*actions, errors);
  if (const YamlNode* classes = node.Find("data_classes")) grant.data_classes = ReadLabels(*classes, errors);
  if (const YamlNode* most = node.Find("max_calls_per_task"))
    grant.max_calls_per_task = errors.Take(most->AsInt(1, 1'000'000'000));
  return grant;
}

}  // namespace

Result<SpiffeId> ReadAgentId(const YamlNode& node, const TrustDomain& trust_domain) {
  ASSIGN_OR_RETURN(const std::string text, node.AsString());
  Result<SpiffeId> id = SpiffeId::Parse(text);
  if (!id.ok()) return node.At(id.status());
  if (!id->MemberOf(trust_domain)) return node.Fail("{} is not in the trust domain {}", id->str(), trust_domain.name());
  if (id->path().empty()) return node.Fail("{} has no path: it names the trust domain, not a workload", id->str());
  if (id->path() == kBundleEndpointPath) return node.Fail("{} is the agent's own, for its bundle endpoint", id->str());
  if (fmt::format("{}/", id->path()).find("/task/") != std::string::npos) {
    return node.Fail("{} has a path segment 'task', which is reserved for tasks", id->str());
  }
  if (id->str().size() + kTaskSuffix.size() > SpiffeId::kMaxBytes) {
    return node.Fail("the id has {} bytes; at most {} are allowed, so that the id of a task fits below it",
                     id->str().size(), SpiffeId::kMaxBytes - kTaskSuffix.size());
  }
  return id;
}

void ReadGovernance(const YamlNode& node, const TrustDomain& trust_domain, Entry& entry, YamlErrors& errors) {
  if (const YamlNode* environment = node.Find("environment")) {
    if (const auto name = errors.Take(environment->AsString())) {
      const Result<Environment> parsed = ParseEnvironment(*name);
      if (errors.Add(environment->At(parsed.status()))) entry.environment = *parsed;
    }
  }
  if (const YamlNode* tier = node.Find("tier")) entry.tier = errors.Take(ReadTier(*tier)).value_or("");
  if (const YamlNode* owner = node.Find("owner")) entry.owner = ReadOwner(*owner, errors);
  if (const YamlNode* tools = node.Find("tools")) {
    if (const auto members = errors.Take(tools->AsMap())) {
      for (const YamlMember& member : *members) entry.tools.emplace(member.key, ReadTool(member.value, errors));
    }
  }
  if (const YamlNode* may_begin = node.Find("may_begin")) {
    if (const auto items = errors.Take(may_begin->AsList())) {
      for (const YamlNode& item : *items) {
        auto id = errors.Take(ReadAgentId(item, trust_domain));
        if (!id) continue;
        if (std::find(entry.may_begin.begin(), entry.may_begin.end(), *id) != entry.may_begin.end()) {
          errors.Add(item.Fail("{} is in this list twice", id->str()));
        }
        entry.may_begin.push_back(*std::move(id));
      }
    }
  }
}

}  // namespace lanyard
