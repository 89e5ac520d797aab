#include "workload_api/token_bundle_streams.h"

#include <string>
#include <utility>

#include "node_agent/identity/bundle_keys.h"
#include "workload_api/bundle_stream.h"
#include "workload_api/federated.h"
#include "workload_api/proto/workloadapi.pb.h"

namespace lanyard {
namespace {

struct JwtBundles {
  using Request = JWTBundlesRequest;
  using Response = JWTBundlesResponse;
  static constexpr SvidKind kKind = SvidKind::kJwt;
  static constexpr ResponseShare::Kind kResponse = ResponseShare::kJwtBundles;
};

struct WitBundles {
  using Request = WITBundlesRequest;
  using Response = WITBundlesResponse;
  static constexpr SvidKind kKind = SvidKind::kWit;
  static constexpr ResponseShare::Kind kResponse = ResponseShare::kWitBundles;
};

template <class Bundles>
class TokenBundleStream : public BundleStream<typename Bundles::Request> {
 public:
  TokenBundleStream(Call& incoming, WorkloadServices& services)
      : BundleStream<typename Bundles::Request>(incoming, services, Shows::kTokenBundles) {}

 private:
  void Refresh() override {
    std::shared_ptr<const Bundle> bundle = this->services().source.bundle();
    if (bundle == nullptr || !HasKeys(*bundle, Bundles::kKind))
      return this->call().Finish(NoTokenKeys(this->services().source, Bundles::kKind));
    if (!this->IsRecorded()) return;
    // Another bundle with the same keys is no news.
    if (this->shown_anything() && KeysOf(*this->shown(), Bundles::kKind) == KeysOf(*bundle, Bundles::kKind))
      bundle = this->shown();
    const Federated federated = FederatedOf(this->entries(), this->services().foreign, Bundles::kKind);
    ResponseShare::Key key{Bundles::kResponse, reinterpret_cast<uintptr_t>(bundle.get())};
    key.insert(key.end(), federated.versions.begin(), federated.versions.end());
    this->Send(key, bundle, [&] { return Serialize(*bundle, federated); });
  }

  static grpc::ByteBuffer Serialize(const Bundle& own, const Federated& federated) {
    typename Bundles::Response response;
    (*response.mutable_bundles())[own.trust_domain().id()] = KeysOf(own, Bundles::kKind);
    for (const Bundle& foreign : federated.bundles)
      (*response.mutable_bundles())[foreign.trust_domain().id()] = KeysOf(foreign, Bundles::kKind);
    return SerializeShared(response);
  }
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
