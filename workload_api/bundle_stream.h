// What the streams of bundles have in common: it is put on record once that the caller is given bundles, and equal ones
// are never sent twice in a row.
//
// Lifetime and thread: as attested_stream.h.
#pragma once

#include <memory>
#include <utility>

#include "workload_api/attested_stream.h"
#include "workload_api/response_share.h"
#include "workload_api/workload_service.h"

namespace lanyard {

template <class Request>
class BundleStream : public AttestedStream<Request> {
 public:
  BundleStream(Call& incoming, WorkloadServices& services, Shows shows)
      : AttestedStream<Request>(incoming, services.caller, services.hub, shows), services_(services) {}

 protected:
  using AttestedStream<Request>::call;

  // False: it is being put on record; then Refresh() is called again, or the call is over.
  bool IsRecorded() {
    if (recorded_ || this->grants().recording()) return recorded_;
    this->grants().AddUnnamed([this](const Status& status) {
      if (!status.ok()) return call().Finish(status);
      recorded_ = true;
      this->Refresh();
    });
    return false;
  }

  // Sends what `make` returns, unless a message that says the same was sent last. The address of `own` is in `key`.
  template <class Make>
  void Send(const ResponseShare::Key& key, const std::shared_ptr<const Bundle>& own, Make make) {
    if (key == last_sent_) return;
    this->Offer([&] {
      last_sent_ = key;
      shown_ = own;
      return services_.responses.Get(key, own, make);
    });
  }

  bool shown_anything() const { return shown_ != nullptr; }
  // The own bundle of the last message; null before the first.
  const std::shared_ptr<const Bundle>& shown() const { return shown_; }
  WorkloadServices& services() { return services_; }

 private:
  WorkloadServices& services_;
  bool recorded_ = false;
  ResponseShare::Key last_sent_;
  std::shared_ptr<const Bundle> shown_;  // its address is in last_sent_
};

}  // namespace lanyard
