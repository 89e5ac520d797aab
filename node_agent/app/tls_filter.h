// TLS in front of an HTTP server, with a certificate that can be replaced while it serves.
//
// Each connection keeps the context that was there when it was accepted. Before the first there is nothing to prove
// ourselves with, and connections are closed at once.
//
// Thread: Set() and filters() loop; what filters() returns is called by the server's own thread, also after this is
// gone.
#pragma once

#include <memory>

#include "node_agent/base/http_filter.h"
#include "pki/tls_server.h"

namespace lanyard {

class TlsSlot {
 public:
  TlsSlot();

  void Set(TlsServerContext context);
  bool empty() const;
  HttpFilterFactory filters() const;

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
};

}  // namespace lanyard
