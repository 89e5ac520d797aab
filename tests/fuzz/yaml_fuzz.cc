// The YAML reader: every error names a position in the text; what is accepted has no key twice, is no deeper and no
// larger than what was written (so nothing multiplies itself), and a value asked for as a number, a duration or a mode
// is that exactly or an error.
#include <set>

#include "node_agent/base/duration.h"
#include "node_agent/base/yaml.h"
#include "tests/fuzz/fuzzing.h"

namespace lanyard {
namespace {

using Kind = YamlNode::Kind;

// Each line of an error is "f.yaml:<line>:<column>: text", without control bytes.
void CheckErrors(const Status& error) {
  RequireTold(error, StatusCode::kInvalidArgument);
  std::string_view rest = Message(error);
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    Require(line.starts_with("f.yaml:") && line.size() > 12);
    Require(std::none_of(line.begin(), line.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
  }
}

template <class T>
bool GoodOrTold(const Result<T>& result) {
  if (!result.ok()) CheckErrors(result.status());
  return result.ok();
}

class Walk {
 public:
  explicit Walk(std::string_view text)
      : bytes_(text.size()), lines_(1 + static_cast<int>(std::count(text.begin(), text.end(), '\n'))) {}

  void Visit(const YamlNode& node, int depth) {
    Require(depth <= kMaxYamlDepth + 1);
    Require(node.position().file == "f.yaml" && node.position().line >= 1 && node.position().column >= 1);
    Require(node.position().line <= lines_);
    Require(++nodes_ <= 2 * bytes_ + 2);
    CheckErrors(node.Fail("a text with\na newline"));
    CheckErrors(node.At(Error(StatusCode::kInvalidArgument, "a text with\na newline")));
    CheckValues(node);
    if (const auto list = node.AsList(); GoodOrTold(list)) {
      for (const YamlNode& item : *list) Visit(item, depth + 1);
    }
    const auto map = node.AsMap();
    if (!GoodOrTold(map)) return;
    std::set<std::string> keys;
    for (const YamlMember& member : *map) {
      Require(!member.key.empty() && keys.insert(member.key).second);
      Require(node.Find(member.key) == &member.value);
      Visit(member.value, depth + 1);
    }
    const Status known = node.RequireKnownKeys({"entries", "trust_domain"}, {"later"});
    Require(known.ok() == (keys.size() == keys.count("entries") + keys.count("trust_domain")));
    if (!known.ok()) CheckErrors(known);
  }

 private:
  void CheckValues(const YamlNode& node) {
    const auto text = node.AsString();
    Require(GoodOrTold(text) == (node.kind() == Kind::kScalar));
    if (text.ok()) Require((scalar_bytes_ += text->size()) <= 3 * bytes_);  // "\_" is two bytes of UTF-8
    if (const auto number = node.AsInt(-5, 1000); GoodOrTold(number))
      Require(*number >= -5 && *number <= 1000 && std::to_string(*number) == *text);
    if (const auto flag = node.AsBool(); GoodOrTold(flag)) Require(*text == (*flag ? "true" : "false"));
    if (const auto duration = node.AsDuration(); GoodOrTold(duration))
      Require(ParseDuration(*text).ok() && *ParseDuration(*text) == *duration);
    if (const auto mode = node.AsFileMode(); GoodOrTold(mode)) Require(fmt::format("{:04o}", *mode) == *text);
    if (const auto list = node.AsStringList(); GoodOrTold(list)) Require(list->size() == node.AsList()->size());
  }

  const size_t bytes_;
  const int lines_;
  size_t nodes_ = 0;
  size_t scalar_bytes_ = 0;
};

}  // namespace
}  // namespace lanyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lanyard;
  const std::string_view text = AsText(data, size);
  const auto documents = ParseYaml(text, "f.yaml");
  if (documents.ok()) {
    Walk walk(text);
    for (const YamlNode& document : *documents) walk.Visit(document, 1);
  } else {
    CheckErrors(documents.status());
  }
  // A variable changes values and never what there is: the same documents, or an error that names the scalar.
  const auto expanded = ParseYaml(text, "f.yaml", [](const std::string& name) {
    return name == "X" ? std::optional<std::string>("x: [y]\n- z") : std::nullopt;
  });
  if (expanded.ok()) {
    Require(documents.ok() && expanded->size() == documents->size());
    for (size_t i = 0; i < expanded->size(); ++i) Require((*expanded)[i].kind() == (*documents)[i].kind());
  } else {
    CheckErrors(expanded.status());
  }
  return 0;
}
