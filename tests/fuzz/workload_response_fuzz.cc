// What a client of the Workload API is sent: an answer is believed exactly when its parts belong together. Each part of
// an answer is the right one, one that is right elsewhere, or the input's bytes, and only the whole of right ones (or
// bytes that happen to be them) is taken. The raw bytes are read as whole answers, too.
#include <vector>

#include "pki/issuer.h"
#include "pki/root.h"
#include "tests/fuzz/fuzzing.h"
#include "workload_api/client/fetched.h"
#include "workload_api/proto/workloadapi.pb.h"

namespace lanyard {
namespace {

using std::chrono::seconds;
using TimePoint = std::chrono::system_clock::time_point;

const TimePoint kNow{seconds(1'700'000'000)};

struct Party {
  std::string id, chain, key, bundle, crl;

  static Party Make(const std::string& domain) {
    const TrustDomain trust_domain = TrustDomain::Parse(domain).value();
    const SelfSignedCa root =
        MakeRootCa(trust_domain, KeyType::kEcP256, kNow - seconds(1000), kNow + seconds(1'000'000)).value();
    const X509Svid svid = Issuer::Create({root.certificate}, root.key)
                              .value()
                              .IssueLeaf({.id = SpiffeId::FromTrustDomainAndPath(trust_domain, "/bot").value(),
                                          .dns_names = {},
                                          .not_before = kNow - seconds(10),
                                          .not_after = kNow + seconds(3600)})
                              .value();
    const CrlContent content{
        .number = 1, .this_update = kNow - seconds(60), .next_update = kNow + seconds(3600), .revoked = {}};
    return {svid.id().str(), svid.ChainDer(), std::string(svid.key().ToPkcs8Der().value().expose()),
            root.certificate.der(), Crl::Sign(content, root.certificate, root.key).value().der()};
  }
};

void CheckAccepted(const FetchedSvids& fetched) {
  Require(!fetched.svids.empty());
  for (const FetchedSvid& one : fetched.svids) {
    Require(one.svid.id().MemberOf(one.bundle.trust_domain()));
    const auto certified = one.svid.leaf().public_key();
    Require(certified.ok() && certified->SameAs(one.svid.key().public_key()));
    Require(one.svid.not_before() <= kNow && kNow <= one.svid.not_after());
  }
}

void CheckRaw(std::string_view bytes) {
  X509SVIDResponse svids;
  if (svids.ParseFromString(std::string(bytes))) {
    const auto fetched = CheckSvids(svids, kNow);
    if (fetched.ok()) {
      CheckAccepted(*fetched);
    } else {
      RequireTold(fetched.status());
    }
  }
  X509BundlesResponse bundles;
  if (bundles.ParseFromString(std::string(bytes))) {
    const auto set = CheckBundles(bundles);
    if (set.ok()) {
      Require(set->all().size() <= static_cast<size_t>(bundles.bundles().size()) && !set->all().empty());
    } else {
      RequireTold(set.status(), StatusCode::kInvalidArgument);
    }
    const auto crls = CheckCrls(bundles);
    Require(!crls.ok() || crls->size() == static_cast<size_t>(bundles.crl_size()));
    if (!crls.ok()) RequireTold(crls.status(), StatusCode::kInvalidArgument);
  }
}

void CheckParts(FuzzInput input) {
  static const std::vector<Party> parties = {Party::Make("example.org"), Party::Make("other.org")};
  X509SVIDResponse response;
  bool right = true;
  for (int64_t i = input.Number(0, 2); i >= 0; --i) {
    const auto whose = static_cast<size_t>(input.Number(0, 1));
    const Party& own = parties[whose];
    const Party& other = parties[1 - whose];
    const auto pick = [&](std::string Party::*part) {
      switch (input.Number(0, 5)) {
        case 0:
          return other.*part;
        case 1:
          return input.Text(500);
        default:
          return own.*part;
      }
    };
    X509SVID& svid = *response.add_svids();
    svid.set_spiffe_id(pick(&Party::id));
    svid.set_x509_svid(pick(&Party::chain));
    svid.set_x509_svid_key(pick(&Party::key));
    svid.set_bundle(pick(&Party::bundle));
    const auto is_of = [&](const Party& party) {
      return svid.spiffe_id() == party.id && svid.x509_svid() == party.chain && svid.x509_svid_key() == party.key &&
             svid.bundle() == party.bundle;
    };
    right = right && (is_of(own) || is_of(other));
  }
  if (input.Flag()) {
    const std::string id = input.Flag() ? parties[1].id : input.Text(100);
    (*response.mutable_federated_bundles())[id] = parties[1].bundle;
    right = right && TrustDomain::Parse(id).ok();
  }
  for (int64_t i = input.Number(0, 2); i > 0; --i) {
    response.add_crl(input.Flag() ? parties[0].crl : input.Text(500));
    right = right && Crl::FromDer(response.crl(response.crl_size() - 1)).ok();
  }
  const auto fetched = CheckSvids(response, kNow);
  Require(fetched.ok() == right);
  if (!fetched.ok()) return RequireTold(fetched.status());
  CheckAccepted(*fetched);
  Require(!CheckSvids(response, kNow + seconds(4000)).ok());  // expired
}

}  // namespace
}  // namespace lanyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lanyard::CheckRaw(lanyard::AsText(data, size));
  lanyard::CheckParts(lanyard::FuzzInput(data, size));
  return 0;
}
