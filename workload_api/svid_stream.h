// What the streams of SVIDs have in common: one for each identity of the caller, made where there is none, put on
// record as given to this caller, and shown all together.
//
// The first message comes when every one of them is there: Unavailable when one cannot be issued, or expires before all
// are on record. Later the stream stays open and goes on with those that can.
//
// Lifetime and thread: as attested_stream.h.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "node_agent/base/log.h"
#include "workload_api/attested_stream.h"
#include "workload_api/response_share.h"
#include "workload_api/svids_in_hand.h"
#include "workload_api/workload_service.h"

namespace lanyard {

// `Kind` is one of svid_kinds.h.
template <class Request, class Kind>
class SvidStream : public AttestedStream<Request> {
 public:
  using CachedPtr = typename Kind::CachedPtr;

  SvidStream(Call& incoming, WorkloadServices& services, EntrySvidCache<Kind>& svids, Shows shows)
      : AttestedStream<Request>(incoming, services.caller, services.hub, shows), services_(services), svids_(svids) {}

 protected:
  using AttestedStream<Request>::call;

  // Whether what goes with the SVIDs is there; if not, the call may have been finished.
  virtual bool Ready() { return true; }
  // `svids` are on record as given to the caller, in the order of the registry; there is at least one.
  virtual void Present(const std::vector<CachedPtr>& svids) = 0;

  // Sends what `make` returns, unless a message that says the same was sent last. `kept` as in response_share.h.
  template <class Make>
  void Send(const ResponseShare::Key& key, const std::vector<CachedPtr>& svids, std::shared_ptr<const void> kept,
            Make make) {
    if (key == last_sent_) return;
    this->Offer([&] {
      last_sent_ = key;
      kept_ = kept;
      in_hand_.Shown(svids);
      return services_.responses.Get(key, std::move(kept), make);
    });
  }

  bool shown_anything() const { return !last_sent_.empty(); }
  WorkloadServices& services() { return services_; }

 private:
  void Refresh() final {
    ++round_;
    missing_ = 0;
    for (const EntryPtr& entry : this->entries()) {
      if (svids_.Peek(entry) == nullptr) ++missing_;
    }
    if (missing_ == 0) return Push();
    for (const EntryPtr& entry : this->entries()) {
      if (svids_.Peek(entry) != nullptr) continue;
      svids_.Get(entry, [alive = std::weak_ptr<SvidStream*>(self_), round = round_](Result<CachedPtr> svid) {
        if (auto stream = alive.lock()) (*stream)->OnSvid(round, svid.status());
      });
    }
  }

  void OnSvid(uint64_t round, const Status& status) {
    if (round != round_) return;  // another Refresh has begun since
    if (!status.ok() && !shown_anything()) {
      ++round_;
      return call().Finish(Annotate(status, "issue {}", Kind::kName));
    }
    if (--missing_ == 0) Push();
  }

  // Shows what is on record as given to this caller; what is not yet is put there, and shown afterwards.
  void Push() {
    // Signature and record take as long as pool and disk take. What the registry has taken away since is not shown: the
    // change has asked for another look.
    if (this->HasLost() || !Ready()) return;
    std::vector<CachedPtr> svids, unrecorded;
    for (const EntryPtr& entry : this->entries()) {
      CachedPtr svid = in_hand_.ToShow(entry, svids_.Peek(entry), this->may_renew(), services_.caller.clock.WallNow());
      if (svid == nullptr && !shown_anything()) {
        return call().Finish(
            Error(StatusCode::kUnavailable, "issue {}: {}", Kind::kName, services_.source.health().text));
      }
      if (svid == nullptr) {
        LANYARD_LOG_WARN("cannot renew {} for pid {}: {}", entry->id.str(), call().connection()->peer.process->pid(),
                         services_.source.health().text);
      } else {
        (this->grants().Has(entry) ? svids : unrecorded).push_back(std::move(svid));
      }
    }
    if (!unrecorded.empty()) {
      Record(unrecorded);
      if (!shown_anything()) return;  // the first message has everything
    }
    if (!svids.empty()) Present(svids);
  }

  void Record(const std::vector<CachedPtr>& svids) {
    if (this->grants().recording()) return;
    std::vector<Granted> granted;
    for (const CachedPtr& svid : svids) granted.push_back({svid->entry, Kind::Serial(svid->svid), svid->not_after()});
    this->grants().Add(granted, [this](const Status& status) {
      if (status.ok()) return Push();
      if (!shown_anything()) return call().Finish(status);
      LANYARD_LOG_WARN("a stream of pid {} goes on without its new entries: {}",
                       call().connection()->peer.process->pid(), Message(status));
    });
  }

  std::optional<WallTime> InHandUntil() const final { return in_hand_.Until(); }

  WorkloadServices& services_;
  EntrySvidCache<Kind>& svids_;
  SvidsInHand<CachedPtr> in_hand_;
  uint64_t round_ = 0;
  size_t missing_ = 0;
  ResponseShare::Key last_sent_;
  std::shared_ptr<const void> kept_;  // its address is in last_sent_
  std::shared_ptr<SvidStream*> self_ = std::make_shared<SvidStream*>(this);
};

}  // namespace lanyard
