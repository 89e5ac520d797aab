// Asks a server over mutual TLS and prints its answer:  mtls_client HOST:PORT SPIFFE-ID-OF-THE-SERVER QUESTION
#include <lanyard/client.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <chrono>
#include <csignal>
#include <iostream>
#include <memory>
#include <stdexcept>

int main(int argc, char** argv) try {
  if (argc != 4) throw std::invalid_argument("usage: mtls_client HOST:PORT SPIFFE-ID QUESTION");
  const auto client = lanyard::WorkloadClient::Create().value();
  const auto source = lanyard::X509Source::Create(client).value();
  const auto server = lanyard::SpiffeId::Parse(argv[2]).value();
  const auto context =
      lanyard::TlsContext::Create(
          {.role = lanyard::TlsRole::kClient, .source = source, .authorize = lanyard::AuthorizeId(server)})
          .value();
  const lanyard::Status ready = source->WaitReady(std::chrono::seconds(10));
  if (!ready.ok()) throw std::runtime_error(ready.ToString());

  std::signal(SIGPIPE, SIG_IGN);  // a server that hangs up must not end us
  // From here on it is OpenSSL as usual. Each handshake shows the newest SVID, verifies the server and authorizes it.
  const std::unique_ptr<BIO, decltype(&BIO_free_all)> connection(BIO_new_ssl_connect(context.native()), BIO_free_all);
  SSL* ssl = nullptr;
  BIO_get_ssl(connection.get(), &ssl);
  BIO_set_conn_hostname(connection.get(), argv[1]);
  if (BIO_do_handshake(connection.get()) == 1 && BIO_printf(connection.get(), "%s\n", argv[3]) > 0) {
    char answer[256];
    const int length = BIO_read(connection.get(), answer, sizeof answer);
    if (length > 0) {
      std::cout.write(answer, length);
      return 0;
    }
  }
  const auto peer = lanyard::PeerId(ssl);
  std::cerr << (peer.ok() ? "the server ended the connection: it may not let us in" : peer.status().ToString()) << '\n';
  ERR_print_errors_fp(stderr);  // what the network said, or the server
  return 1;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
