// A JSON object that is accepted is the one that the library's own parser reads, survives being written and read again,
// and is refused with a limit below what it needs.
#include "pki/strict_json.h"

#include <nlohmann/json.hpp>

#include "tests/fuzz/fuzzing.h"

namespace lanyard {
namespace {

size_t DepthOf(const nlohmann::json& value) {
  if (!value.is_structured()) return 0;
  size_t deepest = 0;
  for (const auto& member : value) deepest = std::max(deepest, DepthOf(member));
  return deepest + 1;
}

void CheckObject(std::string_view text) {
  constexpr JsonLimits kLimits{.bytes = 4096, .depth = 6};
  const auto object = ParseJsonObject(text, kLimits);
  if (!object.ok()) return RequireTold(object.status(), StatusCode::kInvalidArgument);
  Require(object->is_object() && text.size() <= kLimits.bytes);
  Require(*object == nlohmann::json::parse(text, nullptr, false));
  const auto again = ParseJsonObject(object->dump(), {.bytes = 65536, .depth = kLimits.depth});
  Require(again.ok() && *again == *object);

  const size_t depth = DepthOf(*object);
  Require(depth <= kLimits.depth);
  Require(ParseJsonObject(text, {.bytes = text.size(), .depth = depth}).ok());
  Require(!ParseJsonObject(text, {.bytes = text.size(), .depth = depth - 1}).ok());
  Require(!ParseJsonObject(text, {.bytes = text.size() - 1, .depth = depth}).ok());
  for (const auto& [name, value] : object->items()) {
    const std::string* member = StringMember(*object, name.c_str());
    if (name.find('\0') == std::string::npos) Require((member != nullptr) == value.is_string());
  }
}

}  // namespace
}  // namespace lanyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lanyard::CheckObject(lanyard::AsText(data, size));
  return 0;
}
