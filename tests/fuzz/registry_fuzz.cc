// A registry file: every entry that is accepted is for an agent of our trust domain, can be earned only by what
// identifies, and keeps the limits of its terms; a broken file has no entries, and its errors name their place.
#include "node_agent/registry/entry_reader.h"
#include "pki/dns_name.h"
#include "tests/fuzz/fuzzing.h"

namespace lanyard {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

void CheckLine(std::string_view line) {
  Require(line.starts_with("f.yaml:"));
  Require(std::none_of(line.begin(), line.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }));
}

void CheckSelectors(const std::vector<Selector>& selectors) {
  Require(!selectors.empty());
  Require(std::adjacent_find(selectors.begin(), selectors.end(), std::greater_equal<>()) == selectors.end());
  bool identifies = false;
  for (const Selector& selector : selectors) {
    const auto again = Selector::Parse(selector.str());
    Require(again.ok() && *again == selector);
    const auto strength = CheckSelector(selector);
    // One that no attestor of ours gives can be written, and is never earned.
    Require(strength.ok() || strength.status().code() == StatusCode::kNotFound);
    identifies = identifies || !strength.ok() || *strength == SelectorStrength::kIdentifies;
  }
  Require(identifies);
}

void CheckAgentId(const SpiffeId& id, const TrustDomain& domain) {
  Require(id.MemberOf(domain) && !id.path().empty() && id.str().size() < SpiffeId::kMaxBytes);
  Require((std::string(id.path()) + "/").find("/task/") == std::string::npos);
}

void CheckEntry(const Entry& entry, const TrustDomain& domain) {
  CheckAgentId(entry.id, domain);
  CheckSelectors(entry.selectors);
  Require(!entry.x509_ttl || (*entry.x509_ttl >= seconds(1) && *entry.x509_ttl <= hours(720)));
  Require(!entry.jwt_ttl || (*entry.jwt_ttl >= seconds(1) && *entry.jwt_ttl <= hours(24)));
  for (const std::string& name : entry.dns_names) Require(CheckDnsName(name).ok());
  for (const TrustDomain& foreign : entry.federates_with) Require(foreign != domain);
  Require(entry.hint.size() <= 256 && entry.hint != "task" && !entry.hint.starts_with("task:"));
  if (entry.environment) Require(*ParseEnvironment(EnvironmentName(*entry.environment)) == *entry.environment);
  for (const auto& [name, grant] : entry.tools) {
    Require(!name.empty() && *ParseToolEffect(ToolEffectName(grant.effect)) == grant.effect);
    Require(!grant.max_calls_per_task || *grant.max_calls_per_task >= 0);
  }
  for (const SpiffeId& id : entry.may_begin) CheckAgentId(id, domain);
  if (entry.owner && entry.owner->review_by) Require(entry.owner->review_by->ok());
}

}  // namespace
}  // namespace lanyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lanyard;
  static const TrustDomain domain = TrustDomain::Parse("example.org").value();
  const auto content = ReadEntries(AsText(data, size), "f.yaml", domain);
  const auto again = ReadEntries(AsText(data, size), "f.yaml", domain);
  Require(content.status() == again.status());
  if (!content.ok()) {
    RequireTold(content.status(), StatusCode::kInvalidArgument);
    std::string_view rest = Message(content.status());
    while (!rest.empty()) {
      const std::string_view line = rest.substr(0, rest.find('\n'));
      CheckLine(line);
      rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    }
    return 0;
  }
  Require(content->items.size() == again->items.size() && content->warnings == again->warnings);
  for (const std::string& warning : content->warnings) CheckLine(warning);
  for (size_t i = 0; i < content->items.size(); ++i) {
    CheckEntry(*content->items[i].entry, domain);
    Require(*content->items[i].entry == *again->items[i].entry);
    Require(content->items[i].position.line >= 1 && content->items[i].position == again->items[i].position);
  }
  return 0;
}
