#include "workload_api/client/x509_feed.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace lanyard {
namespace {

// The bundles that came with the identities.
BundleSet BundlesOf(const FetchedSvids& fetched) {
  BundleSet bundles = fetched.federated;
  for (const FetchedSvid& one : fetched.svids) bundles.Put(one.bundle);
  return bundles;
}

// The revocation lists that count.
std::vector<Crl> ListsOf(const X509Feed::State& state) {
  if (state.bundle_stream.code() == StatusCode::kUnimplemented) return state.fetched->crls;
  std::vector<Crl> lists = state.crls;
  if (state.bundle_stream.ok()) return lists;
  for (const Crl& list : state.fetched->crls) {
    if (std::find(state.crls.begin(), state.crls.end(), list) == state.crls.end()) lists.push_back(list);
  }
  return lists;
}

}  // namespace

// Unites the parts, once all are there.
void X509Feed::Unite(State& state) const {
  if (!state.fetched) return;
  const bool only_identities = state.bundle_stream.code() == StatusCode::kUnimplemented;
  if (!state.bundles && !only_identities) return;
  auto next = std::make_shared<X509Snapshot>();
  std::vector<X509Svid> svids;
  for (const FetchedSvid& one : state.fetched->svids) {
    next->identities.push_back({one.svid, one.hint});
    svids.push_back(one.svid);
  }
  next->bundles = only_identities ? BundlesOf(*state.fetched) : *state.bundles;
  next->revocation = revocation_->Next(ListsOf(state), next->bundles, svids);
  next->version = state.snapshot != nullptr ? state.snapshot->version + 1 : 1;
  state.snapshot = std::move(next);
}

X509Feed::X509Feed(const std::shared_ptr<grpc::Channel>& channel, std::shared_ptr<SeenRevocation> revocation)
    : stub_(SpiffeWorkloadAPI::NewStub(channel)),
      revocation_(std::move(revocation)),
      svids_({.open = [this](grpc::ClientContext& call) { return stub_->FetchX509SVID(&call, X509SVIDRequest()); },
              .take = [this](X509SVIDResponse& message) { return TakeSvids(message); },
              .ended =
                  [this](const Status& why) {
                    state_.Update([&](State& state) {
                      state.svid_stream = why;
                      if (why.code() != StatusCode::kPermissionDenied) return;
                      if (state.fetched) state.fetched->svids.clear();
                      Unite(state);
                    });
                  }}),
      bundles_(
          {.open = [this](grpc::ClientContext& call) { return stub_->FetchX509Bundles(&call, X509BundlesRequest()); },
           .take = [this](X509BundlesResponse& message) { return TakeBundles(message); },
           .ended =
               [this](const Status& why) {
                 state_.Update([&](State& state) {
                   const bool was_there = state.bundle_stream.ok();
                   state.bundle_stream = why;
                   if (was_there || why.code() == StatusCode::kUnimplemented) Unite(state);
                 });
               }}) {}

Status X509Feed::TakeSvids(X509SVIDResponse& message) {
  Result<FetchedSvids> fetched = CheckSvids(message, std::chrono::system_clock::now());
  WipeKeys(message);
  if (!fetched.ok()) return fetched.status();
  state_.Update([&](State& state) {
    // Only what comes after the bundle stream has ended: what came before may be older than its last message
    if (state.bundles && !state.bundle_stream.ok()) state.bundles = BundlesOf(*fetched);
    state.fetched = *std::move(fetched);
    state.svid_stream = OkStatus();
    Unite(state);
  });
  return OkStatus();
}

Status X509Feed::TakeBundles(const X509BundlesResponse& message) {
  ASSIGN_OR_RETURN(BundleSet bundles, CheckBundles(message));
  ASSIGN_OR_RETURN(std::vector<Crl> crls, CheckCrls(message));
  state_.Update([&](State& state) {
    state.bundles = std::move(bundles);
    state.crls = std::move(crls);
    state.bundle_stream = OkStatus();
    Unite(state);
  });
  return OkStatus();
}

}  // namespace lanyard
