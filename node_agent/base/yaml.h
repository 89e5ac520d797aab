// The one reader of YAML: a small, strict part of the language, with the position of everything.
//
// YAML surprises its readers: a second key of the same name is dropped in silence, 0777 is a number (511, or 777), `no`
// is false, an alias shows text from elsewhere. Here duplicate keys, aliases, anchors, tags, merge keys and stray
// control bytes are errors, no value has a type until somebody asks for one, and every error reads "file:line:column:
// text". A value in a map has the position of its key, because that is what people search for. Several errors in one
// Status are lines of its message; YamlErrors collects, splits and sorts them.
//
// Lifetime: a YamlNode is a cheap handle on an immutable tree; spans and pointers obtained from it live as long as it
// does. Thread: any. Errors: InvalidArgument, unless said otherwise.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "node_agent/base/status.h"

namespace lanyard {

struct SourcePosition {
  std::string file;
  int line = 0;    // from 1; 0 when unknown
  int column = 0;  // from 1, in bytes

  std::string str() const { return fmt::format("{}:{}:{}", file, line, column); }
  friend bool operator==(const SourcePosition&, const SourcePosition&) = default;
};

struct YamlMember;

class YamlNode {
 public:
  enum class Kind { kNull, kScalar, kList, kMap };
  struct Data;  // in yaml.cc
  explicit YamlNode(std::shared_ptr<const Data> data) : data_(std::move(data)) {}

  Kind kind() const;
  bool IsNull() const { return kind() == Kind::kNull; }
  const SourcePosition& position() const;

  // An InvalidArgument at this node: "file:line:column: <text>", control bytes in the text escaped, so that it is one
  // line.
  template <class... Args>
  Status Fail(fmt::format_string<Args...> format, Args&&... args) const {
    return FailWith(fmt::format(format, std::forward<Args>(args)...));
  }
  // `status` with this node's position before its message, as one line like Fail's. OK stays OK.
  Status At(const Status& status) const;

  // The scalar, quoted or not. An empty text is returned as such when it was quoted; no value at all is an error.
  Result<std::string> AsString() const;
  // A decimal number, unquoted, from `least` to `most`.
  Result<int64_t> AsInt(int64_t least, int64_t most) const;
  // Unquoted true or false. yes, no, on and off are errors.
  Result<bool> AsBool() const;
  Result<std::chrono::nanoseconds> AsDuration() const;  // duration.h
  // Quoted, four octal digits: "0600". Unquoted it would be a decimal number to other readers.
  Result<mode_t> AsFileMode() const;
  Result<std::vector<std::string>> AsStringList() const;

  Result<std::span<const YamlNode>> AsList() const;
  // In the order of the text.
  Result<std::span<const YamlMember>> AsMap() const;
  // The value of `key`; null when there is none or this is not a map.
  const YamlNode* Find(std::string_view key) const;

  // An error for each key of this map that is neither in `known` nor in `later`: "unknown key 'x' (did you mean 'y'?)",
  // and for each that is in `later`: "'x' is not supported yet". Also an error when this is not a map.
  Status RequireKnownKeys(std::initializer_list<std::string_view> known,
                          std::initializer_list<std::string_view> later = {}) const;

 private:
  Status FailWith(const std::string& text) const;
  std::shared_ptr<const Data> data_;
};

struct YamlMember {
  std::string key;
  YamlNode value;  // has the key's position
};

// What ${NAME} stands for in a scalar; nullopt is an error at that scalar. An empty function: `$` means nothing
// special.
using YamlVariables = std::function<std::optional<std::string>(const std::string& name)>;

// getenv(3). The environment must not change meanwhile.
YamlVariables EnvironmentVariables();

inline constexpr size_t kMaxYamlBytes = 16 << 20;
inline constexpr int kMaxYamlDepth = 32;

// All documents of `text`; an empty text has none. Values are expanded after parsing, so that a variable can never add
// keys or lists; keys are not expanded; "$${" stands for "${". ResourceExhausted above kMaxYamlBytes.
Result<std::vector<YamlNode>> ParseYaml(std::string_view text, std::string_view file_name,
                                        const YamlVariables& variables = nullptr);

// The closest of `candidates` to what was written, when it is close enough to be a slip.
std::optional<std::string_view> ClosestName(std::string_view written, std::span<const std::string_view> candidates);

// Errors of one or more files, gathered so that people see all of them at once.
class YamlErrors {
 public:
  // OK adds nothing; a message of several lines adds each line. Returns status.ok().
  bool Add(const Status& status);
  // The value, or nullopt and the error is added.
  template <class T>
  std::optional<T> Take(Result<T> result) {
    if (Add(result.status())) return std::move(result).value();
    return std::nullopt;
  }

  bool empty() const { return lines_.empty(); }
  // Sorted by file, line and column, each once.
  std::vector<std::string> Sorted() const;
  // OK when empty; otherwise InvalidArgument with one error a line, sorted.
  Status status() const;

 private:
  std::vector<std::string> lines_;
};

}  // namespace lanyard
