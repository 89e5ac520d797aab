// Owning pointers for OpenSSL objects, and the one way to turn an OpenSSL failure into a Status.
//
// For sources of this room and of rooms that are handed a TLS context; other headers only forward-declare OpenSSL's
// types.
//
// Thread: any. OpenSSL's error queue is per thread; OpenSslError() empties the caller's.
#pragma once

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string_view>

#include "node_agent/base/status.h"

namespace lanyard {

template <auto Free>
struct FreeWith {
  template <class T>
  void operator()(T* p) const noexcept {
    Free(p);
  }
};
template <class T, auto Free>
using Owned = std::unique_ptr<T, FreeWith<Free>>;

using AuthorityKeyIdPtr = Owned<AUTHORITY_KEYID, AUTHORITY_KEYID_free>;
using BioPtr = Owned<BIO, BIO_free_all>;
using BnPtr = Owned<BIGNUM, BN_clear_free>;
using IntegerPtr = Owned<ASN1_INTEGER, ASN1_INTEGER_free>;
using MdCtxPtr = Owned<EVP_MD_CTX, EVP_MD_CTX_free>;
using ParamBuilderPtr = Owned<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free>;
using ParamsPtr = Owned<OSSL_PARAM, OSSL_PARAM_free>;
using PkeyPtr = Owned<EVP_PKEY, EVP_PKEY_free>;
using PkeyCtxPtr = Owned<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;
using Pkcs8Ptr = Owned<PKCS8_PRIV_KEY_INFO, PKCS8_PRIV_KEY_INFO_free>;
using SslCtxPtr = Owned<SSL_CTX, SSL_CTX_free>;
using SslPtr = Owned<SSL, SSL_free>;
using X509Ptr = Owned<X509, X509_free>;
using X509ExtensionPtr = Owned<X509_EXTENSION, X509_EXTENSION_free>;
using X509NamePtr = Owned<X509_NAME, X509_NAME_free>;
using StoreCtxPtr = Owned<X509_STORE_CTX, X509_STORE_CTX_free>;
using GeneralNamesPtr = Owned<GENERAL_NAMES, GENERAL_NAMES_free>;
using ExtendedKeyUsagePtr = Owned<EXTENDED_KEY_USAGE, EXTENDED_KEY_USAGE_free>;
using OctetStringPtr = Owned<ASN1_OCTET_STRING, ASN1_OCTET_STRING_free>;

inline void FreeOpenSslMemory(void* p) {
  OPENSSL_free(p);
}  // the plain name is a macro
using OpenSslBytes = Owned<unsigned char, FreeOpenSslMemory>;

inline void FreeCertStack(STACK_OF(X509) * stack) {
  sk_X509_free(stack);
}  // the stack only borrows its certificates
using BorrowedCertStackPtr = Owned<STACK_OF(X509), FreeCertStack>;

// "<attempted>: <every reason in this thread's error queue>", and the queue is empty afterwards. `code` says whose
// fault it is: kInvalidArgument for input that does not parse, kInternal (the default) for an operation that ought to
// have worked.
Status OpenSslError(std::string_view attempted, StatusCode code = StatusCode::kInternal);

}  // namespace lanyard
