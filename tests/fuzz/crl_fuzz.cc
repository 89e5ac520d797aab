// A list that is read says what OpenSSL reads in it by other calls, and survives being written and read again. A list
// that is signed says exactly what it was asked to say.
#include <map>

#include "pki/crl.h"
#include "pki/openssl_ptr.h"
#include "pki/root.h"
#include "tests/fuzz/fuzzing.h"

namespace lanyard {
namespace {

using std::chrono::seconds;
using TimePoint = std::chrono::system_clock::time_point;
using CrlOwner = Owned<X509_CRL, X509_CRL_free>;

const SelfSignedCa& Root() {
  static const SelfSignedCa root = MakeRootCa(TrustDomain::Parse("example.org").value(), KeyType::kEcP256,
                                              TimePoint(seconds(0)), TimePoint(seconds(4'000'000'000)))
                                       .value();
  return root;
}

bool SameSecond(const ASN1_TIME* theirs, TimePoint ours) {
  const int64_t second = std::chrono::duration_cast<seconds>(ours.time_since_epoch()).count();
  constexpr int64_t kEndOfOurClock = 9'000'000'000;  // a later date is read as that end
  return second >= kEndOfOurClock || ASN1_TIME_cmp_time_t(theirs, second) == 0;
}

void CompareWithOpenSsl(const Crl& crl) {
  const BioPtr bio(BIO_new_mem_buf(crl.der().data(), static_cast<int>(crl.der().size())));
  const CrlOwner theirs(d2i_X509_CRL_bio(bio.get(), nullptr));
  Require(theirs != nullptr && BIO_pending(bio.get()) == 0);
  Require(SameSecond(X509_CRL_get0_lastUpdate(theirs.get()), crl.this_update()));
  Require(SameSecond(X509_CRL_get0_nextUpdate(theirs.get()), crl.next_update()));
  Require(crl.this_update() < crl.next_update());
  const STACK_OF(X509_REVOKED)* revoked = X509_CRL_get_REVOKED(theirs.get());
  Require(static_cast<size_t>(std::max(sk_X509_REVOKED_num(revoked), 0)) == crl.fields().entries.size());
  for (const CrlFields::Entry& entry : crl.fields().entries) {
    BIGNUM* raw = nullptr;
    Require(BN_hex2bn(&raw, entry.serial_hex.c_str()) > 0);
    const BnPtr number(raw);
    const Owned<ASN1_INTEGER, ASN1_INTEGER_free> serial(BN_to_ASN1_INTEGER(number.get(), nullptr));
    X509_REVOKED* found = nullptr;
    Require(X509_CRL_get0_by_serial(theirs.get(), &found, serial.get()) != 0);
  }
}

void CheckOne(const Crl& crl) {
  const auto from_der = Crl::FromDer(crl.der());
  Require(from_der.ok() && *from_der == crl && from_der->fields() == crl.fields());
  const auto from_pem = Crl::ListFromPem(crl.ToPem());
  Require(from_pem.ok() && from_pem->size() == 1 && from_pem->front() == crl);
  CompareWithOpenSsl(crl);
  RequireTold(crl.CheckSignedBy(Root().certificate), StatusCode::kUnauthenticated);  // whose key nobody else has
}

void CheckDer(std::string_view der) {
  const auto crl = Crl::FromDer(der);
  if (!crl.ok()) return RequireTold(crl.status(), StatusCode::kInvalidArgument);
  Require(crl->der() == der);
  CheckOne(*crl);
}

void CheckPem(std::string_view pem) {
  const auto list = Crl::ListFromPem(pem);
  if (!list.ok()) return RequireTold(list.status(), StatusCode::kInvalidArgument);
  std::string written;
  for (const Crl& crl : *list) {
    written += crl.ToPem();
    CheckOne(crl);
  }
  const auto again = Crl::ListFromPem(written);
  Require(again.ok() && *again == *list);
}

// Without zeros in front, as the list has it.
std::string Plain(const std::string& hex) {
  const BnPtr number([&hex] {
    BIGNUM* raw = nullptr;
    Require(BN_hex2bn(&raw, hex.c_str()) > 0);
    return raw;
  }());
  const Owned<char, FreeOpenSslMemory> text(BN_bn2hex(number.get()));
  std::string plain(text.get());
  for (char& c : plain) c = static_cast<char>(c >= 'A' ? c - 'A' + 'a' : c);
  return plain == "0" ? "00" : plain;
}

void CheckSigned(FuzzInput input) {
  CrlContent content{.number = input.Bits(),
                     .this_update = TimePoint(seconds(input.Number(-600'000'000, 8'000'000'000))),
                     .next_update = {},
                     .revoked = {}};
  content.next_update = content.this_update + seconds(input.Number(-10, 1'000'000'000));
  std::map<std::string, TimePoint> expected;  // serial number to the earliest time
  while (!input.empty() && content.revoked.size() < 64) {
    RevokedCertificate revoked{.serial_hex = input.Text(42),
                               .revoked_at = content.this_update + seconds(input.Number(-100, 100)),
                               .not_after = content.this_update + seconds(input.Number(-100, 100))};
    content.revoked.push_back(std::move(revoked));
  }
  const auto crl = Crl::Sign(content, Root().certificate, Root().key);
  if (!crl.ok()) return RequireTold(crl.status(), StatusCode::kInvalidArgument);

  for (const RevokedCertificate& revoked : content.revoked) {
    if (revoked.not_after <= content.this_update) continue;
    const auto at = std::min(revoked.revoked_at, content.this_update);
    const auto [found, added] = expected.emplace(Plain(revoked.serial_hex), at);
    if (!added) found->second = std::min(found->second, at);
  }
  std::map<std::string, TimePoint> listed;
  std::string before;
  for (const CrlFields::Entry& entry : crl->fields().entries) {
    Require(listed.emplace(Plain(entry.serial_hex), entry.revoked_at).second);
    const std::string& now = Plain(entry.serial_hex);
    Require(before.empty() || before.size() < now.size() || (before.size() == now.size() && before < now));
    before = now;
  }
  Require(listed == expected);
  Require(crl->this_update() == content.this_update && crl->next_update() == content.next_update);
  Require(crl->CheckSignedBy(Root().certificate).ok());
  CompareWithOpenSsl(*crl);
}

}  // namespace
}  // namespace lanyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lanyard::CheckDer(lanyard::AsText(data, size));
  lanyard::CheckPem(lanyard::AsText(data, size));
  lanyard::CheckSigned(lanyard::FuzzInput(data, size));
  return 0;
}
