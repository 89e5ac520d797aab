#include "node_agent/app/config_reload.h"

#include <gmock/gmock.h>

#include "node_agent/app/config_example.h"

namespace lanyard {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// The example with `key: value` lines put in place of its own.
Config With(std::string_view yaml) {
  return ParseConfig(fmt::format("trust_domain: example.org\n{}", yaml), "lanyard.yaml", {}).value();
}

TEST(ConfigReloadTest, NothingChangesWhenTheFileSaysTheSame) {
  const ConfigReload reload = ReloadConfig(With(""), With(""));
  EXPECT_THAT(reload.taken_over, IsEmpty());
  EXPECT_THAT(reload.need_restart, IsEmpty());
}

TEST(ConfigReloadTest, TakesOverWhatCanChangeAndNamesIt) {
  const ConfigReload reload = ReloadConfig(
      With(""), With("svid: {x509_ttl: 5m}\nlog: {level: debug}\nregistry: {paths: [/srv/r]}\n"
                     "audit: {keep_files: 3, rotate_at: 1MiB}\nendpoints: {metrics: \"\"}\nenvironment: production\n"));
  EXPECT_THAT(reload.taken_over, ElementsAre("environment", "svid.x509_ttl", "registry.paths", "audit.rotate_at",
                                             "audit.keep_files", "endpoints.metrics", "log.level"));
  EXPECT_THAT(reload.need_restart, IsEmpty());
  EXPECT_EQ(reload.in_force.svid.x509_ttl, std::chrono::minutes(5));
  EXPECT_EQ(reload.in_force.audit.keep_files, 3u);
  EXPECT_FALSE(reload.in_force.endpoints.metrics.has_value());
}

TEST(ConfigReloadTest, WhatTakesARestartIsNamedAndStaysAsItRuns) {
  const Config running = With("");
  const ConfigReload reload =
      ReloadConfig(running, With("data_dir: /srv/lanyard\nworkload_socket: {path: /run/x/w.sock}\nadmin_socket: {path: "
                                 "/run/y/a.sock}\nattestors: {unix: {executable: false}}\nlog: {format: json}\n"
                                 "identity_source: {embedded_ca: {ca_ttl: 1440h}}\n"));
  EXPECT_THAT(reload.need_restart, ElementsAre("data_dir", "workload_socket", "admin_socket",
                                               "identity_source.embedded_ca", "attestors.unix.executable",
                                               "audit.path",  // lies in data_dir
                                               "log.format"));
  EXPECT_THAT(reload.taken_over, IsEmpty());
  EXPECT_EQ(reload.in_force.data_dir, running.data_dir);
  EXPECT_EQ(reload.in_force.log.format, LogFormat::kText);
}

TEST(ConfigReloadTest, WhatWaitsForARestartIsNamedAgainAtTheNextReload) {
  const Config wanted = With("data_dir: /srv/lanyard\n");
  const ConfigReload first = ReloadConfig(With(""), wanted);
  EXPECT_EQ(ReloadConfig(first.in_force, wanted).need_restart, first.need_restart);
}

// Each key of the example differs in exactly one setting of the table: a key that nobody thought of would be ignored.
TEST(ConfigReloadTest, EveryKeyIsEitherTakenOverOrNamed) {
  for (const char* yaml : {"environment: staging\n",
                           "data_dir: /srv/l\n",
                           "workload_socket: {mode: \"0770\"}\n",
                           "admin_socket: {other_pid_namespaces: true}\n",
                           "identity_source: {embedded_ca: {key_type: ec-p384}}\n",
                           "svid: {x509_ttl: 5m}\n",
                           "svid: {jwt_ttl: 1m}\n",
                           "svid: {key_type: ec-p384}\n",
                           "oidc: {issuer: \"https://oidc.example.org\"}\n",
                           "attestors: {unix: {executable: false}}\n",
                           "attestors: {systemd: {}}\n",
                           "attestors: {docker: {}}\n",
                           "attestors: {containerd: {}}\n",
                           "registry: {paths: [/srv/r]}\n",
                           "audit: {path: /srv/a.jsonl}\n",
                           "audit: {checkpoints_to: syslog}\n",
                           "audit: {checkpoint_interval: 5s}\n",
                           "audit: {sync: second}\n",
                           "audit: {rotate_at: 1MiB}\n",
                           "audit: {keep_files: 1}\n",
                           "endpoints: {metrics: \"\"}\n",
                           "endpoints: {health: \"\"}\n",
                           "endpoints: {bundle: {address: \"127.0.0.1:8443\"}}\n",
                           "federation: {trust_domains: {partner.example: {bundle_path: /srv/p.json}}}\n",
                           "limits: {per_caller: {connections: 7}}\n",
                           "limits: {per_caller: {connections_per_second: 7}}\n",
                           "limits: {per_caller: {calls_per_second: 7}}\n",
                           "limits: {per_caller: {calls_in_flight: 7}}\n",
                           "limits: {per_caller: {streams: 7}}\n",
                           "limits: {per_identity: {calls_per_second: 7}}\n",
                           "limits: {per_identity: {streams: 7}}\n",
                           "limits: {reattestation_interval: 7s}\n",
                           "limits: {attestation_timeout: 1s}\n",
                           "log: {level: debug}\n",
                           "log: {format: json}\n"}) {
    const ConfigReload reload = ReloadConfig(With(""), With(yaml));
    EXPECT_GE(reload.taken_over.size() + reload.need_restart.size(), 1u) << yaml;
  }
}

}  // namespace
}  // namespace lanyard
