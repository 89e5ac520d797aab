#include "node_agent/app/cli.h"

#include <gmock/gmock.h>
#include <stdlib.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "node_agent/app/config_example.h"
#include "tests/support/temp_dir.h"

namespace lanyard {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

struct Ran {
  int code;
  std::string out, err;
};

Ran Lanyard(std::vector<std::string> arguments) {
  std::ostringstream out, err;
  const int code = RunCommandLine(std::move(arguments), Console{out, err});
  return {code, out.str(), err.str()};
}

TEST(CliTest, EveryVerbHasHelp) {
  const std::vector<std::vector<std::string>> verbs = {{},
                                                       {"agent"},
                                                       {"config"},
                                                       {"config", "check"},
                                                       {"config", "example"},
                                                       {"ca"},
                                                       {"ca", "init"},
                                                       {"ca", "show"},
                                                       {"ca", "rotate"},
                                                       {"fetch"},
                                                       {"fetch", "x509"},
                                                       {"fetch", "jwt"},
                                                       {"fetch", "wit"},
                                                       {"fetch", "bundle"},
                                                       {"validate"},
                                                       {"validate", "jwt"},
                                                       {"watch"},
                                                       {"exec"},
                                                       {"registry"},
                                                       {"registry", "list"},
                                                       {"registry", "show"},
                                                       {"registry", "check"},
                                                       {"audit"},
                                                       {"audit", "verify"},
                                                       {"audit", "tail"},
                                                       {"health"},
                                                       {"log-level"},
                                                       {"version"}};
  for (std::vector<std::string> verb : verbs) {
    verb.push_back("--help");
    const Ran ran = Lanyard(verb);
    EXPECT_EQ(ran.code, kExitOk) << testing::PrintToString(verb);
    EXPECT_THAT(ran.out, HasSubstr("Usage:")) << testing::PrintToString(verb);
    EXPECT_THAT(ran.err, IsEmpty());
  }
}

TEST(CliTest, WrongUsageIsTwoAndSaidOnStderr) {
  for (const std::vector<std::string>& line :
       std::vector<std::vector<std::string>>{{},
                                             {"no-such-verb"},
                                             {"config"},
                                             {"config", "check"},
                                             {"fetch", "x509", "--no-such-option"},
                                             {"fetch", "x509", "--output", "xml"},
                                             {"fetch", "x509", "--timeout", "10"},
                                             {"fetch", "x509", "--socket", "tcp://127.0.0.1:1"},
                                             {"fetch", "x509", "--spiffe-id", "not-an-id", "--socket", "/nonexistent"},
                                             {"fetch", "jwt"},
                                             {"fetch", "jwt", "--audience", ""},
                                             {"fetch", "jwt", "--audience", "a", "b"},
                                             {"fetch", "wit", "--spiffe-id", "not-an-id"},
                                             {"validate", "jwt", "token"},
                                             {"validate", "jwt", "--audience", "", "token"},
                                             {"validate", "jwt", "--audience", "a", "--audience", "b", "token"},
                                             {"watch", "wit"},
                                             {"watch", "--count", "0"},
                                             {"health", "--admin-socket", "relative"},
                                             {"registry", "show"},
                                             {"registry", "check", "/tmp"},
                                             {"registry", "check", "--trust-domain", "a", "--config", "b", "/tmp"}}) {
    const Ran ran = Lanyard(line);
    EXPECT_EQ(ran.code, kExitUsage) << testing::PrintToString(line);
    EXPECT_THAT(ran.out, IsEmpty()) << testing::PrintToString(line);
    EXPECT_FALSE(ran.err.empty()) << testing::PrintToString(line);
  }
}

// The payload says for whom and until when; who signed it is the agent's to judge.
const char* const kToken =
    "eyJhbGciOiJFUzI1NiIsImtpZCI6ImEifQ.eyJzdWIiOiJzcGlmZmU6Ly9leGFtcGxlLm9yZy9hIiwiYXVkIjoiYSIsImV4cCI6NDEwMjQ0NDgwMH0"
    ".AAAA";

TEST(CliTest, AnAgentThatIsNotThereIsThree) {
  TempDir dir;
  const std::string socket = dir.Path("none.sock");
  for (const std::vector<std::string>& line :
       std::vector<std::vector<std::string>>{{"fetch", "x509", "--socket", socket},
                                             {"fetch", "bundle", "--socket", socket},
                                             {"watch", "--socket", socket},
                                             {"watch", "jwt", "--socket", socket},
                                             {"fetch", "jwt", "--audience", "a", "--socket", socket},
                                             {"fetch", "wit", "--socket", socket},
                                             {"validate", "jwt", "--audience", "a", kToken, "--socket", socket},
                                             {"health", "--admin-socket", socket},
                                             {"ca", "show", "--admin-socket", socket},
                                             {"ca", "rotate", "--admin-socket", socket},
                                             {"registry", "list", "--admin-socket", socket}}) {
    const Ran ran = Lanyard(line);
    EXPECT_EQ(ran.code, kExitUnreachable) << testing::PrintToString(line);
    EXPECT_THAT(ran.err, AllOf(HasSubstr(socket), HasSubstr("no such socket"))) << testing::PrintToString(line);
    EXPECT_THAT(ran.out, IsEmpty());
  }
}

TEST(CliTest, PrintsTheVersion) {
  EXPECT_EQ(Lanyard({"version"}).out, "lanyard " LANYARD_VERSION "\n");
  const auto json = nlohmann::json::parse(Lanyard({"version", "--output", "json"}).out, nullptr, false);
  EXPECT_EQ(json.value("version", ""), LANYARD_VERSION);
}

TEST(CliTest, ConfigExamplePrintsTheExample) {
  EXPECT_EQ(Lanyard({"config", "example"}).out, ConfigExample());
}

TEST(CliTest, ConfigCheckNamesEveryErrorWithItsPosition) {
  TempDir dir;
  const std::string file =
      dir.Write("lanyard.yaml", "trust_domain: example.org\nenvironment: moon\nlog: {level: loud}\n");
  const Ran ran = Lanyard({"config", "check", file});
  EXPECT_EQ(ran.code, kExitFailed);
  EXPECT_THAT(ran.err, AllOf(HasSubstr(file + ":2:1: "), HasSubstr(file + ":3:7: ")));
  EXPECT_THAT(ran.out, IsEmpty());
  const auto json = nlohmann::json::parse(Lanyard({"config", "check", file, "--output", "json"}).out, nullptr, false);
  EXPECT_EQ(json.value("valid", true), false);
  EXPECT_EQ(json["errors"].size(), 2u);
}

class ConfigCheckTest : public testing::Test {
 protected:
  void WriteConfig() {
    file_ = dir_.Write("lanyard.yaml",
                       "trust_domain: example.org\nregistry: {paths: [" + (dir_.Path("registry.yaml")) + "]}\n");
  }
  TempDir dir_;
  std::string file_;
};

TEST_F(ConfigCheckTest, ChecksTheRegistryToo) {
  WriteConfig();
  dir_.Write("registry.yaml", "entries:\n  - spiffe_id: spiffe://other.org/a\n    selectors: [\"unix:uid:0\"]\n");
  const Ran bad = Lanyard({"config", "check", file_});
  EXPECT_EQ(bad.code, kExitFailed);
  EXPECT_THAT(bad.err, HasSubstr(dir_.Path("registry.yaml:2:")));

  dir_.Write("registry.yaml", "entries:\n  - spiffe_id: spiffe://example.org/a\n    selectors: [\"unix:uid:0\"]\n");
  const Ran good = Lanyard({"config", "check", file_});
  EXPECT_EQ(good.code, kExitOk) << good.err;
  EXPECT_THAT(good.out, HasSubstr("1 registration entry"));
}

TEST_F(ConfigCheckTest, ARegistryThatIsNotThereIsAnError) {
  WriteConfig();
  EXPECT_EQ(Lanyard({"config", "check", file_}).code, kExitFailed);
}

TEST_F(ConfigCheckTest, RegistryCheckNeedsNoAgent) {
  WriteConfig();
  dir_.Write("registry.yaml", "entries:\n  - spiffe_id: spiffe://example.org/a\n    selectors: [\"unix:uid:0\"]\n");
  EXPECT_EQ(Lanyard({"registry", "check", "--config", file_}).code, kExitOk);
  EXPECT_EQ(Lanyard({"registry", "check", "--trust-domain", "example.org", dir_.Path("registry.yaml")}).code, kExitOk);
  const Ran foreign = Lanyard({"registry", "check", "--trust-domain", "other.org", dir_.Path("registry.yaml")});
  EXPECT_EQ(foreign.code, kExitFailed);
  EXPECT_THAT(foreign.err, HasSubstr(dir_.Path("registry.yaml:2:")));
}

TEST(CliTest, AFullDiskBehindStdoutIsAFailure) {
  std::ofstream full("/dev/full");
  ASSERT_TRUE(full.is_open());
  std::ostringstream err;
  EXPECT_EQ(RunCommandLine({"config", "example"}, Console{full, err}), kExitFailed);
  EXPECT_THAT(err.str(), HasSubstr("standard output"));
}

TEST(CliTest, CaInitMakesTheAuthorityOnceAndShowReadsItOffline) {
  TempDir dir;
  const std::string config =
      dir.Write("lanyard.yaml", "trust_domain: example.org\ndata_dir: " + (dir.Path("data")) + "\n");
  const Ran before = Lanyard({"ca", "show", "--config", config});
  EXPECT_EQ(before.code, kExitFailed);
  const Ran made = Lanyard({"ca", "init", "--config", config, "--output", "json"});
  ASSERT_EQ(made.code, kExitOk) << made.err;
  const Ran shown = Lanyard({"ca", "show", "--config", config, "--output", "json"});
  EXPECT_EQ(shown.code, kExitOk) << shown.err;
  const auto json = nlohmann::json::parse(shown.out, nullptr, false);
  const auto of_init = nlohmann::json::parse(made.out, nullptr, false);
  ASSERT_EQ(json["authorities"].size(), 3u) << "roots, and the keys for tokens of each kind";
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(json["authorities"][i].value("phase", ""), "active");
    EXPECT_EQ(json["authorities"][i]["id"], of_init["authorities"][i]["id"]);
  }
}

TEST(CliTest, CaInitBelievesOnlyAConfigurationThatOthersCannotWrite) {
  TempDir dir;
  const std::string config =
      dir.Write("lanyard.yaml", "trust_domain: example.org\ndata_dir: " + (dir.Path("data")) + "\n", 0666);
  const Ran refused = Lanyard({"ca", "init", "--config", config});
  EXPECT_EQ(refused.code, kExitFailed);
  EXPECT_THAT(refused.err, HasSubstr("can be changed by other users"));
  EXPECT_NE(access(dir.Path("data").c_str(), F_OK), 0);
}

}  // namespace
}  // namespace lanyard
