// What one X.509-SVID and one JWT-SVID cost on one core, and what the key and the signature in them alone cost: medians
// in microseconds, as JSON.
//
//   issue_bench [ITERATIONS]
//
// All are measured in turn, step by step, so that whatever slows the machine slows all.
#include <fmt/format.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

#include "pki/issuer.h"
#include "pki/jwt_svid.h"
#include "pki/root.h"
#include "pki/token_signer.h"
#include "pki/verifier.h"

namespace lanyard {
namespace {

void Check(bool ok) {
  if (!ok) std::abort();
}

class Times {
 public:
  template <class Step>
  void Take(const Step& step) {
    const auto begin = std::chrono::steady_clock::now();
    step();
    micros_.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count());
  }

  double Median() {
    const auto middle = micros_.begin() + static_cast<std::ptrdiff_t>(micros_.size() / 2);
    std::nth_element(micros_.begin(), middle, micros_.end());
    return *middle;
  }

 private:
  std::vector<double> micros_;
};

// Nobody makes an X.509-SVID without a key and a signature, nor a JWT-SVID without a signature: OpenSSL's fastest way
// to both, with contexts that are kept.
class Limit {
 public:
  explicit Limit(const PrivateKey& signer)
      : generate_(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr)),
        sign_(EVP_PKEY_CTX_new_from_pkey(nullptr, signer.native(), nullptr)) {
    char group[] = "P-256";
    const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
                                     OSSL_PARAM_construct_end()};
    Check(EVP_PKEY_keygen_init(generate_) == 1 && EVP_PKEY_CTX_set_params(generate_, parameters) == 1);
    Check(EVP_PKEY_sign_init(sign_) == 1);
  }
  ~Limit() {
    EVP_PKEY_CTX_free(generate_);
    EVP_PKEY_CTX_free(sign_);
  }
  Limit(const Limit&) = delete;
  Limit& operator=(const Limit&) = delete;

  void Key() {
    EVP_PKEY* key = nullptr;
    Check(EVP_PKEY_generate(generate_, &key) == 1);
    EVP_PKEY_free(key);
  }

  void Signature() {
    const unsigned char digest[32] = {};
    unsigned char signature[80];
    size_t length = sizeof signature;
    Check(EVP_PKEY_sign(sign_, signature, &length, digest, sizeof digest) == 1);
  }

 private:
  EVP_PKEY_CTX *generate_, *sign_;
};

int Main(int iterations) {
  const auto now = std::chrono::system_clock::now();
  const TrustDomain trust_domain = TrustDomain::Parse("example.org").value();
  const SelfSignedCa root = MakeRootCa(trust_domain, KeyType::kEcP256, now, now + std::chrono::hours(24)).value();
  const Issuer issuer = Issuer::Create({root.certificate}, root.key).value();
  const LeafRequest request{SpiffeId::Parse("spiffe://example.org/ns/shop/sa/refund").value(),
                            KeyType::kEcP256,
                            {},
                            now,
                            now + std::chrono::hours(1)};
  const X509Svid svid = issuer.IssueLeaf(request).value();
  const BundleSet bundles({Bundle::Create(trust_domain, {root.certificate}).value()});
  const TokenSigner token_signer = TokenSigner::Create(root.key).value();
  const JwtSvidRequest jwt_request{request.id, {"spiffe://example.org/ledger"}, now, now + std::chrono::minutes(5), ""};
  const std::string token = JwtSvid::Issue(token_signer, jwt_request).value().token();
  const BundleSet token_bundles({Bundle::Create(trust_domain, {}, {}, {.jwt = {token_signer.authority()}}).value()});
  Limit limit(root.key);

  Times issue, key_and_signature, verify, jwt_issue, signature, jwt_validate;
  for (int i = 0; i < iterations; ++i) {
    issue.Take([&] {
      const Result<X509Svid> issued = issuer.IssueLeaf(request);
      Check(issued.ok() && !issued->ChainDer().empty() && issued->key().ToPkcs8Der().ok());
    });
    key_and_signature.Take([&] {
      limit.Key();
      limit.Signature();
    });
    jwt_issue.Take([&] { Check(JwtSvid::Issue(token_signer, jwt_request).ok()); });
    signature.Take([&] { limit.Signature(); });
    if (i % 4 != 0) continue;
    verify.Take([&] { Check(VerifyX509Svid(svid.chain(), bundles, now).ok()); });
    jwt_validate.Take([&] { Check(ValidateJwtSvid(token, jwt_request.audiences[0], token_bundles, now).ok()); });
  }
  fmt::print(
      "{{\"issue_us\": {:.2f}, \"key_and_signature_us\": {:.2f}, \"verify_us\": {:.2f}, \"jwt_issue_us\": {:.2f}, "
      "\"signature_us\": {:.2f}, \"jwt_validate_us\": {:.2f}}}\n",
      issue.Median(), key_and_signature.Median(), verify.Median(), jwt_issue.Median(), signature.Median(),
      jwt_validate.Median());
  return 0;
}

}  // namespace
}  // namespace lanyard

int main(int argc, char** argv) {
  return lanyard::Main(std::max(100, argc > 1 ? std::atoi(argv[1]) : 5000));
}
