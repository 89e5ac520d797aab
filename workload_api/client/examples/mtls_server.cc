// Answers one client over mutual TLS, again and again:  mtls_server HOST:PORT SPIFFE-ID-OF-THE-CLIENT
#include <lanyard/client.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <chrono>
#include <csignal>
#include <iostream>
#include <memory>
#include <stdexcept>

int main(int argc, char** argv) try {
  if (argc != 3) throw std::invalid_argument("usage: mtls_server HOST:PORT SPIFFE-ID");
  const auto client = lanyard::WorkloadClient::Create().value();
  const auto source = lanyard::X509Source::Create(client).value();
  const auto caller = lanyard::SpiffeId::Parse(argv[2]).value();
  const auto context =
      lanyard::TlsContext::Create(
          {.role = lanyard::TlsRole::kServer, .source = source, .authorize = lanyard::AuthorizeAgentOrTask(caller)})
          .value();
  const lanyard::Status ready = source->WaitReady(std::chrono::seconds(10));
  if (!ready.ok()) throw std::runtime_error(ready.ToString());

  std::signal(SIGPIPE, SIG_IGN);  // a client that hangs up must not end us
  using Connection = std::unique_ptr<BIO, decltype(&BIO_free_all)>;
  const Connection listener(BIO_new_accept(argv[1]), BIO_free_all);
  if (BIO_do_accept(listener.get()) != 1) throw std::runtime_error("cannot listen on " + std::string(argv[1]));
  std::cout << "listening on port " << BIO_get_accept_port(listener.get()) << std::endl;
  while (BIO_do_accept(listener.get()) == 1) {  // a real server gives each connection a thread and a time limit
    const Connection connection(BIO_push(BIO_new_ssl(context.native(), 0), BIO_pop(listener.get())), BIO_free_all);
    SSL* ssl = nullptr;
    BIO_get_ssl(connection.get(), &ssl);
    ERR_clear_error();
    const bool accepted = BIO_do_handshake(connection.get()) == 1;
    const auto peer = lanyard::PeerId(ssl);
    char question[256];
    const int length = accepted ? BIO_read(connection.get(), question, sizeof question) : 0;
    if (length > 0) BIO_printf(connection.get(), "%s, I heard: %.*s", peer->str().c_str(), length, question);
    std::cout << (accepted ? "answered " + peer->str()
                           : "refused: " + lanyard::ConnectionError(ssl, "handshake").ToString())
              << std::endl;
  }
  throw std::runtime_error("cannot accept any more");
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
