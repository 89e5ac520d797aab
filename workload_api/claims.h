// What ValidateJWTSVID says of a token: its claims as a google.protobuf.Struct.
//
// Thread: any.
#pragma once

#include <google/protobuf/struct.pb.h>

#include "node_agent/base/status.h"
#include "pki/jwt_svid.h"

namespace lanyard {

// Which claims are told.
enum class Told {
  kAll,
  kOfStandard,  // sub, aud and exp: what else another trust domain says may not mean here what it means there
};

// "aud" is always a list, also where the token has one string. Numbers are doubles, as the type has no other.
Result<google::protobuf::Struct> ClaimsOf(const JwtSvid& svid, Told told);

}  // namespace lanyard
