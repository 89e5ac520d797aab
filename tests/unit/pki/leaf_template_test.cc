#include "pki/leaf_template.h"

#include <random>
#include <set>

#include "tests/unit/pki/pki_testing.h"

namespace lanyard::testing {
namespace {

// 2049-12-31T23:59:59Z and the second after it: `date -u -d @2524607999`
constexpr std::int64_t kLastUtcTime = 2524607999;

std::string RandomPath(std::mt19937& random, std::size_t length) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string path = "/";
  while (path.size() < length) {
    // Now and then a slash, but never two in a row nor one at the end
    const bool slash = random() % 16 == 0 && path.back() != '/' && path.size() + 1 < length;
    path += slash ? '/' : kAlphabet[random() % kAlphabet.size()];
  }
  return path;
}

void ExpectSame(const CertificateFields& wrote, const CertificateFields& read) {
  EXPECT_EQ(wrote.uri_sans, read.uri_sans);
  EXPECT_EQ(wrote.dns_sans, read.dns_sans);
  EXPECT_EQ(wrote.san_critical, read.san_critical);
  EXPECT_EQ(wrote.serial_hex, read.serial_hex);
  EXPECT_EQ(wrote.not_before, read.not_before);
  EXPECT_EQ(wrote.not_after, read.not_after);
  EXPECT_EQ(wrote.is_ca, read.is_ca);
  EXPECT_EQ(wrote.path_length, read.path_length);
  EXPECT_EQ(wrote.key_usage, read.key_usage);
  EXPECT_EQ(wrote.key_usage_critical, read.key_usage_critical);
  ASSERT_TRUE(read.extended_key_usage.has_value());
  EXPECT_EQ(wrote.extended_key_usage->server_auth, read.extended_key_usage->server_auth);
  EXPECT_EQ(wrote.extended_key_usage->client_auth, read.extended_key_usage->client_auth);
  EXPECT_EQ(wrote.extended_key_usage->oids, read.extended_key_usage->oids);
  EXPECT_EQ(wrote.subject_key_id, read.subject_key_id);
  EXPECT_EQ(wrote.authority_key_id, read.authority_key_id);
  EXPECT_EQ(wrote.subject_der, read.subject_der);
  EXPECT_EQ(wrote.issuer_der, read.issuer_der);
  EXPECT_EQ(wrote.spki_der, read.spki_der);
}

class LeafTemplateTest : public ::testing::Test {
 protected:
  // Writes a leaf, has OpenSSL read it, and compares every field with what the template says that it wrote.
  void Check(const SpiffeId& id, const std::vector<std::string>& dns_names, TimePoint not_before, TimePoint not_after) {
    const PrivateKey key = Get(PrivateKey::Generate(KeyType::kEcP256));
    const WrittenLeaf leaf = Get(template_.Write({id, dns_names, not_before, not_after}, key));
    const Certificate read = Get(Certificate::FromDer(leaf.der));  // refuses what is not exactly DER
    ExpectSame(leaf.fields, read.fields());
    EXPECT_EQ(read.uri_sans(), std::vector<std::string>{id.str()});
    EXPECT_EQ(read.dns_sans(), dns_names);
    EXPECT_EQ(read.not_before(), not_before);
    EXPECT_EQ(read.not_after(), not_after);
    EXPECT_TRUE(read.SignedBy(authority_.root.certificate));
    EXPECT_TRUE(Get(read.public_key()).SameAs(key.public_key()));
    EXPECT_EQ(Get(IdFromLeaf(read)), id);
  }

  Authority authority_;
  LeafTemplate template_ = Get(LeafTemplate::For(authority_.root.certificate, authority_.root.key));
};

TEST_F(LeafTemplateTest, OpensslReadsExactlyWhatWasWrittenForIdsOfEveryLength) {
  std::mt19937 random(20260701);
  const std::string prefix = "spiffe://example.org";
  // Around every length at which a DER length field grows, and some in between
  std::vector<std::size_t> lengths = {2, 3, 2048 - prefix.size()};
  for (std::size_t around : {127u, 128u, 256u, 1024u}) {
    for (std::size_t length = around - 60; length < around + 20; ++length) {
      if (length > prefix.size() + 2) lengths.push_back(length - prefix.size());
    }
  }
  for (int i = 0; i < 60; ++i) lengths.push_back(2 + random() % 2020);
  for (const std::size_t length : lengths) {
    const SpiffeId id = Get(SpiffeId::FromTrustDomainAndPath(Td(), RandomPath(random, length)));
    std::vector<std::string> dns_names;
    for (std::size_t i = random() % 4; i > 0; --i) dns_names.push_back("h" + std::to_string(random()) + ".example");
    const TimePoint begin(seconds(static_cast<std::int64_t>(random()) % 4000000000));
    SCOPED_TRACE(id.str());
    Check(id, dns_names, begin, begin + seconds(1 + random() % 100000000));
    if (HasFailure()) return;
  }
}

TEST_F(LeafTemplateTest, DatesChangeFormBetween2049And2050) {
  const SpiffeId id = Id("spiffe://example.org/a");
  for (std::int64_t end = kLastUtcTime - 2; end <= kLastUtcTime + 3; ++end)
    Check(id, {}, TimePoint(seconds(end - 1)), TimePoint(seconds(end)));
  const PrivateKey key = Get(PrivateKey::Generate(KeyType::kEcP256));
  const std::string der =
      Get(template_.Write({id, {}, TimePoint(seconds(kLastUtcTime)), TimePoint(seconds(kLastUtcTime + 1))}, key)).der;
  EXPECT_NE(der.find("\x17\x0d"
                     "491231235959Z"),
            std::string::npos);
  EXPECT_NE(der.find("\x18\x0f"
                     "20500101000000Z"),
            std::string::npos);
}

TEST_F(LeafTemplateTest, EarliestAndLatestDatesAreRead) {
  const SpiffeId id = Id("spiffe://example.org/a");
  Check(id, {}, TimePoint(seconds(0)), TimePoint(seconds(1)));
  Check(id, {}, TimePoint(seconds(951782400)), TimePoint(seconds(951868799)));                   // 29 February 2000
  Check(id, {}, TimePoint(seconds(-631152000)), std::chrono::floor<seconds>(TimePoint::max()));  // 1950-01-01
  const PrivateKey key = Get(PrivateKey::Generate(KeyType::kEcP256));
  EXPECT_THAT(template_.Write({id, {}, TimePoint(seconds(-631152001)), TimePoint(seconds(0))}, key),
              Refused("year 1949"));
}

TEST_F(LeafTemplateTest, SerialsArePositiveSixteenBytesAndDoNotRepeat) {
  const SpiffeId id = Id("spiffe://example.org/a");
  const PrivateKey key = Get(PrivateKey::Generate(KeyType::kEcP256));
  std::set<std::string> seen;
  for (int i = 0; i < 2000; ++i) {
    const std::string serial = Get(template_.Write({id, {}, Now(), Now() + hours(1)}, key)).fields.serial_hex;
    ASSERT_EQ(serial.size(), 32u);
    const int first = std::stoi(serial.substr(0, 2), nullptr, 16);
    ASSERT_GE(first, 0x01);
    ASSERT_LE(first, 0x7f);
    ASSERT_TRUE(seen.insert(serial).second);
  }
}

TEST_F(LeafTemplateTest, CopiesTheAuthoritysKeyIdWhateverItsForm) {
  const OpensslCli cli;
  const std::string usages = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n";
  const SpiffeId id = Id("spiffe://example.org/a");
  const std::vector<std::string> no_names;
  for (const std::string& key_id :
       {std::string("01"), std::string("0123456789abcdef"), std::string(300, 'a'), std::string()}) {
    cli.MakeCertificate("ca", "", usages + "subjectKeyIdentifier=" + (key_id.empty() ? "none" : key_id) + "\n");
    const Certificate ca = ReadCertificate(cli, "ca");
    EXPECT_EQ(ca.subject_key_id().size(), key_id.size() / 2);
    const LeafTemplate made = Get(LeafTemplate::For(ca, ReadKey(cli, "ca")));
    const WrittenLeaf leaf =
        Get(made.Write({id, no_names, Now(), Now() + hours(1)}, Get(PrivateKey::Generate(KeyType::kEcP256))));
    const Certificate read = Get(Certificate::FromDer(leaf.der));
    EXPECT_EQ(read.authority_key_id(), ca.subject_key_id());
    ExpectSame(leaf.fields, read.fields());
    EXPECT_TRUE(read.SignedBy(ca));
  }
}

TEST_F(LeafTemplateTest, RefusesOtherKeyTypes) {
  const PrivateKey p384 = Get(PrivateKey::Generate(KeyType::kEcP384));
  EXPECT_THAT(LeafTemplate::For(authority_.root.certificate, p384), Refused("issuer's key is not P-256"));
  const SpiffeId id = Id("spiffe://example.org/a");
  EXPECT_THAT(template_.Write({id, {}, Now(), Now() + hours(1)}, p384), Refused("leaf's key is not P-256"));
}

}  // namespace
}  // namespace lanyard::testing
