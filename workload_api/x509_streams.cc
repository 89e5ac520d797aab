#include "workload_api/x509_streams.h"

#include <vector>

#include "workload_api/bundle_stream.h"
#include "workload_api/federated.h"
#include "workload_api/proto/workloadapi.pb.h"
#include "workload_api/svid_stream.h"

namespace lanyard {
namespace {

Status NoBundle(const IdentitySource& source) {
  return Error(StatusCode::kUnavailable, "the trust bundle is not there yet: {}", source.health().text);
}

grpc::ByteBuffer SerializeSvids(const std::vector<CachedSvidPtr>& svids, const Bundle& bundle,
                                const Federated& federated, const CrlSet& crls) {
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

class X509SvidStream : public SvidStream<X509SVIDRequest, X509Kind> {
 public:
  X509SvidStream(Call& incoming, WorkloadServices& services)
      : SvidStream(incoming, services, services.svids, Shows::kX509Svids) {}

 private:
  // Never a bundle without the lists that go with it: verifiers would not check at all, or refuse everybody.
  bool Ready() override {
    bundle_ = services().source.bundle();
    if (bundle_ == nullptr) {
      if (!shown_anything()) call().Finish(NoBundle(services().source));
      return false;
    }
    const Result<CrlSetPtr> crls = services().crls.Current();
    if (!crls.ok() && !shown_anything()) call().Finish(crls.status());
    if (!crls.ok() || *crls == nullptr) return false;  // being signed: the hub calls again
    crls_ = *crls;
    return true;
  }

  void Present(const std::vector<CachedSvidPtr>& svids) override {
    // The number of SVIDs is in it so that no version of a bundle is ever taken for one of an SVID.
    ResponseShare::Key key{ResponseShare::kX509Svids, reinterpret_cast<uintptr_t>(bundle_.get()), svids.size(),
                           crls_->version};
    Entries shown;
    for (const CachedSvidPtr& svid : svids) {
      key.push_back(svid->version);
      shown.push_back(svid->entry);
    }
    const Federated federated = FederatedOf(shown, services().foreign, SvidKind::kX509);
    key.insert(key.end(), federated.versions.begin(), federated.versions.end());
    Send(key, svids, bundle_, [&] { return SerializeSvids(svids, *bundle_, federated, *crls_); });
  }

  std::shared_ptr<const Bundle> bundle_;  // of the last Ready(), as is
  CrlSetPtr crls_;
};

grpc::ByteBuffer SerializeBundles(const Bundle& bundle, const Federated& federated, const CrlSet& crls) {
  X509BundlesResponse response;
  for (const std::string& list : crls.lists) response.add_crl(list);
  (*response.mutable_bundles())[bundle.trust_domain().id()] = bundle.X509Der();
  for (const Bundle& foreign : federated.bundles)
    (*response.mutable_bundles())[foreign.trust_domain().id()] = foreign.X509Der();
  return SerializeShared(response);
}

class X509BundleStream : public BundleStream<X509BundlesRequest> {
 public:
  X509BundleStream(Call& incoming, WorkloadServices& services)
      : BundleStream(incoming, services, Shows::kX509Bundles) {}

 private:
  void Refresh() override {
    const std::shared_ptr<const Bundle> bundle = services().source.bundle();
    if (bundle == nullptr) {
      if (!shown_anything()) call().Finish(NoBundle(services().source));
      return;
    }
    if (!IsRecorded()) return;
    const Result<CrlSetPtr> crls = services().crls.Current();
    if (!crls.ok() && !shown_anything()) return call().Finish(crls.status());
    if (!crls.ok() || *crls == nullptr) return;  // being signed: the hub calls again
    const Federated federated = FederatedOf(entries(), services().foreign, SvidKind::kX509);
    ResponseShare::Key key{ResponseShare::kX509Bundles, reinterpret_cast<uintptr_t>(bundle.get()), (*crls)->version};
    key.insert(key.end(), federated.versions.begin(), federated.versions.end());
    Send(key, bundle, [&] { return SerializeBundles(*bundle, federated, **crls); });
  }
};

}  // namespace

std::unique_ptr<CallHandler> MakeX509SvidStream(Call& call, WorkloadServices& services) {
  return std::make_unique<X509SvidStream>(call, services);
}

std::unique_ptr<CallHandler> MakeX509BundleStream(Call& call, WorkloadServices& services) {
  return std::make_unique<X509BundleStream>(call, services);
}

}  // namespace lanyard
