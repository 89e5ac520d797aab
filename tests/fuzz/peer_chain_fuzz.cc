// What a peer shows in a handshake, against bundles of two trust domains and their revocation lists. Certificates are
// those of a small world, in any order and number, some with a byte changed, or the input's bytes. Whoever is let in is
// one of those that OpenSSL's own check of chains and lists lets in, too, under the root of the ID's trust domain
// alone; and those that are as they should be are let in.
#include <array>
#include <vector>

#include "pki/certificate_builder.h"
#include "pki/openssl_ptr.h"
#include "pki/revocation.h"
#include "pki/root.h"
#include "pki/verifier.h"
#include "tests/fuzz/fuzzing.h"

namespace lanyard {
namespace {

using std::chrono::hours;
using std::chrono::seconds;
using TimePoint = std::chrono::system_clock::time_point;
using StorePtr = Owned<X509_STORE, X509_STORE_free>;
using NativeCrlPtr = Owned<X509_CRL, X509_CRL_free>;

const TimePoint kNow{seconds(1'700'000'000)};

struct Domain {
  TrustDomain name;
  SelfSignedCa root;

  explicit Domain(const char* domain)
      : name(TrustDomain::Parse(domain).value()),
        root(MakeRootCa(name, KeyType::kEcP256, kNow - hours(24), kNow + hours(24)).value()) {}

  // Written by hand, since an issuer signs for its own trust domain only.
  Certificate Leaf(std::string_view id, TimePoint begin = kNow - hours(1), TimePoint end = kNow + hours(1)) const {
    const PrivateKey key = PrivateKey::Generate(KeyType::kEcP256).value();
    CertificateBuilder builder = CertificateBuilder::Start(key.public_key(), begin, end).value();
    const auto add = [](const Status& added) { Require(added.ok()); };
    add(builder.SetSubject("Peer", ""));
    add(builder.SetIssuerDer(root.certificate.subject_der()));
    add(builder.AddBasicConstraints(false));
    add(builder.AddKeyUsage(kKeyUsageDigitalSignature));
    add(builder.AddExtendedKeyUsageForTls());
    add(builder.AddKeyIds(root.certificate.subject_key_id()));
    add(builder.AddNames(id, {}));
    return builder.Sign(root.key).value();
  }
  Crl List(const std::vector<std::string>& revoked) const {
    CrlContent content{.number = 1, .this_update = kNow - hours(1), .next_update = kNow + hours(2), .revoked = {}};
    for (const std::string& serial : revoked) content.revoked.push_back({serial, kNow, kNow + hours(3)});
    return Crl::Sign(content, root.certificate, root.key).value();
  }
};

struct World {
  Domain ours{"example.org"}, theirs{"other.org"}, nobody{"example.org"};
  Certificate good = ours.Leaf("spiffe://example.org/bot"), revoked = ours.Leaf("spiffe://example.org/bot");
  Certificate partner = theirs.Leaf("spiffe://other.org/bot");
  BundleSet bundles{{Bundle::Create(ours.name, {ours.root.certificate}).value(),
                     Bundle::Create(theirs.name, {theirs.root.certificate}).value()}};
  std::vector<Crl> crls{ours.List({revoked.serial_hex()}), theirs.List({})};
  RevocationLists lists = RevocationLists().Next(crls, bundles, {});
  std::vector<Certificate> pool{good,
                                revoked,
                                partner,
                                ours.Leaf("spiffe://example.org/old", kNow - hours(3), kNow - hours(2)),
                                ours.Leaf("spiffe://example.org/early", kNow + hours(2), kNow + hours(3)),
                                nobody.Leaf("spiffe://example.org/bot"),
                                theirs.Leaf("spiffe://example.org/bot"),
                                ours.Leaf("spiffe://other.org/bot"),
                                ours.root.certificate,
                                theirs.root.certificate,
                                nobody.root.certificate};
};

// OpenSSL alone: chain, dates, purpose and revocation under one root.
bool OpenSslAccepts(const World& world, const std::vector<Certificate>& chain, const TrustDomain& domain, TimePoint now,
                    KeyPurpose purpose) {
  const StorePtr store(X509_STORE_new());
  for (const Certificate& root : world.bundles.Find(domain)->x509_authorities())
    X509_STORE_add_cert(store.get(), root.native());
  for (const Crl& crl : world.crls) {
    const auto* at = reinterpret_cast<const unsigned char*>(crl.der().data());
    const NativeCrlPtr native(
        d2i_X509_CRL(nullptr, &at, static_cast<long>(crl.der().size())));  // NOLINT(google-runtime-int)
    X509_STORE_add_crl(store.get(), native.get());
  }
  const BorrowedCertStackPtr untrusted(sk_X509_new_null());
  for (const Certificate& certificate : chain) sk_X509_push(untrusted.get(), certificate.native());
  const StoreCtxPtr context(X509_STORE_CTX_new());
  X509_STORE_CTX_init(context.get(), store.get(), chain.front().native(), untrusted.get());
  X509_VERIFY_PARAM* param = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_time(param, std::chrono::system_clock::to_time_t(now));
  X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
  if (purpose == KeyPurpose::kServer) X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER);
  if (purpose == KeyPurpose::kClient) X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_CLIENT);
  return X509_verify_cert(context.get()) == 1;
}

void CheckChain(const World& world, const std::vector<Certificate>& chain, TimePoint now, KeyPurpose purpose) {
  const auto id = VerifyX509Svid(chain, world.bundles, now, purpose, &world.lists);
  if (!id.ok()) {
    Require(id.status().code() == StatusCode::kInvalidArgument || id.status().code() == StatusCode::kUnauthenticated);
    RequireTold(id.status());
    const bool fine = !chain.empty() && chain.size() <= kMaxChainCertificates &&
                      (chain[0] == world.good || chain[0] == world.partner);
    return Require(!fine || now != kNow);
  }
  Require(chain[0].uri_sans() == std::vector<std::string>{id->str()} && chain.size() <= kMaxChainCertificates);
  Require(!(chain[0] == world.revoked));
  Require(OpenSslAccepts(world, chain, id->trust_domain(), now, purpose));
}

void Check(FuzzInput input) {
  static const World world;
  const auto purpose = std::array{KeyPurpose::kAny, KeyPurpose::kClient, KeyPurpose::kServer}.at(
      static_cast<std::size_t>(input.Number(0, 2)));
  const TimePoint now = kNow + seconds(input.Flag() ? input.Number(-20'000, 20'000) : 0);
  std::vector<Certificate> chain;
  for (int64_t count = input.Number(0, 12); count > 0; --count) {
    if (input.Number(0, 7) == 0) {
      const auto given = Certificate::FromDer(input.Text(1000));
      if (given.ok()) chain.push_back(*given);
      continue;
    }
    const auto which = static_cast<std::size_t>(input.Number(0, static_cast<int64_t>(world.pool.size()) - 1));
    if (input.Number(0, 3) != 0) {
      chain.push_back(world.pool[which]);
      continue;
    }
    std::string der = world.pool[which].der();
    der[static_cast<std::size_t>(input.Number(0, static_cast<int64_t>(der.size()) - 1))] ^=
        static_cast<char>(input.Number(1, 255));
    const auto changed = Certificate::FromDer(der);
    if (changed.ok()) chain.push_back(*changed);
  }
  CheckChain(world, chain, now, purpose);
}

}  // namespace
}  // namespace lanyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lanyard::Check(lanyard::FuzzInput(data, size));
  return 0;
}
