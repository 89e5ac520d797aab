#include "pki/dns_name.h"

#include "tests/unit/pki/pki_testing.h"

namespace lanyard::testing {
namespace {

TEST(DnsNameTest, AcceptsHostNames) {
  for (const char* name : {"a", "localhost", "refund.shop.svc.cluster.local", "a-b.c", "1.2.3.4", "_grpc._tcp.shop",
                           "xn--bcher-kva.example"}) {
    EXPECT_TRUE(CheckDnsName(name).ok()) << name;
  }
  EXPECT_TRUE(CheckDnsName(std::string(63, 'a')).ok());
}

TEST(DnsNameTest, RefusesWhatIsNoHostName) {
  for (const char* name : {"", ".", "a.", ".a", "a..b", "-a", "a-", "a-.b", "A", "a b", "a/b", "a:1", "spiffe://x"}) {
    EXPECT_FALSE(CheckDnsName(name).ok()) << name;
  }
  EXPECT_THAT(CheckDnsName(std::string(64, 'a')), Refused("64 bytes"));
  EXPECT_THAT(CheckDnsName(std::string("a\0.evil", 7)), Refused("0x00"));
  std::string longest;
  while (longest.size() < 254) longest += "a.";
  EXPECT_THAT(CheckDnsName(longest + "a"), Refused("at most 253"));
}

TEST(DnsNameTest, RefusesWildcards) {
  EXPECT_THAT(CheckDnsName("*.example.org"), Refused("wildcard"));
}

}  // namespace
}  // namespace lanyard::testing
