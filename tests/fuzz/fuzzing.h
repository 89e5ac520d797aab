// What the fuzz targets share: how a promise is checked, and how a target's bytes are taken apart into values.
//
// A target is one file with LLVMFuzzerTestOneInput. With clang it is linked with libFuzzer, which looks for inputs that
// break a promise; with any compiler it is linked with replay.cc, which runs the corpus through it as an ordinary test.
// So nothing here or in a target may come from a compiler's own library.
//
// Thread: any.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <utility>

#include "node_agent/base/status.h"

namespace lanyard {

// Ends the process when a promise is broken: that is what a finding looks like to libFuzzer.
inline void Require(bool holds, std::source_location where = std::source_location::current()) {
  if (holds) return;
  std::fprintf(stderr, "%s:%u: a promise is broken\n", where.file_name(), static_cast<unsigned>(where.line()));
  std::abort();
}

// The value that has to be there.
template <class T>
const T& Present(const std::optional<T>& value, std::source_location where = std::source_location::current()) {
  Require(value.has_value(), where);
  return *value;  // NOLINT(bugprone-unchecked-optional-access): the line above
}

// An error says something. The same goes for InvalidArgument alone with `code`.
inline void RequireTold(const Status& error, std::source_location where = std::source_location::current()) {
  Require(!error.ok() && !Message(error).empty(), where);
}
inline void RequireTold(const Status& error, StatusCode code,
                        std::source_location where = std::source_location::current()) {
  RequireTold(error, where);
  Require(error.code() == code, where);
}

inline std::string_view AsText(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// Takes values off the front of a target's bytes; zeros and empty texts when they are used up.
class FuzzInput {
 public:
  FuzzInput(const uint8_t* data, size_t size) : rest_(AsText(data, size)) {}

  bool empty() const { return rest_.empty(); }

  uint64_t Bits() {
    uint64_t bits = 0;
    for (int i = 0; i < 8; ++i) bits = bits << 8 | Byte();
    return bits;
  }
  // From `least` to `most`.
  int64_t Number(int64_t least, int64_t most) {
    const auto range = static_cast<uint64_t>(most) - static_cast<uint64_t>(least) + 1;  // 0: all there are
    const uint64_t bits = range != 0 && range <= 256 ? Byte() : Bits();
    return static_cast<int64_t>(static_cast<uint64_t>(least) + (range == 0 ? bits : bits % range));
  }
  bool Flag() { return (Byte() & 1) != 0; }
  // What comes before the next zero byte, which is taken, too; at most `most` bytes.
  std::string Text(size_t most) {
    const size_t end = std::min({rest_.find('\0'), most, rest_.size()});
    std::string text(rest_.substr(0, end));
    rest_.remove_prefix(end < rest_.size() && rest_[end] == '\0' ? end + 1 : end);
    return text;
  }
  std::string_view Rest() { return std::exchange(rest_, {}); }

 private:
  uint8_t Byte() {
    if (rest_.empty()) return 0;
    const auto byte = static_cast<uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return byte;
  }

  std::string_view rest_;
};

}  // namespace lanyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
