// What the streams of the Workload API have in common: the caller is identified, what it is given is put on record,
// then it is told the full state of what it earns, and told again whenever that changes.
//
// Newest only: while a message is on its way nothing is queued; when it has left, the then newest state is sent if it
// differs. The caller is attested again and again (reattestation.h); the stream ends with PermissionDenied when it
// earns no entry any more.
//
// Lifetime: destroyed by the server when the RPC is over. Thread: loop.
#pragma once

#include <memory>
#include <utility>

#include "node_agent/identity/update_hub.h"
#include "node_agent/rpc/call.h"
#include "workload_api/caller.h"
#include "workload_api/grants.h"
#include "workload_api/reattestation.h"

namespace lanyard {

template <class Request>
class AttestedStream : public OneRequestHandler<Request>, private ReattestedStream {
 public:
  AttestedStream(Call& incoming, CallerServices& services, UpdateHub& hub, Shows shows)
      : OneRequestHandler<Request>(incoming),
        caller_(services, incoming),
        hub_(hub),
        shows_(shows),
        grants_(caller_),
        reattestation_(services, caller_, incoming, *this) {}

 protected:
  using OneRequestHandler<Request>::call;

  // What the caller asks for; anything but OK ends the call before it is identified.
  virtual Status OnAsked(const Request&) { return OkStatus(); }
  // Those of the identities earned that were asked for. PermissionDenied when there are none.
  virtual Result<Entries> Choose(Entries earned) { return earned; }
  // Find out the newest state for `entries`, and Offer() it, at once or later.
  virtual void Refresh() = 0;
  const Entries& entries() const { return entries_; }
  Grants& grants() { return grants_; }
  // False: what is renewed is not for this stream yet; it may only be shown what it has (svids_in_hand.h).
  bool may_renew() const { return reattestation_.may_renew(); }
  // One of entries() is certainly not the caller's any more.
  bool HasLost() const { return caller_.HasLost(entries_); }

  // Sends what `make` returns, unless a message is on its way; then Refresh() is called once more after it.
  template <class Make>
  void Offer(Make make) {
    if (call().sending()) {
      stale_ = true;
      return;
    }
    grpc::ByteBuffer message = make();
    reattestation_.OnShown();
    call().Send(std::move(message), [this] {
      if (std::exchange(stale_, false)) Refresh();
    });
  }

 private:
  void OnRequest(Request request) final {
    if (Status asked = OnAsked(request); !asked.ok()) return call().Finish(asked);
    caller_.Identify([this](Result<Entries> entries) {
      if (!entries.ok()) return call().Finish(entries.status());
      subscription_ = hub_.Subscribe(shows_, [this](Update update) { OnUpdate(update); });
      reattestation_.Begin(*entries);
      Show(*std::move(entries));
    });
  }

  void OnUpdate(Update update) {
    if (update.registry) reattestation_.OnRegistryChange();
    if (update.svids) reattestation_.OnRenewal();
    if (subscription_ != nullptr && (update.bundle || update.token_keys)) Refresh();
  }

  void OnEarned(Entries earned) final {
    if (earned != entries_) caller_.Hold(earned);
    Show(std::move(earned));
  }

  void OnLost(const Status& why) final {
    subscription_.reset();
    call().Finish(why);
  }

  void Show(Entries earned) {
    Result<Entries> chosen = Choose(std::move(earned));
    if (!chosen.ok()) {
      caller_.RecordDenial(chosen.status());
      return OnLost(chosen.status());
    }
    if (*chosen != entries_) {
      entries_ = *std::move(chosen);
      grants_.KeepOnly(entries_);
      subscription_->SetInterest(entries_);
    }
    Refresh();
  }

  Caller caller_;
  UpdateHub& hub_;
  const Shows shows_;
  Grants grants_;
  Reattestation reattestation_;
  std::unique_ptr<UpdateHub::Subscription> subscription_;
  Entries entries_;
  bool stale_ = false;
};

}  // namespace lanyard
