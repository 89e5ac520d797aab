#include "node_agent/app/config_federation.h"

#include <algorithm>

#include "node_agent/app/config_checks.h"

namespace lanyard {
namespace {

Result<TrustDomain> ReadName(const YamlMember& member, const TrustDomain& own) {
  Result<TrustDomain> name = TrustDomain::Parse(member.key);
  if (!name.ok()) return member.value.At(name.status());
  if (member.key != name->name())
    return member.value.Fail("a trust domain is written by its name alone: {}", name->name());
  // Our own bundle comes from whoever signs. Another one beside it would let somebody else speak for us.
  if (*name == own) return member.value.Fail("{} is our own trust domain; federation is with others", own.name());
  return name;
}

Result<std::string> ReadPath(const YamlMember& member) {
  const YamlNode* path = member.value.Find("bundle_path");
  if (path == nullptr) {
    return member.value.Fail("bundle_path is missing: the file with the SPIFFE bundle document of {}", member.key);
  }
  return CheckAbsolutePath(*path);
}

}  // namespace

FederationConfig ReadFederation(const YamlNode& node, const TrustDomain& own, YamlErrors& errors) {
  FederationConfig federation;
  errors.Add(node.RequireKnownKeys({"trust_domains"}));
  const YamlNode* list = node.Find("trust_domains");
  const auto members = list == nullptr ? std::nullopt : errors.Take(list->AsMap());
  if (!members) return federation;
  for (const YamlMember& member : *members) {
    auto name = errors.Take(ReadName(member, own));
    if (!errors.Add(member.value.RequireKnownKeys({"bundle_path"}, {"url", "profile"})) &&
        member.value.kind() != YamlNode::Kind::kMap) {
      continue;
    }
    auto path = errors.Take(ReadPath(member));
    if (!name || !path) continue;
    // SPIFFE_Federation §4.2 and §7.3: what belongs to one trust domain is never taken for another's
    const auto same = [&](const ForeignBundleFile& other) { return other.path == *path; };
    const auto other = std::find_if(federation.trust_domains.begin(), federation.trust_domains.end(), same);
    if (other != federation.trust_domains.end()) {
      errors.Add(member.value.Find("bundle_path")
                     ->Fail("{} is the bundle of {} already; each trust domain has one of its own", *path,
                            other->trust_domain.name()));
      continue;
    }
    federation.trust_domains.push_back({*std::move(name), *std::move(path)});
  }
  std::sort(federation.trust_domains.begin(), federation.trust_domains.end(),
            [](const auto& a, const auto& b) { return a.trust_domain < b.trust_domain; });
  return federation;
}

}  // namespace lanyard
