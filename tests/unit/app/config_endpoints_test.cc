#include "node_agent/app/config_endpoints.h"

#include "tests/unit/app/config_fixture.h"

namespace lanyard {
namespace {

using testing::ElementsAre;

TEST(ConfigEndpointsTest, TheBundleIsNotServedUnlessAnAddressIsGiven) {
  EXPECT_FALSE(ParseRest("")->endpoints.bundle.address.has_value());
  const Result<Config> off = ParseRest("endpoints: {bundle: {address: \"\", cert: \"\", key: \"\"}}\n");
  ASSERT_TRUE(off.ok()) << off.status();
  EXPECT_EQ(off->endpoints.bundle, BundleEndpointConfig{});
}

TEST(ConfigEndpointsTest, ReadsTheBundleEndpoint) {
  const Result<Config> own = ParseRest("endpoints: {bundle: {address: \"0.0.0.0:8443\"}}\n");
  ASSERT_TRUE(own.ok()) << own.status();
  EXPECT_EQ(own->endpoints.bundle.address->str(), "0.0.0.0:8443");
  EXPECT_EQ(own->endpoints.bundle.cert, "");
  const Result<Config> given =
      ParseRest("endpoints: {bundle: {address: \"[::1]:8443\", cert: /etc/tls/cert.pem, key: /etc/tls/key.pem}}\n");
  ASSERT_TRUE(given.ok()) << given.status();
  EXPECT_EQ(given->endpoints.bundle.cert, "/etc/tls/cert.pem");
  EXPECT_EQ(given->endpoints.bundle.key, "/etc/tls/key.pem");
}

TEST(ConfigEndpointsTest, RefusesWhatDoesNotFit) {
  EXPECT_THAT(ErrorsOfRest("endpoints: {bundle: {address: \"0.0.0.0:8443\", cert: /a}}\n"),
              ElementsAre(At("2:13", "cert and key belong together")));
  EXPECT_THAT(ErrorsOfRest("endpoints: {bundle: {address: \"bundle.example.org:443\"}}\n"),
              ElementsAre(At("2:22", "no IP address")));
  EXPECT_THAT(ErrorsOfRest("endpoints: {bundle: {address: \"1.2.3.4:1\", cert: a, key: /b}}\n"),
              ElementsAre(At("2:13", "belong together"), At("2:44", "absolute path")));
  EXPECT_THAT(ErrorsOfRest("endpoints: {bundle: \"127.0.0.1:8443\"}\n"), ElementsAre(At("2:13", "a map")));
  EXPECT_THAT(ErrorsOfRest("endpoints: {bundle: {adress: \"1.2.3.4:1\"}}\n"),
              ElementsAre(At("2:22", "did you mean 'address'?")));
  EXPECT_THAT(ErrorsOfRest("endpoints: {bundle: {address: \"127.0.0.1:9464\"}}\n"),
              ElementsAre(At("2:13", "does not speak TLS")));
}

TEST(ConfigEndpointsTest, TheCertificateLiesOutsideTheWorkloadSocketsDirectory) {
  EXPECT_THAT(ErrorsOfRest("workload_socket: {path: /srv/w/workload.sock}\n"
                           "endpoints: {bundle: {address: \"1.2.3.4:1\", cert: /srv/c, key: /srv/w/k}}\n"),
              ElementsAre(At("3:58", "in or under /srv/w")));
}

}  // namespace
}  // namespace lanyard
