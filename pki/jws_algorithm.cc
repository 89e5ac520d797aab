#include "pki/jws_algorithm.h"

#include <utility>

#include "pki/jwk.h"

namespace lanyard {
namespace {

constexpr std::pair<JwsAlgorithm, std::string_view> kNames[] = {
    {JwsAlgorithm::kRs256, "RS256"}, {JwsAlgorithm::kRs384, "RS384"}, {JwsAlgorithm::kRs512, "RS512"},
    {JwsAlgorithm::kEs256, "ES256"}, {JwsAlgorithm::kEs384, "ES384"}, {JwsAlgorithm::kEs512, "ES512"},
    {JwsAlgorithm::kPs256, "PS256"}, {JwsAlgorithm::kPs384, "PS384"}, {JwsAlgorithm::kPs512, "PS512"}};

JwkKind KindFor(JwsAlgorithm algorithm) {
  switch (algorithm) {
    case JwsAlgorithm::kEs256:
      return JwkKind::kP256;
    case JwsAlgorithm::kEs384:
      return JwkKind::kP384;
    case JwsAlgorithm::kEs512:
      return JwkKind::kP521;
    default:
      return JwkKind::kRsa;
  }
}

}  // namespace

Result<JwsAlgorithm> ParseJwsAlgorithm(std::string_view name) {
  for (const auto& [algorithm, known] : kNames) {
    if (name == known) return algorithm;
  }
  return Error(StatusCode::kInvalidArgument,
               "\"alg\" is none of RS256, RS384, RS512, ES256, ES384, ES512, PS256, "
               "PS384 and PS512");
}

std::string_view JwsAlgorithmName(JwsAlgorithm algorithm) {
  for (const auto& [known, name] : kNames) {
    if (algorithm == known) return name;
  }
  return "unknown";
}

JwsAlgorithm JwsAlgorithmFor(KeyType type) {
  switch (type) {
    case KeyType::kEcP256:
      return JwsAlgorithm::kEs256;
    case KeyType::kEcP384:
      return JwsAlgorithm::kEs384;
    case KeyType::kRsa2048:
    case KeyType::kRsa4096:
      break;
  }
  return JwsAlgorithm::kRs256;
}

Status CheckKeyFits(JwsAlgorithm algorithm, const PublicKey& key) {
  ASSIGN_OR_RETURN(const JwkKind kind, JwkKindOf(key));
  if (kind == KindFor(algorithm)) return OkStatus();
  return Error(StatusCode::kInvalidArgument, "{} is not made with {} keys", JwsAlgorithmName(algorithm),
               JwkKindName(kind));
}

}  // namespace lanyard
