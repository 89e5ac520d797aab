// JSON objects from outside, read in the only way in which they can be read.
//
// A name that stands twice in one object is refused, at every depth: parsers differ in which of the two they believe
// (RFC 8259 §4), and what one program has checked, the next one would not see. For JOSE headers, claims and JWKs the
// standards allow this (RFC 7515 §4, RFC 7519 §4, RFC 7517 §4). Nothing may stand around the object but white space,
// not even a byte order mark, and nowhere a zero byte. Texts that are long or deep are refused before they cost
// anything.
//
// Thread: any. An error never quotes the text: it may be part of a credential.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "node_agent/base/status.h"

namespace lanyard {

struct JsonLimits {
  std::size_t bytes = 0;
  std::size_t depth = 8;  // of objects and arrays in each other; the outermost is the first
};

// InvalidArgument when it is not one object, or beyond the limits.
Result<nlohmann::json> ParseJsonObject(std::string_view text, JsonLimits limits);

// The member if it is there and a string, else null.
const std::string* StringMember(const nlohmann::json& object, const char* name);

// Whether the text can stand in JSON.
bool IsUtf8(std::string_view text);

}  // namespace lanyard
