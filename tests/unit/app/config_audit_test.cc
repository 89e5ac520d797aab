// What the configuration says about the audit log and the endpoints.
#include "tests/unit/app/config_fixture.h"

namespace lanyard {
namespace {

using testing::ElementsAre;

TEST(ConfigTest, ReadsTheAuditLogsSettings) {
  const auto config = ParseConfig(
      "trust_domain: example.org\naudit: {path: /srv/a.jsonl, checkpoints_to: syslog, checkpoint_interval: 5s, sync: "
      "second, rotate_at: 2GiB, keep_files: 0}\nendpoints: {metrics: \"[::1]:9000\", health: \"\"}\n",
      "lanyard.yaml", {});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->audit.path, "/srv/a.jsonl");
  EXPECT_EQ(config->audit.checkpoints_to, "syslog");
  EXPECT_EQ(config->audit.sync, SyncPolicy::kEverySecond);
  EXPECT_EQ(config->audit.rotate_bytes, uint64_t{2} << 30);
  EXPECT_EQ(config->audit.keep_files, 0u);
  EXPECT_EQ(config->endpoints.metrics->port, 9000);
  EXPECT_FALSE(config->endpoints.health.has_value());
}

TEST(ConfigTest, TheAuditLogLiesInTheDataDirectoryUnlessItIsSaidWhere) {
  const auto config = ParseConfig("trust_domain: example.org\ndata_dir: /srv/lanyard\n", "lanyard.yaml", {});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->audit.path, "/srv/lanyard/audit/audit.jsonl");
  EXPECT_EQ(AuditOptionsOf(*config).key_path, "/srv/lanyard/audit.key");
}

TEST(ConfigTest, RefusesSettingsOfTheAuditLogThatItCannotMean) {
  EXPECT_THAT(ErrorsOfRest("audit: {rotate_at: 64}\n"), ElementsAre(At("2:9", "is not a size")));
  EXPECT_THAT(ErrorsOfRest("audit: {rotate_at: 99999999999GiB}\n"), ElementsAre(At("2:9", "is not a size")));
  EXPECT_THAT(ErrorsOfRest("audit: {rotate_at: 1KiB}\n"), ElementsAre(At("2:9", "too small")));
  EXPECT_THAT(ErrorsOfRest("audit: {sync: never}\n"), ElementsAre(At("2:9", "batch, issue and second")));
  EXPECT_THAT(ErrorsOfRest("audit: {path: a.jsonl}\n"), ElementsAre(At("2:9", "absolute path")));
  EXPECT_THAT(ErrorsOfRest("audit: {path: /srv/a, checkpoints_to: /srv/a}\n"),
              ElementsAre(At("2:23", "the audit log itself")));
  EXPECT_THAT(ErrorsOfRest("endpoints: {metrics: localhost}\n"), ElementsAre(At("2:13", "localhost")));
}

}  // namespace
}  // namespace lanyard
