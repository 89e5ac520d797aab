#include "node_agent/app/config_size.h"

#include <charconv>
#include <string>
#include <string_view>

namespace lanyard {
namespace {

constexpr uint64_t kSmallestFile = uint64_t{64} << 10;

}  // namespace

Result<uint64_t> ReadSize(const YamlNode& node) {
  ASSIGN_OR_RETURN(const std::string text, node.AsString());
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  const unsigned shift = unit == "KiB" ? 10 : unit == "MiB" ? 20 : unit == "GiB" ? 30 : 0;
  if (error != std::errc() || shift == 0 || number > 1024 * 1024) {
    return node.Fail("\"{}\" is not a size; write a whole number of KiB, MiB or GiB, e.g. 64MiB", text);
  }
  const uint64_t bytes = number << shift;
  if (bytes < kSmallestFile) return node.Fail("{} is too small, the least is 64KiB", text);
  return bytes;
}

}  // namespace lanyard
