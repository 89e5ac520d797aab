#include "workload_api/client/x509_source.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "node_agent/base/utc.h"
#include "workload_api/client/following.h"
#include "workload_api/client/workload_channel.h"
#include "workload_api/client/workload_client_state.h"

namespace lanyard {
namespace {

// An API without FetchX509Bundles gives bundles with the identities: nothing is amiss.
const Status& Worse(const X509Feed::State& state) {
  const bool only_identities = state.bundle_stream.code() == StatusCode::kUnimplemented;
  return state.svid_stream.ok() && !only_identities ? state.bundle_stream : state.svid_stream;
}

}  // namespace

struct X509Source::State {
  Following<X509Feed> following;
  X509SourceOptions options;

  // What `state` says that this source is.
  Result<X509Svid> Pick(const X509Feed::State& state) const {
    if (state.snapshot == nullptr || state.snapshot->identities.empty())
      return following.FromApi(Annotate(Worse(state), "no X.509-SVID"));
    std::vector<std::string> others;
    for (const X509Identity& identity : state.snapshot->identities) {
      const bool wanted =
          (!options.id || identity.svid.id() == *options.id) && (options.hint.empty() || identity.hint == options.hint);
      if (!wanted) {
        others.push_back(identity.svid.id().str());
        continue;
      }
      if (identity.svid.not_after() > std::chrono::system_clock::now()) return identity.svid;
      return following.FromApi(Error(StatusCode::kUnavailable, "own X.509-SVID {} expired at {} and was not renewed{}",
                                     identity.svid.id().str(), Utc(identity.svid.not_after()),
                                     Worse(state).ok() ? "" : ": " + std::string(Message(Worse(state)))));
    }
    return following.FromApi(
        Error(StatusCode::kNotFound, "no X.509-SVID {}{}; there is {}", options.id ? options.id->str() : "of any name",
              options.hint.empty() ? "" : fmt::format(" with hint \"{}\"", options.hint), fmt::join(others, ", ")));
  }
};

Result<std::shared_ptr<X509Source>> X509Source::Create(const std::shared_ptr<WorkloadClient>& client,
                                                       X509SourceOptions options) {
  if (client == nullptr) return Error(StatusCode::kInvalidArgument, "make an X.509 source: no client");
  WorkloadClient::State& shared = *client->state_;
  ASSIGN_OR_RETURN(std::shared_ptr<const X509Feed> feed, shared.Join(shared.x509, shared.revocation));
  return std::shared_ptr<X509Source>(new X509Source(std::unique_ptr<State>(
      new State{.following = {shared.endpoint, std::move(feed)}, .options = std::move(options)})));
}

X509Source::X509Source(std::unique_ptr<State> state) : state_(std::move(state)) {}
X509Source::~X509Source() {
  Close();
}

Status X509Source::WaitReady(std::chrono::milliseconds timeout, IfDenied if_denied) const {
  ASSIGN_OR_RETURN(const auto state, state_->following.WaitFor(timeout, [this, if_denied](const X509Feed::State& now) {
    const bool denied = now.svid_stream.code() == StatusCode::kPermissionDenied;
    return (denied && if_denied == IfDenied::kReturn) || IsFinal(now.svid_stream) || state_->Pick(now).ok();
  }));
  return state_->Pick(*state).status();
}

Result<X509Svid> X509Source::Svid() const {
  ASSIGN_OR_RETURN(const auto state, state_->following.Now());
  return state_->Pick(*state);
}

Result<X509Source::SnapshotPtr> X509Source::Snapshot() const {
  ASSIGN_OR_RETURN(const auto state, state_->following.Now());
  if (state->snapshot == nullptr) return state_->following.FromApi(Annotate(Worse(*state), "no X.509-SVID"));
  return state->snapshot;
}

bool X509Source::ChecksRevocation(const TrustDomain& trust_domain) const {
  const Result<SnapshotPtr> snapshot = Snapshot();
  return snapshot.ok() && (*snapshot)->revocation.Covers(trust_domain);
}

Result<X509Source::SnapshotPtr> X509Source::WaitNewer(std::uint64_t version, std::chrono::milliseconds timeout) const {
  const auto newer = [version](const X509Feed::State& now) {
    return now.snapshot != nullptr && now.snapshot->version > version;
  };
  ASSIGN_OR_RETURN(const auto state, state_->following.WaitFor(timeout, newer));
  if (newer(*state)) return state->snapshot;
  const Status& worse = Worse(*state);
  return state_->following.FromApi(
      worse.ok() ? Error(StatusCode::kDeadlineExceeded, "nothing new within {} ms", timeout.count()) : worse);
}

Status X509Source::Connection() const {
  ASSIGN_OR_RETURN(const auto state, state_->following.Now());
  return state_->following.FromApi(Worse(*state));
}

void X509Source::Close() {
  state_->following.Close();
}

}  // namespace lanyard
