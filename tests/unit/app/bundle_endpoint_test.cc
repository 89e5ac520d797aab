#include "node_agent/app/bundle_endpoint.h"

#include "tests/unit/identity/identity_fixture.h"

namespace lanyard {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

TEST(BundleEndpointTest, WithACertificateThatHasExpiredItIsBrokenUntilItHasANewOne) {
  lanyard::testing::World world;
  lanyard::testing::FakeSource source(world.loop, world.clock);
  SvidCache svids(source, world.loop, world.clock, {.default_ttl = 60s}, [] { return 0.5; });
  WitSvidCache wits(source, world.loop, world.clock, {}, [] { return 0.5; });
  UpdateHub hub(svids, wits, source, world.clock);
  TempDir dir;
  auto endpoint = BundleEndpoint::Start({world.loop, world.clock, svids, source, hub},
                                        {.config = {.address = HttpAddress{"127.0.0.1", 0}, .cert = {}, .key = {}},
                                         .trust_domain = lanyard::testing::ExampleOrg(),
                                         .oidc_issuer = {},
                                         .sequence_file = dir.Path("bundle.sequence"),
                                         .refresh_hint = 300s});
  ASSERT_TRUE(endpoint.ok()) << endpoint.status();
  world.Settle();
  EXPECT_EQ((*endpoint)->health().level, HealthLevel::kGood) << (*endpoint)->health().text;

  source.failure = Error(StatusCode::kUnavailable, "the authority is away");
  world.Pass(70s);
  EXPECT_EQ((*endpoint)->health().level, HealthLevel::kBroken);
  EXPECT_THAT((*endpoint)->health().text, HasSubstr("is valid from"));
  EXPECT_THAT((*endpoint)->health().text, HasSubstr("the authority is away"));

  source.failure = OkStatus();
  world.Pass(10s);
  EXPECT_EQ((*endpoint)->health().level, HealthLevel::kGood) << (*endpoint)->health().text;
}

}  // namespace
}  // namespace lanyard
