// A token that is accepted is three parts that are written in one way only, has an algorithm with a name, and is not
// believed to be signed by the key of RFC 7515's example unless its signed part is the example's.
#include "pki/jws.h"

#include <nlohmann/json.hpp>

#include <algorithm>

#include "pki/base64.h"
#include "pki/jwk.h"
#include "tests/fuzz/fuzzing.h"

namespace lanyard {
namespace {

// Appendix A.3.1.
constexpr std::string_view kKey =
    R"({"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"})";
constexpr std::string_view kSigned =
    "eyJhbGciOiJFUzI1NiJ9."
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

void CheckToken(std::string_view text) {
  static const PublicKey key = PublicKeyFromJwk(nlohmann::json::parse(kKey)).value();
  const auto jws = Jws::Parse(text);
  if (!jws.ok()) return RequireTold(jws.status(), StatusCode::kInvalidArgument);
  Require(text.size() <= kMaxTokenBytes && std::count(text.begin(), text.end(), '.') == 2);
  const std::string_view input = text.substr(0, text.rfind('.'));
  Require(Base64UrlEncode(jws->payload()) == input.substr(input.find('.') + 1));
  const auto header = Base64UrlDecode(input.substr(0, input.find('.')));
  Require(header.ok());
  const auto members = nlohmann::json::parse(*header, nullptr, false);
  Require(members.is_object() && members.at("alg") == std::string(JwsAlgorithmName(jws->algorithm())));
  for (const char* name : {"crit", "jwk", "jku", "x5c", "x5u"}) Require(!members.contains(name));
  Require(members.contains("kid") == jws->key_id().has_value() && members.contains("typ") == jws->type().has_value());

  const Status signed_by_key = jws->CheckSignature(key);
  if (signed_by_key.ok()) return Require(input == kSigned && jws->algorithm() == JwsAlgorithm::kEs256);
  RequireTold(signed_by_key,
              jws->algorithm() == JwsAlgorithm::kEs256 ? StatusCode::kUnauthenticated : StatusCode::kInvalidArgument);
}

void CheckName(std::string_view name) {
  if (const auto algorithm = ParseJwsAlgorithm(name); algorithm.ok()) {
    Require(JwsAlgorithmName(*algorithm) == name);
  } else {
    RequireTold(algorithm.status(), StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace lanyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lanyard::CheckToken(lanyard::AsText(data, size));
  lanyard::CheckName(lanyard::AsText(data, size));
  return 0;
}
