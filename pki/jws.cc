#include "pki/jws.h"

#include <nlohmann/json.hpp>

#include "pki/base64.h"
#include "pki/strict_json.h"
#include "pki/wrong.h"

namespace lanyard {
namespace {

// RFC 7515 §4.1.2, §4.1.3, §4.1.5, §4.1.6
constexpr const char* kEmbeddedKeys[] = {"jku", "jwk", "x5u", "x5c"};

Result<std::string> Decode(std::string_view part, std::string_view what) {
  auto bytes = Base64UrlDecode(part);
  if (!bytes.ok()) return Annotate(bytes.status(), "its {}", what);
  return bytes;
}

Result<std::optional<std::string>> OptionalText(const nlohmann::json& header, const char* name) {
  const auto found = header.find(name);
  if (found == header.end()) return std::optional<std::string>();
  if (!found->is_string()) return Wrong("\"{}\" is not a string", name);
  return std::optional<std::string>(found->get<std::string>());
}

}  // namespace

Result<Jws> Jws::Parse(std::string_view token) {
  if (token.size() > kMaxTokenBytes)
    return Wrong("a token of {} bytes, at most {} are read", token.size(), kMaxTokenBytes);
  const std::size_t first = token.find('.');
  const std::size_t second = first == std::string_view::npos ? first : token.find('.', first + 1);
  if (second == std::string_view::npos || token.find('.', second + 1) != std::string_view::npos) {
    return Wrong("a token has three parts with dots between them");  // RFC 7515 §7.1
  }
  Jws jws;
  ASSIGN_OR_RETURN(const std::string header, Decode(token.substr(0, first), "header"));
  RETURN_IF_ERROR(Annotate(jws.ReadHeader(header), "its header"));
  ASSIGN_OR_RETURN(jws.payload_, Decode(token.substr(first + 1, second - first - 1), "payload"));
  ASSIGN_OR_RETURN(jws.signature_, Decode(token.substr(second + 1), "signature"));
  if (jws.signature_.empty()) return Wrong("it is not signed");
  jws.input_ = std::string(token.substr(0, second));
  return jws;
}

Status Jws::ReadHeader(std::string_view json) {
  ASSIGN_OR_RETURN(const nlohmann::json header, ParseJsonObject(json, {.bytes = kMaxTokenBytes}));
  const std::string* alg = StringMember(header, "alg");
  if (alg == nullptr) return Wrong("\"alg\" is missing or not a string");
  ASSIGN_OR_RETURN(algorithm_, ParseJwsAlgorithm(*alg));
  if (header.contains("crit")) return Wrong("\"crit\" names extensions, and none is understood");
  for (const char* name : kEmbeddedKeys) {
    if (header.contains(name)) return Wrong("\"{}\" brings a key, and keys come from bundles only", name);
  }
  ASSIGN_OR_RETURN(key_id_, OptionalText(header, "kid"));
  ASSIGN_OR_RETURN(type_, OptionalText(header, "typ"));
  return OkStatus();
}

Status Jws::CheckSignature(const PublicKey& key) const {
  return VerifyJws(algorithm_, key, input_, signature_);
}

Result<std::string> MakeJws(const JwsHeader& header, std::string_view payload, const JwsSigner& signer) {
  nlohmann::ordered_json members;
  members["alg"] = JwsAlgorithmName(signer.algorithm());
  members["kid"] = header.key_id;
  members["typ"] = header.type;
  const std::string json = members.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  std::string token = Base64UrlEncode(json) + '.' + Base64UrlEncode(payload);
  ASSIGN_OR_RETURN(const std::string signature, signer.Sign(token));
  token += '.' + Base64UrlEncode(signature);
  if (token.size() > kMaxTokenBytes) {
    return Wrong("the token would have {} bytes, at most {} are made", token.size(), kMaxTokenBytes);
  }
  return token;
}

}  // namespace lanyard
