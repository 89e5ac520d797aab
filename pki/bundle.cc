#include "pki/bundle.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "pki/base64.h"
#include "pki/jwk.h"
#include "pki/jwk_set.h"
#include "pki/strict_json.h"

namespace lanyard {
namespace {

constexpr std::string_view kX509Use = "x509-svid";
constexpr std::chrono::seconds kMaxRefreshHint =
    std::chrono::hours(24 * 366);  // keeps later arithmetic on dates in range

Result<JwkMembers> MembersOf(const Certificate& certificate) {
  ASSIGN_OR_RETURN(const PublicKey key, certificate.public_key());
  return JwkMembersOf(key);
}

// The certificate of an entry for X.509-SVIDs, or nothing if the standard says to skip it.
Result<std::optional<Certificate>> ReadCertificate(const nlohmann::json& entry, const std::string& kty) {
  // X509-SVID §6.2: without x5c, or with an empty one, the entry is skipped; of several values only the first counts
  const auto x5c = entry.find("x5c");
  if (x5c == entry.end() || (x5c->is_array() && x5c->empty())) return std::optional<Certificate>();
  const std::string* text = x5c->is_array() ? x5c->front().get_ptr<const std::string*>() : nullptr;
  if (text == nullptr) return Error(StatusCode::kInvalidArgument, "x5c is not an array of strings");
  ASSIGN_OR_RETURN(const std::string der, Base64Decode(*text));
  ASSIGN_OR_RETURN(Certificate certificate, Certificate::FromDer(der));
  // RFC 7517 §4.7: the other members describe the same key, where they are there
  ASSIGN_OR_RETURN(const JwkMembers members, MembersOf(certificate));
  const bool rsa = members.kty == "RSA";
  const auto differs = [&entry](const char* name, const std::string& expected) {
    const std::string* value = StringMember(entry, name);
    return value != nullptr && *value != expected;
  };
  if (kty != members.kty || (!rsa && differs("crv", members.crv)) || differs(rsa ? "n" : "x", members.first) ||
      differs(rsa ? "e" : "y", members.second)) {
    return Error(StatusCode::kInvalidArgument, "its key is not the one of the certificate in x5c");
  }
  return std::optional<Certificate>(std::move(certificate));
}

// Whatever an entry of "keys" is, put to the others of its kind.
Status ReadEntry(const nlohmann::json& entry, std::vector<Certificate>& x509, TokenAuthorities& tokens) {
  if (!entry.is_object()) return Error(StatusCode::kInvalidArgument, "it is not a JSON object");
  // SPIFFE_Trust_Domain_and_Bundle §4.2.1 and §4.2.2: entries of unknown type or use are skipped whole
  const std::string* use = StringMember(entry, "use");
  const std::string* kty = StringMember(entry, "kty");
  if (use == nullptr || kty == nullptr || (*kty != "EC" && *kty != "RSA")) return OkStatus();
  if (*use == kX509Use) {
    ASSIGN_OR_RETURN(std::optional<Certificate> certificate, ReadCertificate(entry, *kty));
    if (certificate.has_value()) x509.push_back(*std::move(certificate));
  } else if (*use == kJwtUse || *use == kWitUse) {
    ASSIGN_OR_RETURN(JwtAuthority authority, AuthorityFromJwk(entry));
    (*use == kJwtUse ? tokens.jwt : tokens.wit).push_back(std::move(authority));
  }
  return OkStatus();
}

// By key ID, each once.
void Sort(std::vector<JwtAuthority>& authorities) {
  std::stable_sort(authorities.begin(), authorities.end(),
                   [](const JwtAuthority& a, const JwtAuthority& b) { return a.key_id() < b.key_id(); });
  authorities.erase(std::unique(authorities.begin(), authorities.end()), authorities.end());
}

const JwtAuthority* Find(const std::vector<JwtAuthority>& sorted, std::string_view key_id) {
  const auto found = std::lower_bound(sorted.begin(), sorted.end(), key_id,
                                      [](const JwtAuthority& a, std::string_view id) { return a.key_id() < id; });
  return found != sorted.end() && found->key_id() == key_id ? &*found : nullptr;
}

Result<std::optional<std::uint64_t>> UnsignedMember(const nlohmann::json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end()) return std::optional<std::uint64_t>();
  if (!found->is_number_unsigned())
    return Error(StatusCode::kInvalidArgument, "{} is not an unsigned 64-bit integer", name);
  return std::optional<std::uint64_t>(found->get<std::uint64_t>());
}

}  // namespace

struct Bundle::State {
  TrustDomain trust_domain;
  std::vector<Certificate> authorities;
  std::vector<std::optional<JwkMembers>> keys;  // of each of these; nothing if it has no such form
  TokenAuthorities tokens;
  BundleOptions options;
  std::string x509_der, jwt_key_set, wit_key_set;

  Status AddX509(std::vector<Certificate> x509);
  Status AddTokens(TokenAuthorities added);
};

Status Bundle::State::AddX509(std::vector<Certificate> x509) {
  std::set<std::string_view> seen;
  for (const Certificate& authority : x509) {
    if (!seen.insert(authority.der()).second) continue;
    const std::size_t number = authorities.size() + 1;
    // X509-SVID §6.1: the entries are CA certificates
    if (!authority.is_ca() ||
        (authority.fields().key_usage.has_value() && !authority.HasKeyUsage(kKeyUsageKeyCertSign))) {
      return Error(StatusCode::kInvalidArgument, "certificate {} may not sign certificates", number);
    }
    // X509-SVID §5.1: a path is validated as RFC 5280 says, whatever its kinds of keys; only a document needs a JWK
    Result<JwkMembers> members = MembersOf(authority);
    if (!members.ok() && members.status().code() != StatusCode::kInvalidArgument)
      return Annotate(members.status(), "certificate {}", number);
    authorities.push_back(authority);
    keys.push_back(members.ok() ? std::optional(*std::move(members)) : std::nullopt);
    x509_der += authority.der();
  }
  return OkStatus();
}

Status Bundle::State::AddTokens(TokenAuthorities added) {
  std::set<std::string_view> seen;  // WIT-SVID §6.1: unique among all keys of the bundle
  for (std::vector<JwtAuthority>* kind : {&added.jwt, &added.wit}) {
    Sort(*kind);
    for (const JwtAuthority& authority : *kind) {
      if (!seen.insert(authority.key_id()).second)
        return Error(StatusCode::kInvalidArgument, "two keys for tokens have the same key ID");
    }
  }
  jwt_key_set = WriteJwkSet(added.jwt);
  wit_key_set = WriteJwkSet(added.wit);
  tokens = std::move(added);
  return OkStatus();
}

Result<Bundle> Bundle::Create(TrustDomain trust_domain, std::vector<Certificate> x509_authorities,
                              BundleOptions options, TokenAuthorities tokens) {
  State state{std::move(trust_domain), {}, {}, {}, options, {}, {}, {}};
  Status added = state.AddX509(std::move(x509_authorities));
  if (added.ok()) added = state.AddTokens(std::move(tokens));
  if (!added.ok()) return Annotate(added, "bundle of {}", state.trust_domain.name());
  return Bundle(std::make_shared<const State>(std::move(state)));
}

Result<Bundle> Bundle::ParseDocument(TrustDomain trust_domain, std::string_view json) {
  const auto failed = [&trust_domain](const Status& status) {
    return Annotate(status, "bundle document of {}", trust_domain.name());
  };
  Result<nlohmann::json> parsed = ParseJsonObject(json, kJwkSetLimits);
  if (!parsed.ok()) return failed(parsed.status());
  const nlohmann::json& document = *parsed;
  // SPIFFE_Trust_Domain_and_Bundle §4.1.3: "keys" is there, and may be empty
  const auto keys = document.find("keys");
  if (keys == document.end() || !keys->is_array())
    return failed(Error(StatusCode::kInvalidArgument, "it has no array \"keys\""));
  std::vector<Certificate> x509;
  TokenAuthorities tokens;
  for (std::size_t i = 0; i < keys->size(); ++i) {
    const Status read = ReadEntry((*keys)[i], x509, tokens);
    if (!read.ok()) return failed(Annotate(read, "entry {} of \"keys\"", i + 1));
  }
  BundleOptions options;
  Result<std::optional<std::uint64_t>> sequence = UnsignedMember(document, "spiffe_sequence");  // §4.1.1
  if (!sequence.ok()) return failed(sequence.status());
  options.sequence_number = *sequence;
  Result<std::optional<std::uint64_t>> hint = UnsignedMember(document, "spiffe_refresh_hint");  // §4.1.2
  if (!hint.ok()) return failed(hint.status());
  if (hint->has_value()) {
    const auto limit = static_cast<std::uint64_t>(kMaxRefreshHint.count());  // a hint only: cutting it off is allowed
    options.refresh_hint = std::chrono::seconds(static_cast<std::int64_t>(std::min(**hint, limit)));
  }
  return Create(std::move(trust_domain), std::move(x509), options, std::move(tokens));
}

std::string Bundle::ToDocument() const {
  nlohmann::ordered_json document;
  document["keys"] = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i < state_->authorities.size(); ++i) {
    if (!state_->keys[i]) continue;
    nlohmann::ordered_json entry;
    // X509-SVID §6.1: use and x5c with exactly one certificate are set, kid is not
    entry["use"] = kX509Use;
    state_->keys[i]->PutInto(entry);
    entry["x5c"] = nlohmann::ordered_json::array({Base64Encode(state_->authorities[i].der())});
    document["keys"].push_back(std::move(entry));
  }
  // JWT-SVID §6.1, WIT-SVID §6.1: use and kid are set
  for (const JwtAuthority& authority : jwt_authorities())
    document["keys"].push_back(AuthorityToJwk(authority, kJwtUse));
  for (const JwtAuthority& authority : wit_authorities())
    document["keys"].push_back(AuthorityToJwk(authority, kWitUse));
  if (state_->options.sequence_number.has_value()) document["spiffe_sequence"] = *state_->options.sequence_number;
  if (state_->options.refresh_hint.has_value()) document["spiffe_refresh_hint"] = state_->options.refresh_hint->count();
  return document.dump();
}

const TrustDomain& Bundle::trust_domain() const {
  return state_->trust_domain;
}
const std::vector<Certificate>& Bundle::x509_authorities() const {
  return state_->authorities;
}
const std::vector<JwtAuthority>& Bundle::jwt_authorities() const {
  return state_->tokens.jwt;
}
const std::vector<JwtAuthority>& Bundle::wit_authorities() const {
  return state_->tokens.wit;
}
const JwtAuthority* Bundle::FindJwtAuthority(std::string_view key_id) const {
  return Find(jwt_authorities(), key_id);
}
const JwtAuthority* Bundle::FindWitAuthority(std::string_view key_id) const {
  return Find(wit_authorities(), key_id);
}
const std::string& Bundle::JwtKeySet() const {
  return state_->jwt_key_set;
}
const std::string& Bundle::WitKeySet() const {
  return state_->wit_key_set;
}
std::optional<std::uint64_t> Bundle::sequence_number() const {
  return state_->options.sequence_number;
}
std::optional<std::chrono::seconds> Bundle::refresh_hint() const {
  return state_->options.refresh_hint;
}
const std::string& Bundle::X509Der() const {
  return state_->x509_der;
}

std::string Bundle::X509Pem() const {
  std::string pem;
  for (const Certificate& authority : state_->authorities) pem += authority.ToPem();
  return pem;
}

bool Bundle::SameAuthorities(const Bundle& other) const {
  return trust_domain() == other.trust_domain() && x509_authorities() == other.x509_authorities() &&
         jwt_authorities() == other.jwt_authorities() && wit_authorities() == other.wit_authorities();
}

BundleSet::BundleSet(std::vector<Bundle> bundles) {
  for (Bundle& bundle : bundles) Put(std::move(bundle));
}

const Bundle* BundleSet::Find(const TrustDomain& trust_domain) const {
  const auto found = bundles_.find(trust_domain);
  return found != bundles_.end() ? &found->second : nullptr;
}

void BundleSet::Put(Bundle bundle) {
  const TrustDomain key = bundle.trust_domain();
  bundles_.insert_or_assign(key, std::move(bundle));
}

}  // namespace lanyard
