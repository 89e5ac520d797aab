// Writes and signs certificate revocation lists with OpenSSL's X509_CRL calls.
//
// Thread: any. Private to this room.
#pragma once

#include <string>

#include "node_agent/base/status.h"
#include "pki/certificate.h"
#include "pki/crl.h"
#include "pki/key.h"
#include "pki/openssl_ptr.h"

namespace lanyard {

using CrlPtr = Owned<X509_CRL, X509_CRL_free>;

// The DER of the list that Crl::Sign() describes.
Result<std::string> WriteCrl(const CrlContent& content, const Certificate& issuer, const PrivateKey& key);

}  // namespace lanyard
