#include "tests/bench/message_fields.h"

namespace lanyard::bench {
namespace {

constexpr uint64_t kLengthDelimited = 2;

std::optional<uint64_t> TakeVarint(std::string_view& bytes) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

}  // namespace

std::optional<Field> TakeField(std::string_view& message) {
  const auto key = TakeVarint(message);
  if (!key || (*key & 7) != kLengthDelimited) return std::nullopt;
  const auto length = TakeVarint(message);
  if (!length || *length > message.size()) return std::nullopt;
  const Field field{*key >> 3, message.substr(0, *length)};
  message.remove_prefix(*length);
  return field;
}

std::string FieldBytes(unsigned number, std::string_view content) {
  std::string bytes(1, static_cast<char>(number << 3 | kLengthDelimited));
  size_t length = content.size();
  for (; length >= 0x80; length >>= 7) bytes += static_cast<char>((length & 0x7f) | 0x80);
  bytes += static_cast<char>(length);
  return bytes += content;
}

}  // namespace lanyard::bench
