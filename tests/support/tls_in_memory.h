// Both ends of a TLS connection in one thread, over memory: a handshake without a network.
#pragma once

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <cstdlib>
#include <string>

#include "pki/openssl_ptr.h"

namespace lanyard::testing {

// Both ends of one connection over memory.
struct Connection {
  Connection(SSL_CTX* client_context, SSL_CTX* server_context)
      : client(SSL_new(client_context)), server(SSL_new(server_context)) {
    BIO *to_server = nullptr, *to_client = nullptr;
    if (BIO_new_bio_pair(&to_server, 0, &to_client, 0) != 1) std::abort();
    SSL_set_bio(client.get(), to_server, to_server);
    SSL_set_bio(server.get(), to_client, to_client);
    SSL_set_connect_state(client.get());
    SSL_set_accept_state(server.get());
  }

  // Runs until neither side can go on. The client sends "hello" as early as it is allowed to.
  void Run() {
    for (int round = 0; round < 20 && received.empty(); ++round) {
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

}  // namespace lanyard::testing
