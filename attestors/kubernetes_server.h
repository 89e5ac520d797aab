// A server of Kubernetes (a kubelet, the API server), asked in the name of the service account.
//
// The token is read for each request, so that one that was renewed is used at once. An answer other than 200 is an
// error with the server's words and what to do about it. Token and answer are read in the pool; one deadline holds for
// all, also where there is no place in the pool for long.
//
// Lifetime: `tools` and `clock` outlive it, and it outlives its requests. Thread: loop.
#pragma once

#include <absl/functional/any_invocable.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "attestors/host_tools.h"
#include "node_agent/base/clock.h"
#include "node_agent/base/http_client.h"
#include "node_agent/base/http_peer.h"
#include "node_agent/base/status.h"
#include "node_agent/base/wiped_string.h"

namespace lanyard {

struct KubernetesServerOptions {
  HttpPeer peer;
  std::string token_path;  // sent with each request; empty: none is
  std::string right;       // that whoever asks must have, for messages: "get nodes/pods"
  size_t max_answer_bytes = 0;
  unsigned connections = 1;
};

class KubernetesServer {
 public:
  // Destroy it to cancel; `done` then never runs.
  struct Request {
    virtual ~Request() = default;
  };
  // Takes what it wants out of an answer's body. Thread: the pool.
  using Reader = absl::AnyInvocable<Status(WipedString& body)>;
  using Done = absl::AnyInvocable<void(const Status&) &&>;

  KubernetesServer(KubernetesServerOptions options, HostTools& tools, Clock& clock);

  // Asks for `path`, which begins with a slash, and has `read` read the body of the answer. `done` runs once, on the
  // loop, never before Get has returned, and may destroy the request. Errors: those of the token's file, of
  // HttpClient::Get and of `read`; Unavailable when the answer's status is not 200; DeadlineExceeded.
  [[nodiscard]] std::unique_ptr<Request> Get(std::string path, Deadline deadline, Reader read, Done done);

  // `why` with the name of what was asked.
  Status Named(std::string_view path, const Status& why) const;

 private:
  class Asking;

  const KubernetesServerOptions options_;
  HostTools& tools_;
  Clock& clock_;
  HttpClient http_;
};

}  // namespace lanyard
