// The API server of the cluster, asked for the labels of namespaces.
//
// What it said of a namespace is used for `refresh`, by all who ask; nothing older is used when it does not answer.
// Believed is who has a certificate for its address from the cluster's authority.
//
// Lifetime: `tools` and `clock` outlive it, and it outlives its tickets. Thread: loop.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "attestors/answer_cache.h"
#include "attestors/host_tools.h"
#include "attestors/kubernetes_server.h"
#include "attestors/namespace_answer.h"
#include "node_agent/base/clock.h"
#include "node_agent/base/http_peer.h"
#include "node_agent/base/status.h"

namespace lanyard {

struct ApiServerOptions {
  HttpPeer server;
  std::string token_path;  // read for each request, and sent with it; empty: none is
  std::chrono::nanoseconds refresh = std::chrono::seconds(5);
};

class ApiServer {
 public:
  using Cache = AnswerCache<NamespaceLabels>;

  ApiServer(const ApiServerOptions& options, HostTools& tools, Clock& clock);

  // The labels of a namespace. As for the cache; errors say what was asked of whom, and what to do.
  Cache::FactsPtr Cached(const std::string& name) const;
  [[nodiscard]] std::unique_ptr<Cache::Ticket> FindLabels(const std::string& name, Cache::Done done);
  // What to say when its answer is not waited for any longer.
  Status Late(const std::string& name) const;
  // Why it could not say something lately; OK after a minute, since nobody may have asked it again.
  Status health() const;

 private:
  class Inspection;

  HostTools& tools_;
  Clock& clock_;
  KubernetesServer server_;
  Cache labels_;
  Status last_failure_;
  MonoTime failed_at_;
};

}  // namespace lanyard
