#include "workload_api/client/fetched.h"

#include <string_view>
#include <utility>

#include "node_agent/base/printable.h"
#include "pki/secret_bytes.h"
#include "pki/verifier.h"
#include "workload_api/client/fetched_bundles.h"
#include "workload_api/proto/workloadapi.pb.h"

namespace lanyard {
namespace {

Result<Bundle> ReadBundle(const TrustDomain& trust_domain, std::string_view der) {
  std::vector<Certificate> authorities;
  if (!der.empty()) {
    ASSIGN_OR_RETURN(authorities, Certificate::ListFromDer(der));
  }
  return Bundle::Create(trust_domain, std::move(authorities));
}

template <class Response>
Result<std::vector<Crl>> ReadCrls(const Response& response) {
  std::vector<Crl> crls;
  for (const std::string& der : response.crl()) {
    Result<Crl> crl = Crl::FromDer(der);
    if (!crl.ok()) return Annotate(crl.status(), "the agent's answer: revocation list {}", crls.size() + 1);
    crls.push_back(*std::move(crl));
  }
  return crls;
}

Result<FetchedSvid> ReadSvid(const X509SVID& message, std::chrono::system_clock::time_point now) {
  ASSIGN_OR_RETURN(const SpiffeId id, SpiffeId::Parse(message.spiffe_id()));
  ASSIGN_OR_RETURN(std::vector<Certificate> chain, Certificate::ListFromDer(message.x509_svid()));
  ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::FromPkcs8Der(message.x509_svid_key()));
  ASSIGN_OR_RETURN(X509Svid svid, X509Svid::Create(std::move(chain), std::move(key)));
  if (svid.id() != id) {
    return Error(StatusCode::kInvalidArgument, "the certificate is for {}", svid.id().str());
  }
  ASSIGN_OR_RETURN(Bundle bundle, ReadBundle(id.trust_domain(), message.bundle()));
  RETURN_IF_ERROR(VerifyX509Svid(svid.chain(), BundleSet({bundle}), now).status());
  return FetchedSvid{std::move(svid), std::move(bundle), message.hint()};
}

}  // namespace

Result<FetchedSvids> CheckSvids(const X509SVIDResponse& response, std::chrono::system_clock::time_point now) {
  if (response.svids().empty()) return Error(StatusCode::kInvalidArgument, "the agent's answer has no SVID in it");
  FetchedSvids fetched;
  for (const X509SVID& message : response.svids()) {
    Result<FetchedSvid> svid = ReadSvid(message, now);
    if (!svid.ok()) return Annotate(svid.status(), "the agent's answer: SVID \"{}\"", Printable(message.spiffe_id()));
    fetched.svids.push_back(*std::move(svid));
  }
  Result<BundleSet> federated = ReadBundles(response.federated_bundles(), ReadBundle);
  if (!federated.ok()) return Annotate(federated.status(), "the agent's answer");
  fetched.federated = *std::move(federated);
  ASSIGN_OR_RETURN(fetched.crls, ReadCrls(response));
  return fetched;
}

void WipeKeys(X509SVIDResponse& response) {
  for (X509SVID& svid : *response.mutable_svids())
    WipeMemory(svid.mutable_x509_svid_key()->data(), svid.x509_svid_key().size());
}

Result<BundleSet> CheckBundles(const X509BundlesResponse& response) {
  return ReadBundleAnswer(response.bundles(), ReadBundle);
}

Result<std::vector<Crl>> CheckCrls(const X509BundlesResponse& response) {
  return ReadCrls(response);
}

}  // namespace lanyard
