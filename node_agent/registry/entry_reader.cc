#include "node_agent/registry/entry_reader.h"

#include <algorithm>

#include "node_agent/base/duration.h"
#include "node_agent/base/yaml.h"
#include "node_agent/registry/governance_reader.h"
#include "pki/dns_name.h"

namespace lanyard {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

constexpr seconds kMaxX509Ttl = hours(24 * 30);
constexpr seconds kMaxJwtTtl = hours(24);
constexpr size_t kMaxHintBytes = 256;

Result<seconds> ReadTtl(const YamlNode& node, seconds most) {
  ASSIGN_OR_RETURN(const std::chrono::nanoseconds ttl, node.AsDuration());
  const auto whole = std::chrono::duration_cast<seconds>(ttl);
  if (whole != ttl) return node.Fail("{} is not a whole number of seconds", FormatDuration(ttl));
  if (whole < seconds(1) || whole > most) {
    return node.Fail("{} is out of range: 1s to {}", FormatDuration(ttl), FormatDuration(most));
  }
  return whole;
}

Result<KeyType> ReadKeyType(const YamlNode& node) {
  ASSIGN_OR_RETURN(const std::string name, node.AsString());
  Result<KeyType> type = ParseKeyType(name);
  if (!type.ok()) return node.At(type.status());
  return type;
}

Result<std::string> ReadHint(const YamlNode& node) {
  ASSIGN_OR_RETURN(std::string hint, node.AsString());
  if (hint == "task" || hint.starts_with("task:")) return node.Fail("hint '{}' is reserved for tasks", hint);
  if (hint.size() > kMaxHintBytes)
    return node.Fail("the hint has {} bytes, at most {} are allowed", hint.size(), kMaxHintBytes);
  const bool has_control =
      std::any_of(hint.begin(), hint.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
  if (has_control) return node.Fail("hint '{}' has control bytes", hint);
  return hint;
}

Result<std::string> ReadDnsName(const YamlNode& node) {
  ASSIGN_OR_RETURN(std::string name, node.AsString());
  RETURN_IF_ERROR(node.At(CheckDnsName(name)));
  return name;
}

Result<TrustDomain> ReadForeignTrustDomain(const YamlNode& node, const TrustDomain& own) {
  ASSIGN_OR_RETURN(const std::string text, node.AsString());
  Result<TrustDomain> foreign = TrustDomain::Parse(text);
  if (!foreign.ok()) return node.At(foreign.status());
  if (text != foreign->name() && text != foreign->id())
    return node.Fail("'{}' has a path: write {}", text, foreign->id());
  if (*foreign == own) return node.Fail("{} is our own trust domain, whose bundle everybody gets", foreign->id());
  return foreign;
}

// One list item under `entries`.
class EntryReader {
 public:
  EntryReader(const YamlNode& node, const TrustDomain& trust_domain, YamlErrors& errors,
              std::vector<std::string>& warnings)
      : node_(node), trust_domain_(trust_domain), errors_(errors), warnings_(warnings) {}

  // Null when there is no entry to speak of; then, and perhaps also otherwise, there are errors.
  EntryPtr Read() {
    const Status keys =
        node_.RequireKnownKeys({"spiffe_id", "selectors", "x509_ttl", "jwt_ttl", "key_type", "dns_names",
                                "federates_with", "hint", "environment", "tier", "owner", "tools", "may_begin"});
    if (!errors_.Add(keys) && node_.kind() != YamlNode::Kind::kMap) return nullptr;
    std::optional<SpiffeId> id;
    if (const YamlNode* spiffe_id = node_.Find("spiffe_id")) {
      id = errors_.Take(ReadAgentId(*spiffe_id, trust_domain_));
    } else {
      errors_.Add(node_.Fail("the entry has no spiffe_id"));
    }
    std::vector<Selector> selectors = ReadSelectors();
    // Without an ID the rest is still checked, under the ID of the trust domain, so that all errors are told at once.
    Entry entry{.id = id ? *id : *SpiffeId::FromTrustDomainAndPath(trust_domain_, ""),
                .selectors = std::move(selectors)};
    ReadTerms(entry);
    ReadGovernance(node_, trust_domain_, entry, errors_);
    return std::make_shared<const Entry>(std::move(entry));
  }

 private:
  void Warn(const YamlNode& at, std::string_view text) {
    warnings_.push_back(std::string(Message(at.Fail("{}", text))));
  }

  std::vector<Selector> ReadSelectors() {
    std::vector<Selector> selectors;
    const YamlNode* list = node_.Find("selectors");
    if (list == nullptr) {
      errors_.Add(node_.Fail("the entry has no selectors: without any it would be everybody's"));
      return selectors;
    }
    const auto items = errors_.Take(list->AsList());
    if (!items) return selectors;
    if (items->empty()) errors_.Add(list->Fail("the list of selectors is empty: such an entry would be everybody's"));
    bool all_narrow = !items->empty();
    for (const YamlNode& item : *items) {
      const auto text = errors_.Take(item.AsString());
      auto selector = text ? Parse(item, *text) : std::nullopt;
      if (!selector) {
        all_narrow = false;
        continue;
      }
      const std::optional<SelectorStrength> strength = Check(item, *selector);  // of every one, for its errors
      all_narrow = all_narrow && strength == SelectorStrength::kNarrowsOnly;
      if (std::find(selectors.begin(), selectors.end(), *selector) != selectors.end()) {
        Warn(item, fmt::format("selector '{}' is in this entry twice", *text));
      } else {
        selectors.push_back(*std::move(selector));
      }
    }
    if (all_narrow) {
      errors_.Add(list->Fail(
          "a process can set each of these selectors itself, so anybody could earn the entry: add one that identifies, "
          "for example unix:uid:<number>"));
    }
    std::sort(selectors.begin(), selectors.end());
    return selectors;
  }

  std::optional<Selector> Parse(const YamlNode& item, const std::string& text) {
    Result<Selector> selector = Selector::Parse(text);
    if (!errors_.Add(item.At(selector.status()))) return std::nullopt;
    return *std::move(selector);
  }

  std::optional<SelectorStrength> Check(const YamlNode& item, const Selector& selector) {
    const Result<SelectorStrength> strength = CheckSelector(selector);
    if (strength.ok()) return *strength;
    if (strength.status().code() == StatusCode::kNotFound) {
      Warn(item, fmt::format("no attestor of type '{}' is built in; this entry cannot be earned", selector.type));
    } else {
      errors_.Add(item.At(strength.status()));
    }
    return std::nullopt;
  }

  void ReadTerms(Entry& entry) {
    if (const YamlNode* ttl = node_.Find("x509_ttl")) entry.x509_ttl = errors_.Take(ReadTtl(*ttl, kMaxX509Ttl));
    if (const YamlNode* ttl = node_.Find("jwt_ttl")) entry.jwt_ttl = errors_.Take(ReadTtl(*ttl, kMaxJwtTtl));
    if (const YamlNode* type = node_.Find("key_type")) entry.key_type = errors_.Take(ReadKeyType(*type));
    if (const YamlNode* hint = node_.Find("hint")) entry.hint = errors_.Take(ReadHint(*hint)).value_or("");
    if (const YamlNode* names = node_.Find("dns_names")) {
      ReadUnique(*names, entry.dns_names, ReadDnsName);
    }
    if (const YamlNode* foreign = node_.Find("federates_with")) {
      ReadUnique(*foreign, entry.federates_with,
                 [this](const YamlNode& item) { return ReadForeignTrustDomain(item, trust_domain_); });
      std::sort(entry.federates_with.begin(), entry.federates_with.end());
    }
  }

  template <class T, class Read>
  void ReadUnique(const YamlNode& list, std::vector<T>& values, Read read) {
    const auto items = errors_.Take(list.AsList());
    if (!items) return;
    for (const YamlNode& item : *items) {
      auto value = errors_.Take(read(item));
      if (!value) continue;
      if (std::find(values.begin(), values.end(), *value) != values.end()) {
        errors_.Add(item.Fail("'{}' is in this list twice", *item.AsString()));
      } else {
        values.push_back(*std::move(value));
      }
    }
  }

  const YamlNode& node_;
  const TrustDomain& trust_domain_;
  YamlErrors& errors_;
  std::vector<std::string>& warnings_;
};

}  // namespace

Result<FileContent> ReadEntries(std::string_view text, std::string_view file_name, const TrustDomain& trust_domain) {
  // Most likely a file that is just being written: to take it for "no entries" would end every identity in it.
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    return Error(StatusCode::kInvalidArgument, "{}:1:1: the file is empty: write 'entries: []' for no entries",
                 file_name);
  }
  ASSIGN_OR_RETURN(const std::vector<YamlNode> documents, ParseYaml(text, file_name));
  FileContent content;
  YamlErrors errors;
  for (const YamlNode& document : documents) {
    if (document.IsNull()) continue;  // "---" with nothing after it
    if (!errors.Add(document.RequireKnownKeys({"entries"})) && document.kind() != YamlNode::Kind::kMap) continue;
    const YamlNode* entries = document.Find("entries");
    if (entries == nullptr) {
      errors.Add(document.Fail("the document has no entries: write 'entries: []' for none"));
      continue;
    }
    const auto items = errors.Take(entries->AsList());
    if (!items) continue;
    for (const YamlNode& item : *items) {
      if (EntryPtr entry = EntryReader(item, trust_domain, errors, content.warnings).Read()) {
        content.items.push_back({std::move(entry), item.position()});
      }
    }
  }
  RETURN_IF_ERROR(errors.status());
  return content;
}

}  // namespace lanyard
