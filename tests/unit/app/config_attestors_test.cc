#include "node_agent/app/config_attestors.h"

#include <gmock/gmock.h>

#include "tests/unit/app/config_fixture.h"

namespace lanyard {
namespace {

using testing::ElementsAre;

TEST(ConfigAttestorsTest, SystemdIsAskedOnlyWhereItIsNamed) {
  EXPECT_FALSE(Parse("trust_domain: example.org\n")->attestors.systemd.has_value());
  const Result<Config> named = Parse("trust_domain: example.org\nattestors: {systemd: {}}\n");
  ASSERT_TRUE(named.ok()) << named.status();
  EXPECT_EQ(named->attestors.systemd, SystemdOptions{});
  EXPECT_EQ(named->attestors.systemd->bus_socket, "/run/dbus/system_bus_socket");
  EXPECT_THAT(ErrorsOfRest("attestors: {systemd: {bus_socket: bus}}\n"), ElementsAre(At("2:23", "absolute path")));
  EXPECT_THAT(ErrorsOfRest("attestors: {systemd: {bus: /x}}\n"), ElementsAre(At("2:23", "unknown key")));
}

TEST(ConfigAttestorsTest, AsksTheKubeletOnlyWhereKubernetesIsNamed) {
  const auto kubernetes = [](const std::string& rest) {
    const Result<Config> config = Parse("trust_domain: example.org\n" + rest);
    EXPECT_TRUE(config.ok()) << config.status();
    return config.ok() ? config->attestors.kubernetes : std::nullopt;
  };
  EXPECT_EQ(kubernetes(""), std::nullopt);
  EXPECT_EQ(kubernetes("attestors: {kubernetes: {}}\n"), KubernetesOptions());
  const auto all = kubernetes(
      "attestors: {kubernetes: {node_name: n1, refresh: 2s, timeout: 10s, kubelet: {address: 10.0.0.5, port: 10251, "
      "ca_path: /ca, cert_path: /c, key_path: /k}}}\n");
  EXPECT_EQ(all, (KubernetesOptions{.node_name = "n1",
                                    .address = "10.0.0.5",
                                    .port = 10251,
                                    .ca_path = "/ca",
                                    .cert_path = "/c",
                                    .key_path = "/k",
                                    .refresh = std::chrono::seconds(2),
                                    .timeout = std::chrono::seconds(10)}));
  EXPECT_EQ(kubernetes("attestors: {kubernetes: {kubelet: {read_only_port: 10255}}}\n")->read_only_port, 10255);
}

TEST(ConfigAttestorsTest, AsksTheApiServerOnlyWhereItsAddressIsNamed) {
  const Result<Config> config = Parse(
      "trust_domain: example.org\nattestors: {kubernetes: {api_server: {address: 10.96.0.1, port: 6443, ca_path: /ca, "
      "token_path: /t}}}\n");
  ASSERT_TRUE(config.ok()) << config.status();
  KubernetesOptions expected;
  expected.api_address = "10.96.0.1";
  expected.api_port = 6443;
  expected.api_ca_path = "/ca";
  expected.api_token_path = "/t";
  EXPECT_EQ(config->attestors.kubernetes, expected);
  EXPECT_EQ(KubernetesOptions().api_address, "");
  EXPECT_THAT(ErrorsOfRest("attestors: {kubernetes: {api_server: {}}}\n"), ElementsAre(At("2:26", "api_server")));
}

TEST(ConfigAttestorsTest, RefusesAKubeletThatCannotBeAsked) {
  const auto errors = [](const std::string& kubelet) {
    return ErrorsOfRest("attestors: {kubernetes: {kubelet: " + kubelet + "}}\n");
  };
  EXPECT_THAT(errors("{cert_path: /c}"), ElementsAre(At("2:26", "belong together")));
  EXPECT_THAT(errors("{anonymous: true, token_path: /t}"), ElementsAre(At("2:26", "without credentials")));
  EXPECT_THAT(errors("{port: 0}"), ElementsAre(At("2:36", "")));
  EXPECT_THAT(errors("{address: \"not a host\"}"), ElementsAre(At("2:26", "kubelet")));
  EXPECT_THAT(errors("{adress: x}"), ElementsAre(At("2:36", "did you mean 'address'?")));
}

TEST(ConfigAttestorsTest, WarnsWhereAnotherKubeletWouldBeBelieved) {
  using testing::HasSubstr;
  const auto warnings = [](KubernetesOptions options) { return AttestorWarnings({.kubernetes = std::move(options)}); };
  EXPECT_THAT(AttestorWarnings({}), testing::IsEmpty());
  EXPECT_THAT(warnings({.node_name = "n1"}), testing::IsEmpty());
  EXPECT_THAT(warnings({}), ElementsAre(HasSubstr("node_name")));
  EXPECT_THAT(warnings({.node_name = "n1", .skip_verification = true}), ElementsAre(HasSubstr("gets the token")));
  EXPECT_THAT(warnings({.node_name = "n1", .read_only_port = 10255}), ElementsAre(HasSubstr("read_only_port")));
}

TEST(ConfigAttestorsTest, AsksContainerEnginesOnlyWhereTheyAreNamed) {
  const auto docker = [](const std::string& rest) {
    const Result<Config> config = Parse("trust_domain: example.org\n" + rest);
    EXPECT_TRUE(config.ok()) << config.status();
    return config.ok() ? config->attestors.docker : std::nullopt;
  };
  const DockerOptions defaults;
  EXPECT_EQ(docker(""), std::nullopt);
  EXPECT_EQ(docker("attestors: {process: {}}\n"), std::nullopt);
  EXPECT_EQ(docker("attestors: {docker: {}}\n"), defaults);
  EXPECT_EQ(docker("attestors: {docker: {socket: /run/d.sock}}\n"),
            (DockerOptions{.socket = "/run/d.sock", .podman_socket = defaults.podman_socket}));
  EXPECT_EQ(docker("attestors: {docker: {podman_socket: /run/p.sock}}\n"),
            (DockerOptions{.socket = defaults.socket, .podman_socket = "/run/p.sock"}));
  EXPECT_EQ(docker("attestors: {docker: {timeout: 500ms}}\n")->timeout, std::chrono::milliseconds(500));
  EXPECT_THAT(ErrorsOfRest("attestors: {docker: {socket: \"unix:///run/d.sock\"}}\n"),
              ElementsAre(At("2:22", "absolute path")));
  EXPECT_THAT(ErrorsOfRest("attestors: {docker: {sockets: /x}}\n"), ElementsAre(At("2:22", "did you mean 'socket'?")));
}

TEST(ConfigAttestorsTest, AsksContainerdOnlyWhereItIsNamed) {
  const auto containerd = [](const std::string& rest) {
    const Result<Config> config = Parse("trust_domain: example.org\n" + rest);
    EXPECT_TRUE(config.ok()) << config.status();
    return config.ok() ? config->attestors.containerd : std::nullopt;
  };
  EXPECT_EQ(containerd(""), std::nullopt);
  EXPECT_EQ(containerd("attestors: {docker: {}}\n"), std::nullopt);
  EXPECT_EQ(containerd("attestors: {containerd: {}}\n"), ContainerdOptions());
  EXPECT_EQ(containerd("attestors: {containerd: {socket: /run/crio/crio.sock, timeout: 500ms}}\n"),
            (ContainerdOptions{.socket = "/run/crio/crio.sock", .timeout = std::chrono::milliseconds(500)}));
  EXPECT_THAT(ErrorsOfRest("attestors: {containerd: {socket: \"unix:///run/c.sock\"}}\n"),
              ElementsAre(At("2:26", "absolute path")));
  EXPECT_THAT(ErrorsOfRest("attestors: {containerd: {sockets: /x}}\n"),
              ElementsAre(At("2:26", "did you mean 'socket'?")));
}

}  // namespace
}  // namespace lanyard
