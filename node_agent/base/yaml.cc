#include "node_agent/base/yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <unordered_map>

#include "node_agent/base/utf8.h"
#include "node_agent/base/yaml_data.h"

namespace lanyard {

namespace {

SourcePosition PositionIn(std::string_view file, const YAML::Mark& mark) {
  return {std::string(file), mark.line + 1, mark.column + 1};
}

// YAML 1.2 §5.1 and §5.2. The scanner would end the text in silence at a byte 4, and guess UTF-16 from zero bytes.
Status CheckCharacters(std::string_view text, std::string_view file) {
  SourcePosition at{std::string(file), 1, 1};
  while (!text.empty()) {
    uint32_t character = 0;
    const size_t length = ReadUtf8(text, character);
    if (length == 0) return FailAt(at, "not UTF-8 text");
    const auto byte = static_cast<unsigned char>(text[0]);
    if ((byte < 0x20 && byte != '\t' && byte != '\n' && byte != '\r') || byte == 0x7f) {
      return FailAt(at, fmt::format("control byte 0x{:02x} is not allowed", byte));
    }
    at.column += static_cast<int>(length);
    if (byte == '\n') at = {at.file, at.line + 1, 1};
    text.remove_prefix(length);
  }
  return OkStatus();
}

bool IsVariableName(std::string_view name) {
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  return !name.empty() && is_letter(name[0]) &&
         std::all_of(name.begin(), name.end(), [&](char c) { return is_letter(c) || (c >= '0' && c <= '9'); });
}

Result<std::string> Expand(std::string_view text, const YamlVariables& variables) {
  std::string expanded;
  while (true) {
    const size_t dollar = text.find("${");
    expanded += text.substr(0, dollar);
    if (dollar == std::string_view::npos) return expanded;
    text.remove_prefix(dollar + 2);
    if (!expanded.empty() && expanded.back() == '$' && dollar > 0) {  // "$${"
      expanded += '{';
      continue;
    }
    const size_t end = text.find('}');
    const std::string name(text.substr(0, end));
    if (end == std::string_view::npos)
      return Error(StatusCode::kInvalidArgument, "'${{' without '}}': write $${{ for a literal ${{");
    if (!IsVariableName(name))
      return Error(StatusCode::kInvalidArgument, "'${{{}}}' is not the name of a variable", name);
    const std::optional<std::string> value = variables(name);
    if (!value) return Error(StatusCode::kInvalidArgument, "environment variable '{}' is not defined", name);
    expanded += *value;
    text.remove_prefix(end + 1);
  }
}

// A text with its lines, to look up what a mark points to.
class Lines {
 public:
  explicit Lines(std::string_view text) : text_(text) {
    for (size_t end = text.find('\n'); end != std::string_view::npos; end = text.find('\n', end + 1))
      starts_.push_back(end + 1);
  }

  // The text from there to the end.
  std::string_view From(int line, int column) const {
    if (line < 0 || static_cast<size_t>(line) >= starts_.size()) return "";
    return text_.substr(std::min(text_.size(), starts_[static_cast<size_t>(line)] + static_cast<size_t>(column)));
  }

 private:
  std::string_view text_;
  std::vector<size_t> starts_ = {0};
};

// Whether the quotes that open at the front of `text` close: at the end of the text yaml-cpp closes them itself.
bool QuotesClose(std::string_view text) {
  const char quote = text[0];
  for (size_t i = 1; i < text.size(); ++i) {
    if (quote == '"' && text[i] == '\\') {
      ++i;
    } else if (text[i] == quote) {
      if (quote == '"' || i + 1 == text.size() || text[i + 1] != quote) return true;
      ++i;  // '' stands for '
    }
  }
  return false;
}

// Thrown through yaml-cpp and caught in ParseYaml: there is no other way to stop its parser.
struct TooDeep {
  Status why;
};

// Builds the tree from yaml-cpp's events, which, unlike its nodes, still show duplicate keys, aliases and quotes.
class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(std::string_view file, const Lines& lines, const YamlVariables& variables, YamlErrors& errors)
      : file_(file), lines_(lines), variables_(variables), errors_(errors) {}

  std::shared_ptr<const YamlNode::Data> TakeRoot() { return std::move(root_); }
  const std::optional<SourcePosition>& start() const { return start_; }

  void OnDocumentStart(const YAML::Mark& mark) override { start_ = PositionIn(file_, mark); }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    RefuseAnchor(mark, anchor);
    if (AtKey()) return TakeKey(mark, "", YamlNode::Kind::kNull);
    Place(NewNode(YamlNode::Kind::kNull, mark));
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    Fail(mark, "aliases (*name) are not allowed: write the value out");
    if (AtKey()) return TakeKey(mark, "", YamlNode::Kind::kNull, Report::kNot);
    Place(NewNode(YamlNode::Kind::kNull, mark));
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    RefuseAnchor(mark, anchor);
    if (tag != "?" && tag != "!") RefuseTag(mark, tag);  // "?" is a plain scalar, "!" a quoted one
    const bool plain = tag == "?";
    const std::string_view source = lines_.From(mark.line, mark.column);
    if ((source.starts_with('"') || source.starts_with('\'')) && !QuotesClose(source))
      Fail(mark, "the quotes are never closed");
    if (AtKey()) {
      if (plain && value == "<<") Fail(mark, "merge keys (<<) are not allowed: write the keys out");
      return TakeKey(mark, value, YamlNode::Kind::kScalar);
    }
    auto node = NewNode(YamlNode::Kind::kScalar, mark);
    node->plain = plain;
    node->text = value;
    if (variables_) {
      Result<std::string> expanded = Expand(value, variables_);
      if (expanded.ok()) {
        node->text = *std::move(expanded);
      } else {
        errors_.Add(FailAt(node->position, Message(expanded.status())));
      }
    }
    Place(std::move(node));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(YamlNode::Kind::kList, mark, tag, anchor);
  }
  void OnSequenceEnd() override { CloseOne(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(YamlNode::Kind::kMap, mark, tag, anchor);
  }
  void OnMapEnd() override { CloseOne(); }

 private:
  enum class Report { kNot, kYes };
  struct Frame {
    std::shared_ptr<YamlNode::Data> node;
    std::optional<std::pair<std::string, SourcePosition>> key;  // of a map: read, its value awaited
    std::unordered_map<std::string, int> lines;                 // of a map: where each key is
    bool is_key = false;                                        // a list or map in a key's place: an error already
  };

  void Fail(const YAML::Mark& mark, std::string_view text) { errors_.Add(FailAt(PositionIn(file_, mark), text)); }
  void RefuseAnchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != 0) Fail(mark, "anchors (&name) are not allowed: write the value out where it is needed");
  }
  void RefuseTag(const YAML::Mark& mark, const std::string& tag) {
    Fail(mark, fmt::format("tags (here '{}') are not allowed", tag));
  }

  bool AtKey() const {
    return !stack_.empty() && stack_.back().node->kind == YamlNode::Kind::kMap && !stack_.back().key;
  }

  std::shared_ptr<YamlNode::Data> NewNode(YamlNode::Kind kind, const YAML::Mark& mark) {
    auto node = std::make_shared<YamlNode::Data>();
    node->kind = kind;
    const bool is_value = !stack_.empty() && stack_.back().key;
    node->position = is_value ? stack_.back().key->second : PositionIn(file_, mark);
    return node;
  }

  void TakeKey(const YAML::Mark& mark, const std::string& key, YamlNode::Kind kind, Report report = Report::kYes) {
    Frame& frame = stack_.back();
    const SourcePosition position = PositionIn(file_, mark);
    frame.key.emplace(key, position);
    if (report == Report::kNot) return;
    if (kind != YamlNode::Kind::kScalar || key.empty())
      return Fail(mark, fmt::format("a key must be a name, not {}", KindName(kind)));
    const auto [first, fresh] = frame.lines.emplace(key, position.line);
    if (!fresh) Fail(mark, fmt::format("duplicate key '{}' (first on line {})", key, first->second));
  }

  void Open(YamlNode::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    RefuseAnchor(mark, anchor);
    if (tag != "?") RefuseTag(mark, tag);
    if (stack_.size() >= kMaxYamlDepth) {
      throw TooDeep{FailAt(PositionIn(file_, mark), fmt::format("nested more than {} levels deep", kMaxYamlDepth))};
    }
    const bool is_key = AtKey();
    if (is_key) Fail(mark, fmt::format("a key must be a name, not {}", KindName(kind)));
    Frame frame;
    frame.node = NewNode(kind, mark);
    frame.is_key = is_key;
    stack_.push_back(std::move(frame));
  }

  void CloseOne() {
    Frame frame = std::move(stack_.back());
    stack_.pop_back();
    if (frame.is_key) {
      stack_.back().key.emplace("", frame.node->position);
    } else {
      Place(std::move(frame.node));
    }
  }

  // Puts a complete node where it belongs.
  void Place(std::shared_ptr<const YamlNode::Data> node) {
    if (stack_.empty()) {
      root_ = std::move(node);
    } else if (Frame& frame = stack_.back(); frame.node->kind == YamlNode::Kind::kList) {
      frame.node->list.emplace_back(std::move(node));
    } else {
      frame.node->members.push_back({std::move(frame.key->first), YamlNode(std::move(node))});
      frame.key.reset();
    }
  }

  std::string_view file_;
  const Lines& lines_;
  const YamlVariables& variables_;
  YamlErrors& errors_;
  std::vector<Frame> stack_;
  std::shared_ptr<const YamlNode::Data> root_;
  std::optional<SourcePosition> start_;
};

void ParseDocuments(const std::string& text, std::string_view file, const YamlVariables& variables, YamlErrors& errors,
                    std::vector<YamlNode>& documents) {
  const Lines lines(text);
  std::istringstream in(text);
  try {
    YAML::Parser parser(in);
    while (true) {
      TreeBuilder builder(file, lines, variables, errors);
      if (!parser.HandleNextDocument(builder)) return;
      // Without its marker a further document is the rest of a text that went wrong, and the parser may stand still at
      // it.
      const SourcePosition& start = *builder.start();
      if (!documents.empty() && !lines.From(start.line - 1, 0).starts_with("---")) {
        errors.Add(FailAt(
            start, "text after the end of the document: check the indentation, or begin a further document with ---"));
        return;
      }
      documents.emplace_back(builder.TakeRoot());
    }
  } catch (const YAML::Exception& error) {
    errors.Add(FailAt(error.mark.is_null() ? SourcePosition{std::string(file), 1, 1} : PositionIn(file, error.mark),
                      error.msg));
  } catch (const TooDeep& error) {
    errors.Add(error.why);
  }
}

}  // namespace

Result<std::vector<YamlNode>> ParseYaml(std::string_view text, std::string_view file_name,
                                        const YamlVariables& variables) {
  if (text.size() > kMaxYamlBytes) {
    return Error(StatusCode::kResourceExhausted, "{}:1:1: {} bytes of YAML, at most {} are allowed", file_name,
                 text.size(), kMaxYamlBytes);
  }
  RETURN_IF_ERROR(CheckCharacters(text, file_name));
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);  // byte order mark
  YamlErrors errors;
  std::vector<YamlNode> documents;
  ParseDocuments(std::string(text), file_name, variables, errors, documents);
  RETURN_IF_ERROR(errors.status());
  return documents;
}

YamlVariables EnvironmentVariables() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());  // NOLINT(concurrency-mt-unsafe): the environment stays as it was
    if (value == nullptr) return std::nullopt;
    return value;
  };
}

}  // namespace lanyard
