// A program's end of a Workload API: one connection, shared by all sources that are made from it.
//
// Sources of one kind share one stream as well: a thousand of them cost the agent as much as one. The connection is
// made when the first source is; whoever forks must make a client of its own in the child.
//
// Lifetime: sources keep what they need, so a client may go before them. Thread: any.
#pragma once

#include <memory>
#include <string>

#include "node_agent/base/status.h"

namespace lanyard {

class WorkloadClient {
 public:
  // `endpoint` is "unix:///path" or "tcp://IP:PORT" (SPIFFE_Workload_Endpoint §4); if empty, the environment variable
  // SPIFFE_ENDPOINT_SOCKET, and without that unix:///run/lanyard/workload.sock. InvalidArgument when it is none of
  // these. Whether somebody answers there is found out by the sources. Not while another thread changes the
  // environment.
  static Result<std::shared_ptr<WorkloadClient>> Create(std::string endpoint = "");
  ~WorkloadClient();
  WorkloadClient(const WorkloadClient&) = delete;
  WorkloadClient& operator=(const WorkloadClient&) = delete;

  const std::string& endpoint() const;

 private:
  friend class JwtSource;
  friend class X509Source;
  struct State;
  explicit WorkloadClient(std::unique_ptr<State> state);

  const std::unique_ptr<State> state_;
};

}  // namespace lanyard
