// Both X.509 streams of the Workload API, united: identities from FetchX509SVID, bundles and revocation lists from
// FetchX509Bundles. Where the latter is not implemented, those that come with the identities.
//
// While the bundle stream is down, what comes with the identities is the newest that is known: their lists count as
// well, and a message that comes meanwhile replaces the bundles. The lists of the bundle stream stay, so that an older
// message beside it takes no revocation back. When it is there again, its messages alone decide.
//
// A message that does not hold together is not used, and what was known before stays. What the agent takes back goes at
// once: an identity that is missing from a message, all of them when it answers PermissionDenied (Workload API §5.2.1).
// When the agent is away they stay until they expire.
//
// Lifetime: the destructor ends both streams. Thread: any. Private to this library.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "workload_api/client/fetched.h"
#include "workload_api/client/published.h"
#include "workload_api/client/stream_follower.h"
#include "workload_api/client/x509_snapshot.h"
#include "workload_api/proto/workloadapi.grpc.pb.h"

namespace lanyard {

// What has been seen of revocation, handed on from snapshot to snapshot and from each feed of a client to the next. A
// feed that ends may overlap with the next one; what either has seen stays seen.
//
// Thread: any; the mutex guards `newest_`.
class SeenRevocation {
 public:
  RevocationLists Next(std::vector<Crl> lists, const BundleSet& bundles, std::span<const X509Svid> own) {
    const std::lock_guard lock(mutex_);
    newest_ = newest_.Next(std::move(lists), bundles, own);
    return newest_;
  }

 private:
  std::mutex mutex_;
  RevocationLists newest_;
};

class X509Feed {
 public:
  struct State {
    std::optional<FetchedSvids> fetched;  // no SVIDs in it: they were taken back
    std::optional<BundleSet> bundles;
    std::vector<Crl> crls;  // of the last message of the bundle stream
    // How the streams are: OK from a message to the end of the stream.
    Status svid_stream = Error(StatusCode::kUnavailable, "nothing has come yet");
    Status bundle_stream = svid_stream;
    std::shared_ptr<const X509Snapshot> snapshot;  // of all that; nullptr until each part has come once
  };

  // May throw std::system_error when no thread can be had.
  X509Feed(const std::shared_ptr<grpc::Channel>& channel, std::shared_ptr<SeenRevocation> revocation);

  const Published<State>& state() const { return state_; }

 private:
  Status TakeSvids(X509SVIDResponse& message);
  Status TakeBundles(const X509BundlesResponse& message);
  void Unite(State& state) const;

  const std::unique_ptr<SpiffeWorkloadAPI::Stub> stub_;
  const std::shared_ptr<SeenRevocation> revocation_;
  Published<State> state_{State()};
  StreamFollower<X509SVIDResponse> svids_;  // last, so that they end first
  StreamFollower<X509BundlesResponse> bundles_;
};

}  // namespace lanyard
