// What a YamlNode points to: shared by the parser that builds it and the accessors that read it. Nobody else includes
// this.
#pragma once

#include <string>
#include <vector>

#include "node_agent/base/yaml.h"

namespace lanyard {

struct YamlNode::Data {
  Kind kind = Kind::kNull;
  SourcePosition position;
  std::string text;
  bool plain = true;  // a scalar without quotes
  std::vector<YamlNode> list;
  std::vector<YamlMember> members;
};

// "a list", "a map", "a single value", "nothing"
std::string_view KindName(YamlNode::Kind kind);

// "file:line:column: text", on one line whatever is in the text.
Status FailAt(const SourcePosition& position, std::string_view text);

}  // namespace lanyard
