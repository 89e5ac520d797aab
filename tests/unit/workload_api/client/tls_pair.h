// Two ends of TLS over memory, and contexts of this library for them, each with a Workload API of its own.
#pragma once

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <memory>
#include <string>
#include <vector>

#include "pki/openssl_ptr.h"
#include "tests/unit/workload_api/client/workload_api_peer.h"
#include "workload_api/client/tls.h"

namespace lanyard::testing {

// Both ends of one connection over memory.
struct Connection {
  Connection(SSL_CTX* client_context, SSL_CTX* server_context)
      : client(SSL_new(client_context)), server(SSL_new(server_context)) {
    BIO *to_server = nullptr, *to_client = nullptr;
    EXPECT_EQ(BIO_new_bio_pair(&to_server, 0, &to_client, 0), 1);
    SSL_set_bio(client.get(), to_server, to_server);
    SSL_set_bio(server.get(), to_client, to_client);
    SSL_set_connect_state(client.get());
    SSL_set_accept_state(server.get());
  }

  // Runs until neither side can go on. The client sends "hello" as early as it is allowed to.
  void Run() {
    for (int round = 0; round < 20; ++round) {
      if (SSL_do_handshake(client.get()) == 1 && !sent) sent = SSL_write(client.get(), "hello", 5) == 5;
      char buffer[16];
      if (const int size = SSL_read(server.get(), buffer, sizeof buffer); size > 0)
        received.assign(buffer, static_cast<std::size_t>(size));
      if (sent) {
        if (const int size = SSL_read(client.get(), buffer, sizeof buffer); size <= 0)
          client_alert |= SSL_get_error(client.get(), size) == SSL_ERROR_SSL;
      }
      ERR_clear_error();
    }
  }

  SslPtr client, server;
  bool sent = false;          // the client considered the handshake complete
  bool client_alert = false;  // and then learned that it was refused
  std::string received;       // what came out at the server
};

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
