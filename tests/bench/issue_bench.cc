// What one X.509-SVID costs on one core: prints the median and the 99th percentile of each step in microseconds.
// Not part of ctest. Run it from a release build on a quiet machine: issue_bench [iterations].
#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <string_view>
#include <vector>

#include "pki/issuer.h"
#include "pki/root.h"
#include "pki/verifier.h"

namespace {

using namespace lanyard;

void Measure(std::string_view what, int iterations, const std::function<void()>& step) {
  for (int i = 0; i < iterations / 10; ++i) step();  // contexts, caches, branch predictors
  std::vector<double> times;
  for (int i = 0; i < iterations; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    step();
    times.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count());
  }
  std::sort(times.begin(), times.end());
  fmt::print("{:<44} median {:7.1f} us   p99 {:7.1f} us\n", what, times[times.size() / 2],
             times[times.size() * 99 / 100]);
}

}  // namespace

int main(int argc, char** argv) {
  const int iterations = std::max(10, argc > 1 ? std::atoi(argv[1]) : 5000);
  const auto now = std::chrono::system_clock::now();
  const auto check = [](bool ok) {
    if (!ok) std::abort();
  };
  const TrustDomain trust_domain = *TrustDomain::Parse("example.org");
  const SelfSignedCa root = *MakeRootCa(trust_domain, KeyType::kEcP256, now, now + std::chrono::hours(24));
  const Issuer issuer = *Issuer::Create({root.certificate}, root.key);
  const LeafRequest request{*SpiffeId::Parse("spiffe://example.org/ns/shop/sa/refund"),
                            KeyType::kEcP256,
                            {},
                            now,
                            now + std::chrono::hours(1)};
  const X509Svid svid = *issuer.IssueLeaf(request);
  const BundleSet bundles({*Bundle::Create(trust_domain, {root.certificate})});

  Measure("P-256 key", iterations, [&] { check(PrivateKey::Generate(KeyType::kEcP256).ok()); });
  EVP_PKEY_CTX* sign = EVP_PKEY_CTX_new_from_pkey(nullptr, root.key.native(), nullptr);
  check(EVP_PKEY_sign_init(sign) == 1);
  Measure("P-256 signature of a digest", iterations, [&] {
    const unsigned char digest[32] = {};
    unsigned char signature[80];
    std::size_t length = sizeof signature;
    check(EVP_PKEY_sign(sign, signature, &length, digest, sizeof digest) == 1);
  });
  EVP_PKEY_CTX_free(sign);
  Measure("IssueLeaf, chain DER and PKCS#8", iterations, [&] {
    const Result<X509Svid> issued = issuer.IssueLeaf(request);
    check(issued.ok() && !issued->ChainDer().empty() && issued->key().ToPkcs8Der().ok());
  });
  Measure("the same by OpenSSL's calls (P-384 leaf)", iterations / 10, [&] {
    LeafRequest slow = request;
    slow.key_type = KeyType::kEcP384;
    check(issuer.IssueLeaf(slow).ok());
  });
  Measure("read a certificate", iterations, [&] { check(Certificate::FromDer(svid.leaf().der()).ok()); });
  Measure("verify an X.509-SVID", iterations / 5, [&] { check(VerifyX509Svid(svid.chain(), bundles, now).ok()); });
}
