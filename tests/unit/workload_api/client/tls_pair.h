// TLS contexts of this library, each with a Workload API of its own, for both ends of a connection over memory.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <vector>

#include "pki/openssl_ptr.h"
#include "tests/support/tls_in_memory.h"
#include "tests/unit/workload_api/client/workload_api_peer.h"
#include "workload_api/client/tls.h"

namespace lanyard::testing {

class TlsTest : public ::testing::Test {
 protected:
  // A workload that has this SVID, the test's bundles and revocation lists. Lives as long as the test.
  Workload& Has(const X509Svid& svid) {
    workloads_.push_back(std::make_unique<Workload>(svid, bundles_, crls_));
    return *workloads_.back();
  }
  TlsContext Context(TlsRole role, const X509Svid& svid, Authorizer authorize, TimePoint now = Now()) {
    return Get(TlsContext::Create(
        {.role = role, .source = Has(svid).source, .authorize = std::move(authorize), .wall_clock = [now] {
           return now;
         }}));
  }
  // Plain OpenSSL that shows this and believes everybody.
  static SslCtxPtr Bare(TlsRole role, const X509Svid& svid) {
    SslCtxPtr context(SSL_CTX_new(role == TlsRole::kServer ? TLS_server_method() : TLS_client_method()));
    EXPECT_EQ(SSL_CTX_use_certificate(context.get(), svid.leaf().native()), 1);
    EXPECT_EQ(SSL_CTX_use_PrivateKey(context.get(), svid.key().native()), 1);
    return context;
  }
  static Authorizer Anybody() {
    return AuthorizeIf([](const SpiffeId&) { return true; }, "anybody");
  }

  Authority authority_;
  Authority other_{"other.org"};
  std::vector<Bundle> bundles_ = {authority_.bundle, other_.bundle};
  std::vector<Crl> crls_;
  X509Svid agent_ = authority_.Issue("/agent");
  X509Svid tool_ = authority_.Issue("/tool");

 private:
  std::vector<std::unique_ptr<Workload>> workloads_;
};

}  // namespace lanyard::testing
