#include "workload_api/wit_stream.h"

#include <string>
#include <utility>
#include <vector>

#include "pki/secret_bytes.h"
#include "workload_api/asked_identity.h"
#include "workload_api/proto/workloadapi.pb.h"
#include "workload_api/svid_stream.h"

namespace lanyard {
namespace {

grpc::ByteBuffer Serialize(const std::vector<CachedWitSvidPtr>& svids) {
  WITSVIDResponse response;
  for (const CachedWitSvidPtr& cached : svids) {
    ::WITSVID& svid = *response.add_svids();
    svid.set_spiffe_id(cached->svid.id().str());
    svid.set_wit_svid(cached->svid.token());
    svid.set_wit_svid_key(std::string(cached->key_jwk.expose()));
    svid.set_hint(cached->entry->hint);
  }
  grpc::ByteBuffer bytes = SerializeShared(response);
  for (::WITSVID& svid : *response.mutable_svids()) {
    std::string& key = *svid.mutable_wit_svid_key();
    WipeMemory(key.data(), key.size());
  }
  return bytes;
}

class WitSvidStream : public SvidStream<WITSVIDRequest, WitKind> {
 public:
  WitSvidStream(Call& incoming, WorkloadServices& services)
      : SvidStream(incoming, services, services.wits, Shows::kWitSvids) {}

 private:
  Status OnAsked(const WITSVIDRequest& request) override {
    ASSIGN_OR_RETURN(asked_, AskedIdentity::Parse(request.spiffe_id()));
    return OkStatus();
  }
  Result<Entries> Choose(Entries earned) override { return asked_.Among(std::move(earned)); }

  void Present(const std::vector<CachedWitSvidPtr>& svids) override {
    ResponseShare::Key key{ResponseShare::kWitSvids};
    for (const CachedWitSvidPtr& svid : svids) key.push_back(svid->version);
    Send(key, svids, nullptr, [&] { return Serialize(svids); });
  }

  AskedIdentity asked_;
};

}  // namespace

std::unique_ptr<CallHandler> MakeWitSvidStream(Call& call, WorkloadServices& services) {
  return std::make_unique<WitSvidStream>(call, services);
}

}  // namespace lanyard
