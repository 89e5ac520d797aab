// A demo program's own identity, always the newest one.
//
// Keeps one FetchX509SVID stream of the Workload API open on a thread of its own. Each message holds everything, so the
// newest replaces the one before. Nothing is written to disk.
//
// Lifetime: the destructor ends the stream and its thread. Thread: any. Failure: when the stream ends, the reason is
// what Next() returns from then on; a refusal stays PermissionDenied.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "node_agent/base/status.h"
#include "pki/bundle.h"
#include "pki/x509_svid.h"
#include "workload_api/proto/workloadapi.grpc.pb.h"

namespace lanyard::demo {

// One message of the stream: the first SVID and the bundles to judge peers by.
struct Identity {
  X509Svid svid;
  std::shared_ptr<const BundleSet> bundles;
  std::size_t version;  // 1 for the first message
};

// What a FetchX509SVID message says, every part of it checked.
Result<Identity> ParseIdentity(const X509SVIDResponse& message, std::size_t version);

class IdentityStream {
 public:
  // `socket` is a SPIFFE_ENDPOINT_SOCKET, "unix:///path". Returns at once; the first identity comes through Next().
  explicit IdentityStream(const std::string& socket);
  ~IdentityStream();
  IdentityStream(const IdentityStream&) = delete;
  IdentityStream& operator=(const IdentityStream&) = delete;

  // Waits for an identity newer than `version`. DeadlineExceeded when none came in time.
  Result<Identity> Next(std::size_t version, std::chrono::seconds timeout);

 private:
  void Read();

  std::unique_ptr<SpiffeWorkloadAPI::Stub> stub_;
  grpc::ClientContext call_;
  std::mutex mutex_;  // guards newest_ and end_
  std::condition_variable changed_;
  std::shared_ptr<const Identity> newest_;
  Status end_;  // OK while the stream is open
  std::thread reader_;
};

// The value of --socket: as given, else SPIFFE_ENDPOINT_SOCKET, else unix:///run/lanyard/workload.sock.
std::string SocketOrDefault(const std::string& given);

// Says on stderr what went wrong and returns the exit code for it: 4 refused, 3 node agent not reached, 1 otherwise.
int Report(const Status& status);

// "spiffe://…, serial 4f…, valid for 20 s", for people.
std::string Describe(const X509Svid& svid);

}  // namespace lanyard::demo
