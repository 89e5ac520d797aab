// Signing and checking by OpenSSL's EVP interface, for whoever gives the signature its form.
//
// Thread: any. Private to this room.
#pragma once

#include <string>
#include <string_view>

#include "node_agent/base/status.h"

struct evp_pkey_st;

namespace lanyard {

enum class RsaPadding { kNone, kPkcs1, kPss };  // kNone: the key is not an RSA key

struct EvpScheme {
  const char* digest;
  RsaPadding padding = RsaPadding::kNone;
};

// The signature of `message`; DER where the key is an EC key. `attempted` is for the error.
Result<std::string> EvpSign(evp_pkey_st* key, EvpScheme scheme, std::string_view message, std::string_view attempted);

// Unauthenticated when the signature is not valid, or has not the form that EvpSign() gives it.
Status EvpVerify(evp_pkey_st* key, EvpScheme scheme, std::string_view message, std::string_view signature,
                 std::string_view attempted);

}  // namespace lanyard
