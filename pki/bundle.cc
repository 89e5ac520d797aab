#include "pki/bundle.h"

#include <openssl/core_names.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "pki/base64.h"
#include "pki/openssl_ptr.h"

namespace lanyard {
namespace {

constexpr std::string_view kUse = "x509-svid";
constexpr std::chrono::seconds kMaxRefreshHint =
    std::chrono::hours(24 * 366);  // keeps later arithmetic on dates in range

// The public key members of a JWK (RFC 7518 §6.2.1, §6.3.1): EC with crv, x, y; RSA with n, e.
struct KeyMembers {
  std::string kty, crv;
  std::string first, second;  // x and y, or n and e, as base64url
};

Result<std::string> Number(const EVP_PKEY* key, const char* param, int bytes) {
  BIGNUM* raw = nullptr;
  if (EVP_PKEY_get_bn_param(key, param, &raw) != 1) return OpenSslError("read public key");
  const BnPtr number(raw);
  std::string out(static_cast<std::size_t>(bytes > 0 ? bytes : BN_num_bytes(number.get())), '\0');
  if (BN_bn2binpad(number.get(), reinterpret_cast<unsigned char*>(out.data()), static_cast<int>(out.size())) < 0) {
    return OpenSslError("read public key");
  }
  return Base64UrlEncode(out);
}

Result<KeyMembers> MembersOf(const Certificate& certificate) {
  ASSIGN_OR_RETURN(const PublicKey key, certificate.public_key());
  KeyMembers members;
  if (EVP_PKEY_get_base_id(key.native()) == EVP_PKEY_RSA) {
    members.kty = "RSA";
    ASSIGN_OR_RETURN(members.first, Number(key.native(), OSSL_PKEY_PARAM_RSA_N, 0));
    ASSIGN_OR_RETURN(members.second, Number(key.native(), OSSL_PKEY_PARAM_RSA_E, 0));
    return members;
  }
  int bytes = 0;
  if (EVP_PKEY_get_base_id(key.native()) == EVP_PKEY_EC) {
    switch (EVP_PKEY_get_bits(key.native())) {
      case 256:
        members.crv = "P-256";
        bytes = 32;
        break;
      case 384:
        members.crv = "P-384";
        bytes = 48;
        break;
      case 521:
        members.crv = "P-521";
        bytes = 66;
        break;
    }
    char group[64] = "";
    std::size_t length = 0;
    const bool known = EVP_PKEY_get_group_name(key.native(), group, sizeof group, &length) == 1;
    const std::string_view name(group);
    if (!known || (name != "prime256v1" && name != "secp384r1" && name != "secp521r1")) bytes = 0;
  }
  if (bytes == 0) return Error(StatusCode::kInvalidArgument, "the key is neither RSA nor EC on P-256, P-384 or P-521");
  members.kty = "EC";
  ASSIGN_OR_RETURN(members.first, Number(key.native(), OSSL_PKEY_PARAM_EC_PUB_X, bytes));
  ASSIGN_OR_RETURN(members.second, Number(key.native(), OSSL_PKEY_PARAM_EC_PUB_Y, bytes));
  return members;
}

const std::string* StringMember(const nlohmann::json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() ? found->get_ptr<const std::string*>() : nullptr;
}

// The certificate of one entry, or nothing if the standard says to skip it.
Result<std::optional<Certificate>> ReadEntry(const nlohmann::json& entry) {
  if (!entry.is_object()) return Error(StatusCode::kInvalidArgument, "it is not a JSON object");
  // SPIFFE_Trust_Domain_and_Bundle §4.2.1 and §4.2.2: entries of unknown type or use are skipped whole
  const std::string* use = StringMember(entry, "use");
  const std::string* kty = StringMember(entry, "kty");
  if (use == nullptr || *use != kUse || kty == nullptr || (*kty != "EC" && *kty != "RSA"))
    return std::optional<Certificate>();
  // X509-SVID §6.2: without x5c, or with an empty one, the entry is skipped; of several values only the first counts
  const auto x5c = entry.find("x5c");
  if (x5c == entry.end() || (x5c->is_array() && x5c->empty())) return std::optional<Certificate>();
  const std::string* text = x5c->is_array() ? x5c->front().get_ptr<const std::string*>() : nullptr;
  if (text == nullptr) return Error(StatusCode::kInvalidArgument, "x5c is not an array of strings");
  ASSIGN_OR_RETURN(const std::string der, Base64Decode(*text));
  ASSIGN_OR_RETURN(Certificate certificate, Certificate::FromDer(der));
  // RFC 7517 §4.7: the other members describe the same key, where they are there
  ASSIGN_OR_RETURN(const KeyMembers members, MembersOf(certificate));
  const bool rsa = members.kty == "RSA";
  const auto differs = [&entry](const char* name, const std::string& expected) {
    const std::string* value = StringMember(entry, name);
    return value != nullptr && *value != expected;
  };
  if (*kty != members.kty || (!rsa && differs("crv", members.crv)) || differs(rsa ? "n" : "x", members.first) ||
      differs(rsa ? "e" : "y", members.second)) {
    return Error(StatusCode::kInvalidArgument, "its key is not the one of the certificate in x5c");
  }
  return std::optional<Certificate>(std::move(certificate));
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
  std::vector<KeyMembers> keys;  // of each authority
  BundleOptions options;
  std::string x509_der;
};

Result<Bundle> Bundle::Create(TrustDomain trust_domain, std::vector<Certificate> x509_authorities,
                              BundleOptions options) {
  State state{std::move(trust_domain), {}, {}, options, {}};
  std::set<std::string_view> seen;
  for (const Certificate& authority : x509_authorities) {
    if (!seen.insert(authority.der()).second) continue;
    const std::size_t number = state.authorities.size() + 1;
    // X509-SVID §6.1: the entries are CA certificates
    if (!authority.is_ca() ||
        (authority.fields().key_usage.has_value() && !authority.HasKeyUsage(kKeyUsageKeyCertSign))) {
      return Error(StatusCode::kInvalidArgument, "bundle of {}: certificate {} may not sign certificates",
                   state.trust_domain.name(), number);
    }
    Result<KeyMembers> members = MembersOf(authority);
    if (!members.ok())
      return Annotate(members.status(), "bundle of {}: certificate {}", state.trust_domain.name(), number);
    state.authorities.push_back(authority);
    state.keys.push_back(*std::move(members));
    state.x509_der += authority.der();
  }
  return Bundle(std::make_shared<const State>(std::move(state)));
}

Result<Bundle> Bundle::ParseDocument(TrustDomain trust_domain, std::string_view json) {
  const auto failed = [&trust_domain](const Status& status) {
    return Annotate(status, "bundle document of {}", trust_domain.name());
  };
  const nlohmann::json document = nlohmann::json::parse(json, nullptr, false);
  if (!document.is_object()) return failed(Error(StatusCode::kInvalidArgument, "it is not a JSON object"));
  // SPIFFE_Trust_Domain_and_Bundle §4.1.3: "keys" is there, and may be empty
  const auto keys = document.find("keys");
  if (keys == document.end() || !keys->is_array())
    return failed(Error(StatusCode::kInvalidArgument, "it has no array \"keys\""));
  std::vector<Certificate> authorities;
  for (std::size_t i = 0; i < keys->size(); ++i) {
    Result<std::optional<Certificate>> entry = ReadEntry((*keys)[i]);
    if (!entry.ok()) return failed(Annotate(entry.status(), "entry {} of \"keys\"", i + 1));
    if (entry->has_value()) authorities.push_back(**std::move(entry));
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
  return Create(std::move(trust_domain), std::move(authorities), options);
}

std::string Bundle::ToDocument() const {
  nlohmann::ordered_json document;
  document["keys"] = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i < state_->authorities.size(); ++i) {
    const KeyMembers& members = state_->keys[i];
    nlohmann::ordered_json entry;
    // X509-SVID §6.1: use and x5c with exactly one certificate are set, kid is not
    entry["use"] = kUse;
    entry["kty"] = members.kty;
    if (members.kty == "RSA") {
      entry["n"] = members.first;
      entry["e"] = members.second;
    } else {
      entry["crv"] = members.crv;
      entry["x"] = members.first;
      entry["y"] = members.second;
    }
    entry["x5c"] = nlohmann::ordered_json::array({Base64Encode(state_->authorities[i].der())});
    document["keys"].push_back(std::move(entry));
  }
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
  return trust_domain() == other.trust_domain() && x509_authorities() == other.x509_authorities();
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
