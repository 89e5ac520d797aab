// Protocol Buffers messages read and written by hand, for a load generator. Those of the Workload API have
// length-delimited fields only.
//
// Thread: any.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lanyard::bench {

struct Field {
  uint64_t number;
  std::string_view content;
};

// Takes the first field off `message`; nullopt when it is no such field.
std::optional<Field> TakeField(std::string_view& message);

// One field; its number is at most 15.
std::string FieldBytes(unsigned number, std::string_view content);

}  // namespace lanyard::bench
