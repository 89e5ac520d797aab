// What container runtimes say of a container, as selectors: one rule for all of them.
//
// Thread: any.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "attestors/attestor.h"
#include "pki/secret_bytes.h"

namespace lanyard {

class ContainerSelectors {
 public:
  // `type` outlives it.
  ContainerSelectors(std::string_view type, Findings& into) : type_(type), findings_(into) {}

  // "kind:value". A value that does not fit in a selector gives none.
  void Add(std::string_view kind, std::string_view value) {
    if (value.empty() || !FitsInSelector(value)) return;
    findings_.selectors.push_back({std::string(type_), fmt::format("{}:{}", kind, value)});
  }

  // With a colon in its name "a:b" = "c" could not be told from "a" = "b:c", and whoever makes an image may add such a
  // label: it gives none.
  void AddLabels(std::string_view kind, std::span<const std::pair<std::string, std::string>> labels) {
    for (const auto& [name, value] : labels) {
      if (!name.empty() && name.find(':') == std::string::npos) Add(kind, fmt::format("{}:{}", name, value));
    }
  }

  // "NAME=value" each; what has no name or no value gives none.
  void AddVariables(std::span<const SecretBytes> variables) {
    for (const SecretBytes& variable : variables) {
      const size_t equals = variable.expose().find('=');
      if (equals != 0 && equals != std::string_view::npos) Add("env", variable.expose());
    }
  }

  // What could not be found out of `kind`.
  void AddGap(std::string_view kind, const Status& why) {
    findings_.gaps.push_back({fmt::format("{}:{}", type_, kind), why});
  }

 private:
  const std::string_view type_;
  Findings& findings_;
};

}  // namespace lanyard
