#include "attestors/namespace_answer.h"

#include <nlohmann/json.hpp>

#include "pki/strict_json.h"

namespace lanyard {
namespace {

constexpr size_t kMaxDepth = 32;

Status Malformed(std::string_view what) {
  return Error(StatusCode::kInvalidArgument, "the API server's answer has no {} of the kind that is expected", what);
}

}  // namespace

Result<NamespaceLabels> ReadNamespaceAnswer(std::string_view answer, std::string_view name) {
  const auto parsed = ParseJsonObject(answer, {.bytes = kMaxNamespaceAnswer, .depth = kMaxDepth});
  if (!parsed.ok()) return Annotate(parsed.status(), "read the API server's answer");
  const std::string* kind = StringMember(*parsed, "kind");
  if (kind == nullptr || *kind != "Namespace") return Malformed("kind");
  const auto metadata = parsed->find("metadata");
  if (metadata == parsed->end() || !metadata->is_object()) return Malformed("metadata");
  const std::string* answered = StringMember(*metadata, "name");
  if (answered == nullptr) return Malformed("metadata.name");
  if (*answered != name)
    return Error(StatusCode::kFailedPrecondition, "the API server's answer is about another namespace");

  NamespaceLabels labels;
  const auto found = metadata->find("labels");
  if (found == metadata->end() || found->is_null()) return labels;
  if (!found->is_object()) return Malformed("metadata.labels");
  for (const auto& [label, value] : found->items()) {
    if (!value.is_string()) return Malformed("metadata.labels");
    labels.emplace_back(label, value.get_ref<const std::string&>());
  }
  return labels;
}

}  // namespace lanyard
