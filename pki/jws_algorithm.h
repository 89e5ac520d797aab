// The nine signature algorithms of JWT-SVID §2.1 and WIT-SVID §2.3, and no others.
//
// There is no "none" and nothing with a shared secret: such a name does not parse. An algorithm goes with one kind of
// key (RFC 7518 §3.3 to §3.5), so that a token cannot have a key used for something that it is not meant for.
//
// Thread: any.
#pragma once

#include <string_view>

#include "node_agent/base/status.h"
#include "pki/key.h"

namespace lanyard {

enum class JwsAlgorithm { kRs256, kRs384, kRs512, kEs256, kEs384, kEs512, kPs256, kPs384, kPs512 };

// "RS256" and so on, with case. Everything else is InvalidArgument.
Result<JwsAlgorithm> ParseJwsAlgorithm(std::string_view name);
std::string_view JwsAlgorithmName(JwsAlgorithm algorithm);

// What a key of ours signs with: ES256, ES384 or RS256.
JwsAlgorithm JwsAlgorithmFor(KeyType type);

// InvalidArgument, with the reason, unless signatures of `algorithm` are made with keys like this one: RSA of at least
// 2048 bits, or EC on the curve that belongs to it.
Status CheckKeyFits(JwsAlgorithm algorithm, const PublicKey& key);

}  // namespace lanyard
