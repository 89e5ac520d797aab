#include "node_agent/app/config.h"

#include <gmock/gmock.h>
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>

#include "tests/support/temp_dir.h"
#include "tests/unit/app/config_fixture.h"

namespace lanyard {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

TEST(ConfigTest, NeedsNothingButTheTrustDomain) {
  const Result<Config> config = Parse("trust_domain: example.org\n");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->trust_domain.name(), "example.org");
  EXPECT_EQ(config->environment, Environment::kDevelopment);
  EXPECT_EQ(config->data_dir, "/var/lib/lanyard");
  EXPECT_EQ(config->workload_socket.path, "/run/lanyard/workload.sock");
  EXPECT_EQ(config->workload_socket.mode, 0777u);
  EXPECT_EQ(config->admin_socket.path, "/run/lanyard-admin/admin.sock");
  EXPECT_EQ(config->admin_socket.mode, 0600u);
  EXPECT_EQ(config->admin_socket.directory_mode(), 0700u);
  EXPECT_EQ(config->embedded_ca.ca_ttl, std::chrono::hours(720));
  EXPECT_EQ(config->svid.x509_ttl, std::chrono::hours(1));
  EXPECT_THAT(config->registry_paths, ElementsAre("/etc/lanyard/registry.d"));
}

TEST(ConfigTest, ReadsEveryKey) {
  TempDir dir;
  const Result<Config> config = Parse(fmt::format(R"(trust_domain: spiffe://example.org
environment: production
data_dir: {0}/data
workload_socket: {{path: {0}/w/workload.sock, mode: "0770"}}
admin_socket: {{path: {0}/a/admin.sock, group: root, other_pid_namespaces: true}}
identity_source:
  embedded_ca: {{key_type: ec-p384, ca_ttl: 6h}}
svid: {{x509_ttl: 15m, key_type: rsa-2048}}
attestors: {{unix: {{executable: false}}, process: {{}}, systemd: {{bus_socket: {0}/bus, timeout: 3s}}}}
registry: {{paths: [{0}/r1, {0}/r2]}}
limits:
  attestation_timeout: 250ms
  reattestation_interval: 10s
  per_identity: {{calls_per_second: 12, streams: 13}}
  per_caller: {{connections: 7, connections_per_second: 8, calls_per_second: 9, calls_in_flight: 10, streams: 11}}
log: {{level: debug, format: json}}
)",
                                                  dir.path()));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->trust_domain.name(), "example.org");
  EXPECT_EQ(config->environment, Environment::kProduction);
  EXPECT_EQ(config->data_dir, dir.Path("data"));
  EXPECT_EQ(config->workload_socket.path, dir.Path("w/workload.sock"));
  EXPECT_EQ(config->workload_socket.mode, 0770u);
  EXPECT_EQ(config->admin_socket.group, "root");
  EXPECT_EQ(config->admin_socket.mode, 0660u);
  EXPECT_EQ(config->admin_socket.directory_mode(), 0750u);
  EXPECT_TRUE(config->admin_socket.other_pid_namespaces);
  EXPECT_EQ(config->attestors.systemd,
            (SystemdOptions{.bus_socket = dir.Path("bus"), .timeout = std::chrono::seconds(3)}));
  EXPECT_EQ(config->embedded_ca.key_type, KeyType::kEcP384);
  EXPECT_EQ(config->embedded_ca.ca_ttl, std::chrono::hours(6));
  EXPECT_EQ(config->svid.x509_ttl, std::chrono::minutes(15));
  EXPECT_EQ(config->svid.key_type, KeyType::kRsa2048);
  EXPECT_FALSE(config->attestors.unix_executable);
  EXPECT_THAT(config->registry_paths, ElementsAre(dir.Path("r1"), dir.Path("r2")));
  EXPECT_TRUE(config->limits.per_caller == (CallerLimits{7, 8, 9, 10, 11}));
  EXPECT_TRUE(config->limits.per_identity == (IdentityLimitSettings{12, 13}));
  EXPECT_EQ(config->limits.attestation_timeout, std::chrono::milliseconds(250));
  EXPECT_EQ(config->limits.reattestation_interval, std::chrono::seconds(10));
  EXPECT_EQ(config->log.level, LogLevel::kDebug);
  EXPECT_EQ(config->log.format, LogFormat::kJson);
}

TEST(ConfigTest, ExpandsVariablesInValues) {
  const std::map<std::string, std::string> values = {{"TD", "example.org"}, {"TTL", "30m"}};
  const YamlVariables variables = [&](const std::string& name) -> std::optional<std::string> {
    const auto found = values.find(name);
    return found == values.end() ? std::nullopt : std::optional(found->second);
  };
  const Result<Config> config = ParseConfig("trust_domain: ${TD}\nsvid: {x509_ttl: \"${TTL}\"}\n", "f", variables);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->svid.x509_ttl, std::chrono::minutes(30));
  EXPECT_THAT(ErrorLines(ParseConfig("trust_domain: ${NOT_SET}\n", "f", variables).status()),
              ElementsAre(testing::AllOf(StartsWith("f:1:"), HasSubstr("NOT_SET"))));
}

TEST(ConfigTest, AVariableCannotAddKeys) {
  const YamlVariables variables = [](const std::string&) { return std::optional<std::string>("info\nfederation: {}"); };
  const Result<Config> config = ParseConfig("trust_domain: example.org\nlog:\n  level: ${LEVEL}\n", "f", variables);
  EXPECT_THAT(ErrorLines(config.status()),
              ElementsAre(testing::AllOf(StartsWith("f:3:3: "), HasSubstr("unknown log level"))))
      << config.status();
}

TEST(ConfigTest, AnEmptyFileIsAnErrorNotADefault) {
  EXPECT_THAT(Errors(""), ElementsAre(At("1:1", "trust_domain")));
  EXPECT_THAT(Errors("# only a comment\n"), ElementsAre(StartsWith("lanyard.yaml:1:1: ")));
}

TEST(ConfigTest, ASecondDocumentIsAnError) {
  EXPECT_THAT(Errors("trust_domain: example.org\n---\ntrust_domain: other.org\n"),
              ElementsAre(At("3:1", "one YAML document")));
}

TEST(ConfigTest, SaysThatTheTrustDomainIsMissing) {
  EXPECT_THAT(Errors("environment: staging\n"), ElementsAre(At("1:1", "trust_domain is missing")));
}

TEST(ConfigTest, RefusesATrustDomainWithAPath) {
  EXPECT_THAT(Errors("trust_domain: spiffe://example.org/agent\n"), ElementsAre(At("1:1", "without a path")));
  EXPECT_THAT(Errors("trust_domain: Example.org\n"), ElementsAre(StartsWith("lanyard.yaml:1:1: ")));
}

TEST(ConfigTest, SuggestsTheKeyThatWasMeant) {
  EXPECT_THAT(ErrorsOfRest("enviroment: production\n"), ElementsAre(At("2:1", "did you mean 'environment'?")));
  EXPECT_THAT(ErrorsOfRest("svid:\n  x509_tll: 5m\n"), ElementsAre(At("3:3", "did you mean 'x509_ttl'?")));
}

TEST(ConfigTest, PlannedKeysAreNotSupportedYetAndNeverIgnored) {
  for (const std::string key : {"tiers", "decisions"}) {
    EXPECT_THAT(ErrorsOfRest(key + ": {}\n"), ElementsAre(At("2:1", "not supported yet"))) << key;
  }
  EXPECT_THAT(ErrorsOfRest("attestors:\n  plugins: {}\n"), ElementsAre(At("3:3", "not supported yet")));
  EXPECT_THAT(ErrorsOfRest("identity_source:\n  spire_server: {}\n"), ElementsAre(At("3:3", "not supported yet")));
  EXPECT_THAT(ErrorsOfRest("limits:\n  crl_push_interval: 1s\n"), ElementsAre(At("3:3", "not supported yet")));
  EXPECT_THAT(ErrorsOfRest("state:\n  etcd: {}\n"), ElementsAre(At("3:3", "not supported yet")));
  for (const std::string key : {"authzen", "ext_authz", "broker"}) {
    EXPECT_THAT(ErrorsOfRest("endpoints:\n  " + key + ": x\n"), ElementsAre(At("3:3", "not supported yet"))) << key;
  }
}

TEST(ConfigTest, ReportsAllErrorsInTheOrderOfTheFile) {
  EXPECT_THAT(
      Errors("trust_domain: EXAMPLE\n"
             "environment: test\n"
             "svid: {x509_ttl: 90, key_type: ed25519}\n"
             "log:\n"
             "  level: loud\n"
             "  format: xml\n"
             "tiers: {}\n"
             "registry: {paths: [relative]}\n"),
      ElementsAre(At("1:1", ""), At("2:1", "test"), At("3:8", "no unit"), At("3:22", "ed25519"), At("5:3", "loud"),
                  At("6:3", "xml"), At("7:1", "not supported yet"), At("8:20", "absolute path")));
}

TEST(ConfigTest, RefusesValuesOfTheWrongKind) {
  EXPECT_THAT(ErrorsOfRest("svid: 5m\n"), ElementsAre(StartsWith("lanyard.yaml:2:1: ")));
  EXPECT_THAT(ErrorsOfRest("registry: {paths: /etc/x}\n"), ElementsAre(StartsWith("lanyard.yaml:2:12: ")));
  EXPECT_THAT(ErrorsOfRest("registry: {paths: []}\n"), ElementsAre(At("2:12", "at least one")));
  EXPECT_THAT(ErrorsOfRest("attestors: {unix: {executable: yes}}\n"), ElementsAre(StartsWith("lanyard.yaml:2:20: ")));
  EXPECT_THAT(ErrorsOfRest("attestors: {process: {cgroup: true}}\n"), ElementsAre(At("2:23", "unknown key")));
  EXPECT_THAT(ErrorsOfRest("limits:\n  per_caller: {connections: 0, streams: many, calls: 1}\n"),
              ElementsAre(StartsWith("lanyard.yaml:3:16: "), StartsWith("lanyard.yaml:3:32: "),
                          StartsWith("lanyard.yaml:3:47: ")));
  EXPECT_THAT(ErrorsOfRest("limits: {attestation_timeout: 2m}\n"), ElementsAre(At("2:10", "too long")));
  EXPECT_THAT(ErrorsOfRest("limits: {reattestation_interval: 100ms, per_identity: {connections: 1}}\n"),
              testing::SizeIs(2));
}

TEST(ConfigTest, RefusesLifetimesThatAreTooShortOrNotWholeSeconds) {
  EXPECT_THAT(ErrorsOfRest("svid: {x509_ttl: 4s}\n"), ElementsAre(At("2:8", "too short")));
  EXPECT_THAT(ErrorsOfRest("svid: {x509_ttl: 90500ms}\n"), ElementsAre(At("2:8", "multiple of 1s")));
  EXPECT_THAT(ErrorsOfRest("identity_source: {embedded_ca: {ca_ttl: 30s}}\n"), ElementsAre(At("2:33", "too short")));
}

TEST(ConfigTest, ModesAreQuotedOctal) {
  EXPECT_THAT(ErrorsOfRest("workload_socket: {mode: 0777}\n"), ElementsAre(StartsWith("lanyard.yaml:2:19: ")));
  EXPECT_THAT(ErrorsOfRest("workload_socket: {mode: \"4777\"}\n"), ElementsAre(At("2:19", "special bits")));
}

TEST(ConfigTest, APathHasNoSlashAndNoDotAtItsEnd) {
  for (const char* path : {"/srv/x", "/srv/x/", "/srv/x//", "/srv/x/.", "/srv/./x/./"})
    EXPECT_EQ(ParseRest(fmt::format("data_dir: {}\n", path)).value().data_dir, "/srv/x") << path;
}

TEST(ConfigTest, RefusesSocketPathsThatDoNotFit) {
  const std::string fits = "/" + std::string(106, 'x');
  EXPECT_THAT(ErrorsOfRest("workload_socket: {path: " + fits + "y}\n"), ElementsAre(At("2:19", "108 bytes")));
  EXPECT_THAT(ErrorsOfRest("workload_socket: {path: run/w.sock}\n"), ElementsAre(At("2:19", "absolute path")));
  EXPECT_THAT(ErrorsOfRest("workload_socket: {path: /run/lanyard/../w.sock}\n"), ElementsAre(At("2:19", "\"..\"")));
}

TEST(ConfigTest, TheAdminSocketsModeFollowsFromItsGroup) {
  EXPECT_THAT(ErrorsOfRest("admin_socket: {mode: \"0666\"}\n"), ElementsAre(At("2:16", "is \"0600\", not \"0666\"")));
  EXPECT_THAT(ErrorsOfRest("admin_socket: {mode: \"0660\"}\n"), ElementsAre(At("2:16", "set group")));
  EXPECT_THAT(ErrorsOfRest("admin_socket: {mode: \"0600\", group: root}\n"), ElementsAre(At("2:16", "\"0660\"")));
  EXPECT_TRUE(ParseRest("admin_socket: {mode: \"0660\", group: root}\n").ok());
}

TEST(ConfigTest, RefusesAGroupThatThisMachineDoesNotHave) {
  EXPECT_THAT(ErrorsOfRest("admin_socket: {group: no-such-group-here}\n"),
              ElementsAre(At("2:16", "no-such-group-here")));
}

TEST(ConfigTest, RefusesAnAdminDirectoryThatLetsOthersIn) {
  TempDir dir;
  ASSERT_EQ(chmod(dir.path().c_str(), 0755), 0);
  const std::string text = fmt::format("admin_socket: {{path: {}/admin.sock}}\n", dir.path());
  EXPECT_THAT(ErrorsOfRest(text), ElementsAre(At("2:16", "mode 0755, which lets others in")));
  ASSERT_EQ(chmod(dir.path().c_str(), 0700), 0);
  EXPECT_THAT(ErrorsOfRest(text), IsEmpty());
}

std::string Sockets(const std::string& workload, const std::string& admin) {
  return fmt::format("workload_socket: {{path: {}}}\nadmin_socket:\n  path: {}\n", workload, admin);
}

// The attack: a container gets the workload socket's directory mounted, and uid 0 in it passes mode 0600.
TEST(ConfigTest, RefusesAnAdminSocketInOrUnderTheWorkloadDirectory) {
  TempDir dir;
  EXPECT_THAT(ErrorsOfRest(Sockets(dir.Path("w/workload.sock"), dir.Path("w/admin.sock"))),
              ElementsAre(At("4:3", "the workload socket's directory")));
  EXPECT_THAT(ErrorsOfRest(Sockets(dir.Path("w/workload.sock"), dir.Path("w/admin/admin.sock"))),
              ElementsAre(At("4:3", "in or under")));
  EXPECT_THAT(ErrorsOfRest(Sockets(dir.Path("w/same.sock"), dir.Path("w/same.sock"))),
              ElementsAre(At("4:3", "in or under")));
  EXPECT_THAT(ErrorsOfRest(Sockets(dir.Path("w/workload.sock"), dir.Path("w-admin/admin.sock"))), IsEmpty());
}

TEST(ConfigTest, SeesThroughLinksIntoTheWorkloadDirectory) {
  TempDir dir;
  ASSERT_EQ(mkdir((dir.Path("w")).c_str(), 0700), 0);
  ASSERT_EQ(symlink((dir.Path("w")).c_str(), (dir.Path("a")).c_str()), 0);
  EXPECT_THAT(ErrorsOfRest(Sockets(dir.Path("w/workload.sock"), dir.Path("a/admin.sock"))),
              ElementsAre(At("4:3", "in or under")));
  EXPECT_THAT(ErrorsOfRest(Sockets(dir.Path("w/workload.sock"), dir.Path("a/below/admin.sock"))),
              ElementsAre(At("4:3", "in or under")));
  EXPECT_THAT(ErrorsOfRest(Sockets(dir.Path("a/workload.sock"), dir.Path("w/admin.sock"))),
              ElementsAre(At("4:3", "in or under")));
}

TEST(ConfigTest, RefusesALinkThatLeadsNowhereYet) {
  TempDir dir;
  ASSERT_EQ(symlink((dir.Path("w")).c_str(), (dir.Path("a")).c_str()),
            0);  // w comes into being with the workload socket
  EXPECT_THAT(ErrorsOfRest(Sockets(dir.Path("w/workload.sock"), dir.Path("a/x/admin.sock"))),
              ElementsAre(At("4:3", "symbolic link")));
}

TEST(ConfigTest, KeepsKeysAndRegistryOutOfTheWorkloadDirectoryToo) {
  const std::string socket = "workload_socket: {path: /srv/w/workload.sock}\n";
  EXPECT_THAT(ErrorsOfRest(socket + "data_dir: /srv/w/data\n"), ElementsAre(At("3:1", "in or under")));
  EXPECT_THAT(ErrorsOfRest(socket + "registry: {paths: [/srv/w/registry]}\n"), ElementsAre(At("3:20", "in or under")));
  EXPECT_THAT(
      ErrorsOfRest(socket +
                   "identity_source: {embedded_ca: {issuer_cert: /a, issuer_key: /srv/w/k, upstream_roots: /c}}\n"),
      ElementsAre(At("3:50", "issuer_key is in or under")));
  EXPECT_THAT(
      ErrorsOfRest(socket + "identity_source: {embedded_ca: {issuer_cert: /a, issuer_key: /b, upstream_roots: /c, "
                            "issuer_root_crl: /srv/w/r}}\n"),
      ElementsAre(At("3:86", "issuer_root_crl is in or under")));
}

TEST(ConfigTest, RefusesTheSameRegistryPathTwice) {
  EXPECT_THAT(ErrorsOfRest("registry:\n  paths:\n    - /srv/r\n    - /srv/r/\n"),
              ElementsAre(At("5:7", "named twice")));
  TempDir dir;
  ASSERT_EQ(mkdir((dir.Path("r")).c_str(), 0700), 0);
  ASSERT_EQ(symlink((dir.Path("r")).c_str(), (dir.Path("s")).c_str()), 0);
  EXPECT_THAT(ErrorsOfRest(fmt::format("registry:\n  paths:\n    - {0}/r\n    - {0}/s\n", dir.path())),
              ElementsAre(At("5:7", "named twice")));
}

TEST(ConfigTest, SaysNothingAboutAgreementWithAValueThatCouldNotBeRead) {
  // The default of ca_ttl would be long enough, the one in the file is nonsense: one error, not two.
  EXPECT_THAT(ErrorsOfRest("identity_source: {embedded_ca: {ca_ttl: soon}}\nsvid: {x509_ttl: 200h}\n"),
              ElementsAre(StartsWith("lanyard.yaml:2:33: ")));
}

TEST(ConfigTest, AFileThatIsNotThereIsNotAnEmptyConfiguration) {
  const Result<Config> config = LoadConfig("/nonexistent/lanyard.yaml");
  EXPECT_EQ(config.status().code(), StatusCode::kNotFound);
  EXPECT_THAT(std::string(Message(config.status())), HasSubstr("/nonexistent/lanyard.yaml"));
}

}  // namespace
}  // namespace lanyard
