#include "workload_api/x509_streams.h"

#include <vector>

#include "node_agent/base/log.h"
#include "workload_api/attested_stream.h"
#include "workload_api/federated.h"
#include "workload_api/proto/workloadapi.pb.h"
#include "workload_api/svids_in_hand.h"

namespace lanyard {
namespace {

Status NoBundle(const IdentitySource& source) {
  return Error(StatusCode::kUnavailable, "the trust bundle is not there yet: {}", source.health().text);
}

// First in the key of a shared response: what the numbers after it mean.
enum ResponseKind : uint64_t { kSvids, kBundles };

grpc::ByteBuffer SerializeSvids(const std::vector<CachedSvidPtr>& svids, const Bundle& bundle,
                                const FederatedX509& federated, const CrlSet& crls) {
  X509SVIDResponse response;
  for (const std::string& list : crls.lists) response.add_crl(list);
  for (const Bundle& foreign : federated.bundles)
    (*response.mutable_federated_bundles())[foreign.trust_domain().id()] = foreign.X509Der();
  for (const CachedSvidPtr& cached : svids) {
    ::X509SVID& svid = *response.add_svids();
    svid.set_spiffe_id(cached->svid.id().str());
    svid.set_x509_svid(cached->chain_der);
    svid.set_x509_svid_key(std::string(cached->key_pkcs8.expose()));
    svid.set_bundle(bundle.X509Der());
    svid.set_hint(cached->entry->hint);
  }
  grpc::ByteBuffer bytes = SerializeShared(response);
  for (::X509SVID& svid : *response.mutable_svids()) {
    std::string& key = *svid.mutable_x509_svid_key();
    WipeMemory(key.data(), key.size());
  }
  return bytes;
}

class X509SvidStream : public AttestedStream<X509SVIDRequest> {
 public:
  X509SvidStream(Call& call, WorkloadServices& services)
      : AttestedStream(call, services.caller, services.hub), services_(services) {}

 private:
  void Refresh() override {
    ++round_;
    missing_ = 0;
    for (const EntryPtr& entry : entries()) {
      if (services_.svids.Peek(entry) == nullptr) ++missing_;
    }
    if (missing_ == 0) return Push();
    for (const EntryPtr& entry : entries()) {
      if (services_.svids.Peek(entry) != nullptr) continue;
      services_.svids.Get(entry,
                          [alive = std::weak_ptr<X509SvidStream*>(self_), round = round_](Result<CachedSvidPtr> svid) {
                            if (auto stream = alive.lock()) (*stream)->OnSvid(round, svid.status());
                          });
    }
  }

  void OnSvid(uint64_t round, const Status& status) {
    if (round != round_) return;  // another Refresh has begun since
    if (!status.ok() && last_sent_.empty()) {
      ++round_;
      return call().Finish(Annotate(status, "issue an X.509-SVID"));
    }
    if (--missing_ == 0) Push();
  }

  // Shows what is on record as given to this caller; what is not yet is put there, and shown afterwards. Never a bundle
  // without the lists that go with it: verifiers would not check at all, or refuse everybody.
  void Push() {
    const std::shared_ptr<const Bundle> bundle = services_.source.bundle();
    if (bundle == nullptr) {
      if (last_sent_.empty()) call().Finish(NoBundle(services_.source));
      return;
    }
    const Result<CrlSetPtr> crls = services_.crls.Current();
    if (!crls.ok() && last_sent_.empty()) return call().Finish(crls.status());
    if (!crls.ok() || *crls == nullptr) return;  // being signed: the hub calls again
    std::vector<CachedSvidPtr> svids, unrecorded;
    Entries shown;
    ResponseShare::Key key{kSvids, reinterpret_cast<uintptr_t>(bundle.get()), 0, (*crls)->version};
    for (const EntryPtr& entry : entries()) {
      CachedSvidPtr svid =
          in_hand_.ToShow(entry, services_.svids.Peek(entry), may_renew(), services_.caller.clock.WallNow());
      if (svid == nullptr) {
        LANYARD_LOG_WARN("cannot renew {} for pid {}: {}", entry->id.str(), call().connection()->peer.process->pid(),
                         services_.source.health().text);
      } else if (!grants().Has(entry)) {
        unrecorded.push_back(std::move(svid));
      } else {
        key.push_back(svid->version);
        shown.push_back(entry);
        svids.push_back(std::move(svid));
      }
    }
    if (!unrecorded.empty()) {
      Record(unrecorded);
      if (last_sent_.empty()) return;  // the first message has everything
    }
    const FederatedX509 federated = FederatedX509Of(shown, services_.foreign);
    key[2] = svids.size();  // so that no version of a bundle is ever taken for one of an SVID
    key.insert(key.end(), federated.versions.begin(), federated.versions.end());
    if (svids.empty() || key == last_sent_) return;
    Offer([&] {
      last_sent_ = key;
      shown_bundle_ = bundle;
      in_hand_.Shown(svids);
      return services_.responses.Get(key, bundle, [&] { return SerializeSvids(svids, *bundle, federated, **crls); });
    });
  }

  void Record(const std::vector<CachedSvidPtr>& svids) {
    if (grants().recording()) return;
    grants().Add(svids, [this](const Status& status) {
      if (status.ok()) return Push();
      if (last_sent_.empty()) return call().Finish(status);
      LANYARD_LOG_WARN("a stream of pid {} goes on without its new entries: {}",
                       call().connection()->peer.process->pid(), Message(status));
    });
  }

  std::optional<WallTime> InHandUntil() const override { return in_hand_.Until(); }

  WorkloadServices& services_;
  SvidsInHand in_hand_;
  uint64_t round_ = 0;
  size_t missing_ = 0;
  ResponseShare::Key last_sent_;
  std::shared_ptr<const Bundle> shown_bundle_;  // its address is in last_sent_
  std::shared_ptr<X509SvidStream*> self_ = std::make_shared<X509SvidStream*>(this);
};

grpc::ByteBuffer SerializeBundles(const Bundle& bundle, const FederatedX509& federated, const CrlSet& crls) {
  X509BundlesResponse response;
  for (const std::string& list : crls.lists) response.add_crl(list);
  (*response.mutable_bundles())[bundle.trust_domain().id()] = bundle.X509Der();
  for (const Bundle& foreign : federated.bundles)
    (*response.mutable_bundles())[foreign.trust_domain().id()] = foreign.X509Der();
  return SerializeShared(response);
}

class X509BundleStream : public AttestedStream<X509BundlesRequest> {
 public:
  X509BundleStream(Call& call, WorkloadServices& services)
      : AttestedStream(call, services.caller, services.hub), services_(services) {}

 private:
  void Refresh() override {
    const std::shared_ptr<const Bundle> bundle = services_.source.bundle();
    if (bundle == nullptr) {
      if (last_sent_.empty()) call().Finish(NoBundle(services_.source));
      return;
    }
    if (!recorded_) return Record();
    const Result<CrlSetPtr> crls = services_.crls.Current();
    if (!crls.ok() && last_sent_.empty()) return call().Finish(crls.status());
    if (!crls.ok() || *crls == nullptr) return;  // being signed: the hub calls again
    const FederatedX509 federated = FederatedX509Of(entries(), services_.foreign);
    ResponseShare::Key key{kBundles, reinterpret_cast<uintptr_t>(bundle.get()), (*crls)->version};
    key.insert(key.end(), federated.versions.begin(), federated.versions.end());
    if (key == last_sent_) return;
    Offer([&] {
      last_sent_ = key;
      shown_bundle_ = bundle;
      return services_.responses.Get(key, bundle, [&] { return SerializeBundles(*bundle, federated, **crls); });
    });
  }

  void Record() {
    if (grants().recording()) return;
    grants().AddUnnamed([this](const Status& status) {
      if (!status.ok()) return call().Finish(status);
      recorded_ = true;
      Refresh();
    });
  }

  WorkloadServices& services_;
  bool recorded_ = false;
  ResponseShare::Key last_sent_;
  std::shared_ptr<const Bundle> shown_bundle_;  // its address is in last_sent_
};

}  // namespace

std::unique_ptr<CallHandler> MakeX509SvidStream(Call& call, WorkloadServices& services) {
  return std::make_unique<X509SvidStream>(call, services);
}

std::unique_ptr<CallHandler> MakeX509BundleStream(Call& call, WorkloadServices& services) {
  return std::make_unique<X509BundleStream>(call, services);
}

}  // namespace lanyard
