#include "workload_api/client/x509_source.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "node_agent/base/utc.h"
#include "workload_api/client/snapshot_cell.h"
#include "workload_api/client/workload_channel.h"
#include "workload_api/client/workload_client_state.h"

namespace lanyard {
namespace {

Status Closed() {
  return Error(StatusCode::kFailedPrecondition, "the X.509 source is closed");
}

const Status& Worse(const X509Feed::State& state) {
  return state.svid_stream.ok() ? state.bundle_stream : state.svid_stream;
}

}  // namespace

struct X509Source::State {
  std::string endpoint;
  X509SourceOptions options;
  SnapshotCell<X509Feed> feed{nullptr};  // nullptr: closed

  Status FromApi(const Status& status) const { return Annotate(status, "Workload API at {}", endpoint); }

  // What `state` says that this source is.
  Result<X509Svid> Pick(const X509Feed::State& state) const {
    if (state.snapshot == nullptr || state.snapshot->identities.empty())
      return FromApi(Annotate(Worse(state), "no X.509-SVID"));
    std::vector<std::string> others;
    for (const X509Identity& identity : state.snapshot->identities) {
      const bool wanted =
          (!options.id || identity.svid.id() == *options.id) && (options.hint.empty() || identity.hint == options.hint);
      if (!wanted) {
        others.push_back(identity.svid.id().str());
        continue;
      }
      if (identity.svid.not_after() > std::chrono::system_clock::now()) return identity.svid;
      return FromApi(Error(StatusCode::kUnavailable, "own X.509-SVID {} expired at {} and was not renewed{}",
                           identity.svid.id().str(), Utc(identity.svid.not_after()),
                           Worse(state).ok() ? "" : ": " + std::string(Message(Worse(state)))));
    }
    return FromApi(
        Error(StatusCode::kNotFound, "no X.509-SVID {}{}; there is {}", options.id ? options.id->str() : "of any name",
              options.hint.empty() ? "" : fmt::format(" with hint \"{}\"", options.hint), fmt::join(others, ", ")));
  }

  // The state at the end of waiting for `done`, or FailedPrecondition once the source is closed.
  template <class Done>
  Result<std::shared_ptr<const X509Feed::State>> Wait(std::chrono::milliseconds timeout, Done done) const {
    const std::shared_ptr<const X509Feed> following = feed.Read();
    if (following == nullptr) return Closed();
    const auto state = following->state().WaitFor(
        timeout, [&](const X509Feed::State& now) { return feed.Read() == nullptr || done(now); });
    if (feed.Read() == nullptr) return Closed();
    return state;
  }
};

Result<std::shared_ptr<X509Source>> X509Source::Create(const std::shared_ptr<WorkloadClient>& client,
                                                       X509SourceOptions options) {
  if (client == nullptr) return Error(StatusCode::kInvalidArgument, "make an X.509 source: no client");
  WorkloadClient::State& shared = *client->state_;
  ASSIGN_OR_RETURN(std::shared_ptr<const X509Feed> feed, shared.Join(shared.x509));
  auto state = std::make_unique<State>();
  state->endpoint = shared.endpoint;
  state->options = std::move(options);
  state->feed.Replace(std::move(feed));
  return std::shared_ptr<X509Source>(new X509Source(std::move(state)));
}

X509Source::X509Source(std::unique_ptr<State> state) : state_(std::move(state)) {}
X509Source::~X509Source() {
  Close();
}

Status X509Source::WaitReady(std::chrono::milliseconds timeout, IfDenied if_denied) const {
  const auto state = state_->Wait(timeout, [this, if_denied](const X509Feed::State& now) {
    const bool denied = now.svid_stream.code() == StatusCode::kPermissionDenied && if_denied == IfDenied::kReturn;
    return denied || IsFinal(now.svid_stream) || state_->Pick(now).ok();
  });
  return state.ok() ? state_->Pick(**state).status() : state.status();
}

Result<X509Svid> X509Source::Svid() const {
  const std::shared_ptr<const X509Feed> feed = state_->feed.Read();
  return feed != nullptr ? state_->Pick(*feed->state().Read()) : Closed();
}

Result<X509Source::SnapshotPtr> X509Source::Snapshot() const {
  const std::shared_ptr<const X509Feed> feed = state_->feed.Read();
  if (feed == nullptr) return Closed();
  const auto state = feed->state().Read();
  if (state->snapshot == nullptr) return state_->FromApi(Annotate(Worse(*state), "no X.509-SVID"));
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
  ASSIGN_OR_RETURN(const auto state, state_->Wait(timeout, newer));
  if (newer(*state)) return state->snapshot;
  return state_->FromApi(Worse(*state).ok()
                             ? Error(StatusCode::kDeadlineExceeded, "nothing new within {} ms", timeout.count())
                             : Worse(*state));
}

Status X509Source::Connection() const {
  const std::shared_ptr<const X509Feed> feed = state_->feed.Read();
  return feed != nullptr ? state_->FromApi(Worse(*feed->state().Read())) : Closed();
}

void X509Source::Close() {
  const std::shared_ptr<const X509Feed> feed = state_->feed.Read();
  state_->feed.Replace(nullptr);
  if (feed != nullptr) feed->state().Wake();
}

}  // namespace lanyard
