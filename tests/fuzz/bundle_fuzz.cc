// A bundle document that is accepted survives being written and read again, holds CA certificates only, each of them
// written in the document, and never more than it has entries; its keys for tokens have an ID each, and are found by
// it.
#include <nlohmann/json.hpp>

#include <set>

#include "pki/base64.h"
#include "pki/bundle.h"
#include "pki/jwk.h"
#include "pki/jwk_set.h"
#include "tests/fuzz/fuzzing.h"

namespace lanyard {
namespace {

void CheckSame(const Bundle& a, const Bundle& b) {
  Require(a.SameAuthorities(b) && a.sequence_number() == b.sequence_number() && a.refresh_hint() == b.refresh_hint());
  Require(a.ToDocument() == b.ToDocument());
}

// The keys of one use, and the set that is handed out for them.
void CheckKeys(const std::vector<JwtAuthority>& authorities, const std::string& key_set, std::string_view use,
               auto find) {
  const auto document = nlohmann::json::parse(key_set, nullptr, false);
  Require(document.is_object() && document.size() == 1 && document["keys"].size() == authorities.size());
  for (size_t i = 0; i < authorities.size(); ++i) {
    Require(i == 0 || authorities[i - 1].key_id() < authorities[i].key_id());
    Require(find(authorities[i].key_id()) == &authorities[i]);
    const nlohmann::json& entry = document["keys"][i];
    Require(entry.at("kid") == authorities[i].key_id() && !entry.contains("use"));
  }
  const auto again = ParseJwkSet(key_set, use);
  Require(again.ok() && *again == authorities);
}

void CheckTokenKeys(const Bundle& bundle) {
  CheckKeys(bundle.jwt_authorities(), bundle.JwtKeySet(), kJwtUse,
            [&](const std::string& id) { return bundle.FindJwtAuthority(id); });
  CheckKeys(bundle.wit_authorities(), bundle.WitKeySet(), kWitUse,
            [&](const std::string& id) { return bundle.FindWitAuthority(id); });
  for (const JwtAuthority& authority : bundle.jwt_authorities()) {
    Require(bundle.FindWitAuthority(authority.key_id()) == nullptr);
  }
}

void CheckBundle(const Bundle& bundle, const TrustDomain& domain) {
  Require(bundle.trust_domain() == domain);
  const auto again = Bundle::ParseDocument(domain, bundle.ToDocument());
  Require(again.ok());
  CheckSame(*again, bundle);
  CheckTokenKeys(bundle);

  std::set<std::string> seen;
  std::string der;
  for (const Certificate& authority : bundle.x509_authorities()) {
    Require(authority.is_ca() && seen.insert(authority.der()).second);
    der += authority.der();
  }
  Require(bundle.X509Der() == der);
  if (der.empty()) return Require(bundle.X509Pem().empty());
  const auto from_der = Certificate::ListFromDer(der), from_pem = Certificate::ListFromPem(bundle.X509Pem());
  Require(from_der.ok() && *from_der == bundle.x509_authorities());
  Require(from_pem.ok() && *from_pem == bundle.x509_authorities());
}

void CheckDocument(std::string_view text, const TrustDomain& domain) {
  const auto bundle = Bundle::ParseDocument(domain, text);
  if (!bundle.ok()) return RequireTold(bundle.status(), StatusCode::kInvalidArgument);
  CheckBundle(*bundle, domain);
  CheckSame(*Bundle::ParseDocument(domain, text), *bundle);

  const auto document = nlohmann::json::parse(text, nullptr, false);
  Require(document.is_object() && document["keys"].is_array());
  std::set<std::string> written;
  for (const auto& entry : document["keys"]) {
    if (entry.value("use", nlohmann::json()) == "x509-svid" && entry.contains("x5c") && !entry["x5c"].empty())
      written.insert(entry["x5c"][0].get<std::string>());
  }
  Require(bundle->x509_authorities().size() <= written.size());
  Require(bundle->jwt_authorities().size() + bundle->wit_authorities().size() <= document["keys"].size());
  for (const Certificate& authority : bundle->x509_authorities())
    Require(written.contains(Base64Encode(authority.der())));
}

// The Workload API's form.
void CheckDer(std::string_view der, const TrustDomain& domain) {
  auto authorities = Certificate::ListFromDer(der);
  if (!authorities.ok()) return;
  const auto bundle = Bundle::Create(domain, *authorities, {.sequence_number = der.size()});
  if (!bundle.ok()) return RequireTold(bundle.status(), StatusCode::kInvalidArgument);
  std::erase_if(*authorities, [](const Certificate& one) {  // a document cannot name these
    const auto key = one.public_key();
    return !key.ok() || !JwkMembersOf(*key).ok();
  });
  const auto named = Bundle::Create(domain, *std::move(authorities), {.sequence_number = der.size()});
  Require(named.ok() && named->ToDocument() == bundle->ToDocument());
  CheckBundle(*named, domain);
}

}  // namespace
}  // namespace lanyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto domain = lanyard::TrustDomain::Parse("example.org").value();
  lanyard::CheckDocument(lanyard::AsText(data, size), domain);
  lanyard::CheckDer(lanyard::AsText(data, size), domain);
  return 0;
}
