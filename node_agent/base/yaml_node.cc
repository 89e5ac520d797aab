#include <algorithm>
#include <charconv>
#include <set>
#include <tuple>

#include "node_agent/base/duration.h"
#include "node_agent/base/printable.h"
#include "node_agent/base/yaml.h"
#include "node_agent/base/yaml_data.h"

namespace lanyard {
namespace {

// Damerau-Levenshtein distance, restricted to neighbours.
size_t Distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> cost(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) cost[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) cost[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      cost[i][j] =
          std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1, cost[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
    }
  }
  return cost[a.size()][b.size()];
}

// Where an error line says it is; without a position it sorts before those with one.
SourcePosition PositionOfLine(std::string_view line) {
  for (size_t colon = line.find(':'); colon != std::string_view::npos; colon = line.find(':', colon + 1)) {
    SourcePosition found{std::string(line.substr(0, colon)), 0, 0};
    const char* const end = line.data() + line.size();
    const auto first = std::from_chars(line.data() + colon + 1, end, found.line);
    if (first.ec != std::errc() || first.ptr == end || *first.ptr != ':') continue;
    const auto second = std::from_chars(first.ptr + 1, end, found.column);
    if (second.ec == std::errc() && second.ptr != end && *second.ptr == ':') return found;
  }
  return {};
}

}  // namespace

std::string_view KindName(YamlNode::Kind kind) {
  switch (kind) {
    case YamlNode::Kind::kNull:
      return "nothing";
    case YamlNode::Kind::kScalar:
      return "a single value";
    case YamlNode::Kind::kList:
      return "a list";
    case YamlNode::Kind::kMap:
      break;
  }
  return "a map";
}

Status FailAt(const SourcePosition& position, std::string_view text) {
  return Error(StatusCode::kInvalidArgument, "{}: {}", position.str(), Printable(text));
}

std::optional<std::string_view> ClosestName(std::string_view written, std::span<const std::string_view> candidates) {
  if (written.size() > 64) return std::nullopt;
  std::optional<std::string_view> best;
  size_t best_distance = std::max<size_t>(1, written.size() / 3) + 1;
  for (const std::string_view candidate : candidates) {
    if (const size_t distance = Distance(written, candidate); distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

YamlNode::Kind YamlNode::kind() const {
  return data_->kind;
}
const SourcePosition& YamlNode::position() const {
  return data_->position;
}

Status YamlNode::FailWith(const std::string& text) const {
  return FailAt(position(), text);
}

Status YamlNode::At(const Status& status) const {
  if (status.ok()) return status;
  return Error(status.code(), "{}", Message(FailAt(position(), Message(status))));
}

Result<std::string> YamlNode::AsString() const {
  if (kind() != Kind::kScalar) return Fail("a text is needed here, not {}", KindName(kind()));
  return data_->text;
}

Result<int64_t> YamlNode::AsInt(int64_t least, int64_t most) const {
  ASSIGN_OR_RETURN(const std::string text, AsString());
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool leading_zero = (text.size() > 1 && text[0] == '0') || text.starts_with("-0");  // octal to some readers
  if (!data_->plain || leading_zero || error == std::errc::invalid_argument || end != text.data() + text.size()) {
    return Fail("a whole decimal number is needed here, without quotes, not '{}'", text);
  }
  if (error != std::errc() || value < least || value > most)
    return Fail("{} is out of range: {} to {}", text, least, most);
  return value;
}

Result<bool> YamlNode::AsBool() const {
  ASSIGN_OR_RETURN(const std::string text, AsString());
  if (data_->plain && text == "true") return true;
  if (data_->plain && text == "false") return false;
  return Fail("true or false is needed here, without quotes, not '{}'", text);
}

Result<std::chrono::nanoseconds> YamlNode::AsDuration() const {
  ASSIGN_OR_RETURN(const std::string text, AsString());
  Result<std::chrono::nanoseconds> duration = ParseDuration(text);
  if (!duration.ok()) return At(duration.status());
  return duration;
}

Result<mode_t> YamlNode::AsFileMode() const {
  ASSIGN_OR_RETURN(const std::string text, AsString());
  if (data_->plain) return Fail("a file mode must be in quotes: \"0600\", not {} (which is a number)", text);
  if (text.size() != 4 || text.find_first_not_of("01234567") != std::string::npos) {
    return Fail("a file mode is four octal digits, for example \"0600\", not '{}'", text);
  }
  return static_cast<mode_t>(std::stoul(text, nullptr, 8));
}

Result<std::vector<std::string>> YamlNode::AsStringList() const {
  ASSIGN_OR_RETURN(const auto items, AsList());
  std::vector<std::string> texts;
  YamlErrors errors;
  for (const YamlNode& item : items) {
    if (auto text = errors.Take(item.AsString())) texts.push_back(*std::move(text));
  }
  RETURN_IF_ERROR(errors.status());
  return texts;
}

Result<std::span<const YamlNode>> YamlNode::AsList() const {
  if (kind() != Kind::kList) return Fail("a list is needed here, not {}", KindName(kind()));
  return std::span<const YamlNode>(data_->list);
}

Result<std::span<const YamlMember>> YamlNode::AsMap() const {
  if (kind() != Kind::kMap) return Fail("a map is needed here, not {}", KindName(kind()));
  return std::span<const YamlMember>(data_->members);
}

const YamlNode* YamlNode::Find(std::string_view key) const {
  for (const YamlMember& member : data_->members) {
    if (member.key == key) return &member.value;
  }
  return nullptr;
}

Status YamlNode::RequireKnownKeys(std::initializer_list<std::string_view> known,
                                  std::initializer_list<std::string_view> later) const {
  ASSIGN_OR_RETURN(const auto members, AsMap());
  YamlErrors errors;
  for (const YamlMember& member : members) {
    if (std::find(known.begin(), known.end(), member.key) != known.end()) continue;
    if (std::find(later.begin(), later.end(), member.key) != later.end()) {
      errors.Add(member.value.Fail("'{}' is not supported yet", member.key));
    } else if (const auto close = ClosestName(member.key, std::span(known.begin(), known.size()))) {
      errors.Add(member.value.Fail("unknown key '{}' (did you mean '{}'?)", member.key, *close));
    } else {
      errors.Add(member.value.Fail("unknown key '{}'", member.key));
    }
  }
  return errors.status();
}

bool YamlErrors::Add(const Status& status) {
  if (status.ok()) return true;
  std::string_view text = Message(status);
  while (true) {
    const size_t end = text.find('\n');
    lines_.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return false;
    text.remove_prefix(end + 1);
  }
}

std::vector<std::string> YamlErrors::Sorted() const {
  std::vector<std::pair<SourcePosition, std::string>> placed;
  for (const std::string& line : lines_) placed.emplace_back(PositionOfLine(line), line);
  std::stable_sort(placed.begin(), placed.end(), [](const auto& a, const auto& b) {
    return std::tie(a.first.file, a.first.line, a.first.column) < std::tie(b.first.file, b.first.line, b.first.column);
  });
  std::vector<std::string> sorted;
  std::set<std::string_view> seen;
  for (const auto& [position, line] : placed) {
    if (seen.insert(line).second) sorted.push_back(line);
  }
  return sorted;
}

Status YamlErrors::status() const {
  if (lines_.empty()) return OkStatus();
  return Error(StatusCode::kInvalidArgument, "{}", fmt::join(Sorted(), "\n"));
}

}  // namespace lanyard
