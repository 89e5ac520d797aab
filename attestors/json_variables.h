// Environment variables in what a container runtime says: taken out, and overwritten where they stood.
//
// Thread: any. Never puts a variable into an error.
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "node_agent/base/status.h"
#include "pki/secret_bytes.h"

namespace lanyard {

// All texts of `list`, which is null where there are none. InvalidArgument, without any of them, when it is no list of
// texts; what is one is overwritten all the same.
inline Result<std::vector<SecretBytes>> TakeVariables(nlohmann::json& list) {
  std::vector<SecretBytes> variables;
  if (list.is_null()) return variables;
  if (!list.is_array()) return Error(StatusCode::kInvalidArgument, "the environment is no list");
  bool all_texts = true;
  for (nlohmann::json& variable : list) {
    auto* text = variable.get_ptr<std::string*>();
    all_texts = all_texts && text != nullptr;
    if (text == nullptr) continue;
    if (all_texts) variables.push_back(SecretBytes::CopyOf(*text));
    WipeMemory(text->data(), text->size());
  }
  if (!all_texts) return Error(StatusCode::kInvalidArgument, "not all variables of the environment are texts");
  return variables;
}

}  // namespace lanyard
