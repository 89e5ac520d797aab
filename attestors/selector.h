// One fact about a process, as text: "unix:uid:1000". Entries name the selectors that a caller must have.
//
// A selector is a type (the attestor that found it) and a value; the value's first word is its kind: "unix" and
// "uid:1000", kind "uid". SelectorKinds() lists what the built-in attestors give and how strong it is (who could forge
// it stands in docs/ATTESTORS.md); the registry checks entries against that table, so that a misspelt selector is
// refused when it is written and not found out by an identity that is never earned.
//
// Thread: any.
#pragma once

#include <compare>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "node_agent/base/status.h"

namespace lanyard {

struct Selector {
  std::string type;
  std::string value;

  // "type:value" with both parts non-empty, the type of [a-z0-9_-], UTF-8 without control bytes, at most 4,096 bytes.
  // Knows nothing of kinds: see CheckSelector. InvalidArgument otherwise.
  static Result<Selector> Parse(std::string_view text);

  std::string str() const { return type + ":" + value; }

  friend bool operator==(const Selector&, const Selector&) = default;
  friend std::strong_ordering operator<=>(const Selector&, const Selector&) = default;
};

enum class SelectorStrength {
  kIdentifies,   // held against the process by the kernel or the platform
  kNarrowsOnly,  // the process can set it itself: it may make an entry stricter, never carry one alone
};

struct SelectorKind {
  std::string_view type;  // "unix"
  std::string_view kind;  // "uid"
  std::string_view form;  // what follows the kind, for messages and docs: "<number>"
  SelectorStrength strength;
  Status (*check)(std::string_view rest);  // `rest` is what follows "<kind>:"
};

// Every kind that the built-in attestors know, grouped by type.
std::span<const SelectorKind> SelectorKinds();

// The selector as it may be recorded and shown: of an environment variable only the name, since values may be passwords
// ("docker:env:TOKEN=(not shown)"). What an entry asks for may be shown as it is.
std::string Shown(const Selector& selector);

// The table's row for `selector`, by type and kind; nullptr when there is none.
const SelectorKind* FindSelectorKind(const Selector& selector);

// How strong `selector` is. InvalidArgument when its type is built in but its kind is unknown (the message names the
// valid ones) or its value malformed; NotFound when no built-in attestor has this type.
Result<SelectorStrength> CheckSelector(const Selector& selector);

// True when `text` may stand in a selector: not empty, UTF-8 (names in file systems and cgroups may be any bytes), no
// control bytes (or a newline), not too long.
bool FitsInSelector(std::string_view text);

}  // namespace lanyard

template <>
struct std::hash<lanyard::Selector> {
  size_t operator()(const lanyard::Selector& selector) const noexcept {
    const std::hash<std::string_view> hash_text;
    return hash_text(selector.type) * 1099511628211ULL ^ hash_text(selector.value);
  }
};
