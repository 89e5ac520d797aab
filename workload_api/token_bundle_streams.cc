#include "workload_api/token_bundle_streams.h"

#include <string>
#include <utility>

#include "workload_api/attested_stream.h"
#include "workload_api/federated.h"
#include "workload_api/proto/workloadapi.pb.h"
#include "workload_api/response_share.h"

namespace lanyard {
namespace {

struct JwtBundles {
  using Request = JWTBundlesRequest;
  using Response = JWTBundlesResponse;
  static constexpr SvidKind kKind = SvidKind::kJwt;
  static constexpr ResponseShare::Kind kResponse = ResponseShare::kJwtBundles;
  static bool HasKeys(const Bundle& bundle) { return !bundle.jwt_authorities().empty(); }
  static const std::string& KeysOf(const Bundle& bundle) { return bundle.JwtKeySet(); }
};

struct WitBundles {
  using Request = WITBundlesRequest;
  using Response = WITBundlesResponse;
  static constexpr SvidKind kKind = SvidKind::kWit;
  static constexpr ResponseShare::Kind kResponse = ResponseShare::kWitBundles;
  static bool HasKeys(const Bundle& bundle) { return !bundle.wit_authorities().empty(); }
  static const std::string& KeysOf(const Bundle& bundle) { return bundle.WitKeySet(); }
};

template <class Bundles>
class TokenBundleStream : public AttestedStream<typename Bundles::Request> {
 public:
  TokenBundleStream(Call& incoming, WorkloadServices& services)
      : AttestedStream<typename Bundles::Request>(incoming, services.caller, services.hub, Shows::kTokenBundles),
        services_(services) {}

 private:
  using AttestedStream<typename Bundles::Request>::call;

  void Refresh() override {
    std::shared_ptr<const Bundle> bundle = services_.source.bundle();
    if (bundle == nullptr || !Bundles::HasKeys(*bundle))
      return call().Finish(NoTokenKeys(services_.source, Bundles::kKind));
    if (!recorded_) return Record();
    // Another bundle with the same keys is no news.
    if (shown_ != nullptr && Bundles::KeysOf(*shown_) == Bundles::KeysOf(*bundle)) bundle = shown_;
    const Federated federated = FederatedOf(this->entries(), services_.foreign, Bundles::kKind);
    ResponseShare::Key key{Bundles::kResponse, reinterpret_cast<uintptr_t>(bundle.get())};
    key.insert(key.end(), federated.versions.begin(), federated.versions.end());
    if (key == last_sent_) return;
    this->Offer([&] {
      last_sent_ = key;
      shown_ = bundle;
      return services_.responses.Get(key, bundle, [&] { return Serialize(*bundle, federated); });
    });
  }

  static grpc::ByteBuffer Serialize(const Bundle& own, const Federated& federated) {
    typename Bundles::Response response;
    (*response.mutable_bundles())[own.trust_domain().id()] = Bundles::KeysOf(own);
    for (const Bundle& foreign : federated.bundles)
      (*response.mutable_bundles())[foreign.trust_domain().id()] = Bundles::KeysOf(foreign);
    return SerializeShared(response);
  }

  void Record() {
    if (this->grants().recording()) return;
    this->grants().AddUnnamed([this](const Status& status) {
      if (!status.ok()) return call().Finish(status);
      recorded_ = true;
      Refresh();
    });
  }

  WorkloadServices& services_;
  bool recorded_ = false;
  ResponseShare::Key last_sent_;
  std::shared_ptr<const Bundle> shown_;  // its address is in last_sent_
};

}  // namespace

std::unique_ptr<CallHandler> MakeJwtBundleStream(Call& call, WorkloadServices& services) {
  return std::make_unique<TokenBundleStream<JwtBundles>>(call, services);
}

std::unique_ptr<CallHandler> MakeWitBundleStream(Call& call, WorkloadServices& services) {
  return std::make_unique<TokenBundleStream<WitBundles>>(call, services);
}

Status NoTokenKeys(const IdentitySource& source, SvidKind kind) {
  const std::string_view what = kind == SvidKind::kJwt ? "JWT-SVIDs" : "WIT-SVIDs";
  return Error(StatusCode::kUnavailable, "there are no keys for {}: {}", what, source.health().text);
}

}  // namespace lanyard
