#include "node_agent/app/config_example.h"

#include <gmock/gmock.h>

#include "node_agent/app/config.h"

namespace lanyard {
namespace {

TEST(ConfigExampleTest, ParsesAndEqualsTheDefaults) {
  const Result<Config> example = ParseConfig(ConfigExample(), "example.yaml", EnvironmentVariables());
  ASSERT_TRUE(example.ok()) << example.status();
  const Config defaults(*TrustDomain::Parse("example.org"));
  EXPECT_EQ(example->trust_domain, defaults.trust_domain);
  EXPECT_EQ(example->environment, defaults.environment);
  EXPECT_EQ(example->data_dir, defaults.data_dir);
  EXPECT_EQ(example->workload_socket.path, defaults.workload_socket.path);
  EXPECT_EQ(example->workload_socket.mode, defaults.workload_socket.mode);
  EXPECT_EQ(example->admin_socket.path, defaults.admin_socket.path);
  EXPECT_EQ(example->admin_socket.mode, defaults.admin_socket.mode);
  EXPECT_EQ(example->admin_socket.group, defaults.admin_socket.group);
  EXPECT_EQ(example->admin_socket.other_pid_namespaces, defaults.admin_socket.other_pid_namespaces);
  EXPECT_EQ(example->embedded_ca.key_type, defaults.embedded_ca.key_type);
  EXPECT_EQ(example->embedded_ca.ca_ttl, defaults.embedded_ca.ca_ttl);
  EXPECT_FALSE(example->embedded_ca.given.has_value());
  EXPECT_EQ(example->svid.x509_ttl, defaults.svid.x509_ttl);
  EXPECT_EQ(example->svid.key_type, defaults.svid.key_type);
  EXPECT_EQ(example->attestors.unix_executable, defaults.attestors.unix_executable);
  EXPECT_EQ(example->attestors.systemd, defaults.attestors.systemd);
  EXPECT_FALSE(example->attestors.docker.has_value());
  EXPECT_FALSE(example->attestors.containerd.has_value());
  EXPECT_EQ(example->registry_paths, defaults.registry_paths);
  EXPECT_EQ(example->svid.jwt_ttl, defaults.svid.jwt_ttl);
  EXPECT_EQ(example->oidc.issuer, defaults.oidc.issuer);
  EXPECT_TRUE(example->limits.per_caller == defaults.limits.per_caller);
  EXPECT_TRUE(example->limits.per_identity == defaults.limits.per_identity);
  EXPECT_EQ(example->limits.reattestation_interval, defaults.limits.reattestation_interval);
  EXPECT_EQ(example->limits.attestation_timeout, defaults.limits.attestation_timeout);
  EXPECT_EQ(example->audit.path, defaults.audit.path);
  EXPECT_EQ(example->audit.checkpoints_to, defaults.audit.checkpoints_to);
  EXPECT_EQ(example->audit.checkpoint_interval, defaults.audit.checkpoint_interval);
  EXPECT_EQ(example->audit.sync, defaults.audit.sync);
  EXPECT_EQ(example->audit.rotate_bytes, defaults.audit.rotate_bytes);
  EXPECT_EQ(example->audit.keep_files, defaults.audit.keep_files);
  EXPECT_EQ(example->endpoints.metrics, defaults.endpoints.metrics);
  EXPECT_EQ(example->endpoints.health, defaults.endpoints.health);
  EXPECT_EQ(example->endpoints.bundle, defaults.endpoints.bundle);
  EXPECT_EQ(example->federation, defaults.federation);
  EXPECT_EQ(example->log.level, defaults.log.level);
  EXPECT_EQ(example->log.format, defaults.log.format);
}

TEST(ConfigExampleTest, NamesEveryKeyThatIsSupported) {
  const std::string text = ConfigExample();
  for (const char* key : {"trust_domain",
                          "environment",
                          "data_dir",
                          "workload_socket",
                          "path",
                          "mode",
                          "admin_socket",
                          "group",
                          "other_pid_namespaces",
                          "identity_source",
                          "embedded_ca",
                          "key_type",
                          "ca_ttl",
                          "issuer_cert",
                          "issuer_key",
                          "upstream_roots",
                          "issuer_root_crl",
                          "svid",
                          "jwt_authority_key",
                          "x509_ttl",
                          "jwt_ttl",
                          "oidc",
                          "issuer",
                          "attestors",
                          "unix",
                          "executable",
                          "systemd",
                          "bus_socket",
                          "process",
                          "registry",
                          "paths",
                          "state",
                          "sqlite",
                          "audit",
                          "checkpoints_to",
                          "checkpoint_interval",
                          "sync",
                          "rotate_at",
                          "keep_files",
                          "endpoints",
                          "metrics",
                          "health",
                          "bundle",
                          "address",
                          "cert",
                          "key",
                          "federation",
                          "trust_domains",
                          "bundle_path",
                          "limits",
                          "per_caller",
                          "connections",
                          "connections_per_second",
                          "calls_per_second",
                          "calls_in_flight",
                          "streams",
                          "per_identity",
                          "attestation_timeout",
                          "reattestation_interval",
                          "log",
                          "level",
                          "format"}) {
    EXPECT_THAT(text, testing::HasSubstr(key));
  }
}

}  // namespace
}  // namespace lanyard
