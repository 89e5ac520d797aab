#include "workload_api/claims.h"

#include <nlohmann/json.hpp>
#include <string>

#include "pki/strict_json.h"

namespace lanyard {
namespace {

using google::protobuf::Value;

// Claims are at most as deep as a token's reader has let pass.
void Put(const nlohmann::json& json, Value& value) {
  switch (json.type()) {
    case nlohmann::json::value_t::boolean:
      return value.set_bool_value(json.get<bool>());
    case nlohmann::json::value_t::number_integer:
    case nlohmann::json::value_t::number_unsigned:
    case nlohmann::json::value_t::number_float:
      return value.set_number_value(json.get<double>());
    case nlohmann::json::value_t::string:
      return value.set_string_value(json.get_ref<const std::string&>());
    case nlohmann::json::value_t::array: {
      auto& list = *value.mutable_list_value();
      for (const nlohmann::json& one : json) Put(one, *list.add_values());
      return;
    }
    case nlohmann::json::value_t::object: {
      auto& fields = *value.mutable_struct_value()->mutable_fields();
      for (const auto& [name, member] : json.items()) Put(member, fields[name]);
      return;
    }
    default:
      return value.set_null_value(google::protobuf::NULL_VALUE);
  }
}

bool IsOfStandard(const std::string& name) {
  return name == "sub" || name == "aud" || name == "exp";
}

}  // namespace

Result<google::protobuf::Struct> ClaimsOf(const JwtSvid& svid, Told told) {
  ASSIGN_OR_RETURN(const nlohmann::json claims, ParseJsonObject(svid.claims(), {.bytes = svid.claims().size()}));
  google::protobuf::Struct all;
  for (const auto& [name, claim] : claims.items()) {
    if (told == Told::kOfStandard && !IsOfStandard(name)) continue;
    Put(claim, (*all.mutable_fields())[name]);
  }
  auto& audiences = *(*all.mutable_fields())["aud"].mutable_list_value();
  audiences.clear_values();
  for (const std::string& audience : svid.audiences()) audiences.add_values()->set_string_value(audience);
  return all;
}

}  // namespace lanyard
