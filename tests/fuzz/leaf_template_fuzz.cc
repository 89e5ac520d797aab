// Whatever goes into a leaf that is written by template, OpenSSL's parser reads back exactly that.
#include <vector>

#include "pki/dns_name.h"
#include "pki/leaf_template.h"
#include "pki/root.h"
#include "pki/x509_svid.h"
#include "tests/fuzz/fuzzing.h"

namespace lanyard {
namespace {

using std::chrono::seconds;
using TimePoint = std::chrono::system_clock::time_point;

struct Setup {
  SelfSignedCa root = MakeRootCa(TrustDomain::Parse("example.org").value(), KeyType::kEcP256, TimePoint(seconds(0)),
                                 TimePoint(seconds(4'000'000'000)))
                          .value();
  LeafTemplate written = LeafTemplate::For(root.certificate, root.key).value();
  PrivateKey leaf_key = PrivateKey::Generate(KeyType::kEcP256).value();
};

void Check(FuzzInput input) {
  static const Setup setup;
  const auto begin = TimePoint(seconds(input.Number(-1'000'000'000, 8'000'000'000)));
  const auto end = begin + seconds(input.Number(0, 1'000'000'000));
  std::vector<std::string> dns_names;
  for (int64_t i = input.Number(0, 4); i > 0; --i) {
    std::string name = input.Text(80);
    if (CheckDnsName(name).ok()) dns_names.push_back(std::move(name));
  }
  const auto id = SpiffeId::Parse("spiffe://example.org/" + std::string(input.Rest()));
  if (!id.ok()) return;

  const auto leaf = setup.written.Write({*id, dns_names, begin, end}, setup.leaf_key);
  if (!leaf.ok()) return RequireTold(leaf.status());  // refused, as dates before 1950 are

  const auto read = Certificate::FromDer(leaf->der);
  Require(read.ok());
  Require(read->uri_sans() == std::vector<std::string>{id->str()});
  Require(read->dns_sans() == dns_names);
  Require(read->serial_hex() == leaf->fields.serial_hex);
  Require(read->not_before() == begin && read->not_after() == end);
  Require(read->spki_der() == leaf->fields.spki_der);
  Require(read->SignedBy(setup.root.certificate));
  const auto profile = IdFromLeaf(*read);
  Require(profile.ok() && *profile == *id);
}

}  // namespace
}  // namespace lanyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lanyard::Check(lanyard::FuzzInput(data, size));
  return 0;
}
