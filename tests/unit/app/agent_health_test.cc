#include "node_agent/app/agent_health.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "tests/support/fake_records.h"
#include "tests/support/no_descriptors.h"
#include "tests/unit/app/observe_fixture.h"
#include "tests/unit/identity/identity_fixture.h"

namespace lanyard {
namespace {

using namespace std::chrono_literals;

struct SigningCa : ShownCa {
  explicit SigningCa(IdentitySource& from) : signs(from) {}
  IdentitySource& source() override { return signs; }

  IdentitySource& signs;
};

class AgentHealthTest : public ::testing::Test {
 protected:
  AgentHealthTest() {
    SetSelector("unix:uid:1000");
    world_.Settle();
  }

  // Of the only entry.
  void SetSelector(const std::string& selector) {
    dir_.Write("entries.yaml",
               fmt::format("entries:\n  - spiffe_id: spiffe://example.org/a\n    selectors: [\"{}\"]\n", selector));
    registry_ = RegistryStore::Open(world_.loop, world_.clock,
                                    {.trust_domain = lanyard::testing::ExampleOrg(), .paths = {dir_.path()}})
                    .value();
  }

  bool Says(std::string_view component, std::string_view words) {
    const std::vector<HealthFinding> findings = CollectFindings({.now = world_.clock.MonoNow(),
                                                                 .registry = *registry_,
                                                                 .foreign = *foreign_,
                                                                 .ca = ca_,
                                                                 .crls = *crls_,
                                                                 .svids = svids_,
                                                                 .wits = wits_,
                                                                 .state = state_,
                                                                 .audit = audit_,
                                                                 .record = record_,
                                                                 .waiting_for_restart = no_lines_,
                                                                 .broken_config = no_lines_,
                                                                 .endpoints = no_problem_,
                                                                 .bundle_endpoint = {},
                                                                 .workload = &server_,
                                                                 .looks = looks_,
                                                                 .attestors = attestors_});
    return std::any_of(findings.begin(), findings.end(), [&](const HealthFinding& finding) {
      return finding.component == component && finding.text.find(words) != std::string::npos;
    });
  }

  // The same in a process without capabilities.
  bool SaysWithoutCapabilities(std::string_view component, std::string_view words) {
    const pid_t pid = fork();
    if (pid == 0) {
      __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
      __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3]{};
      if (syscall(SYS_capset, &header, none) != 0) _exit(2);
      _exit(Says(component, words) ? 0 : 1);
    }
    int status = -1;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) < 2) << status;
    return status == 0;
  }

  TempDir dir_;
  lanyard::testing::World world_;
  lanyard::testing::FakeSource source_{world_.loop, world_.clock};
  SvidCache svids_{source_, world_.loop, world_.clock, {}, [] { return 0.5; }};
  WitSvidCache wits_{source_, world_.loop, world_.clock, {}, [] { return 0.5; }};
  FakeStateStore state_{world_.loop};
  FakeAuditLog audit_{world_.loop};
  RecordingSource record_{source_, state_, audit_, world_.clock};
  SigningCa ca_{source_};
  std::unique_ptr<RegistryStore> registry_;
  std::unique_ptr<ForeignBundles> foreign_ = ForeignBundles::Open(world_.loop, world_.clock, {}).value();
  std::unique_ptr<CrlKeeper> crls_ =
      CrlKeeper::Start(
          {}, source_, [this] { return std::vector{source_.issuer()}; }, {}, state_, world_.loop, world_.clock)
          .value();
  AttestorSet attestors_{world_.loop, world_.clock, {}};
  ShownServer server_;
  LookStats looks_;
  std::vector<std::string> no_lines_;
  Status no_problem_;
};

TEST_F(AgentHealthTest, ConnectionsThatDidNotFitAreNewsForAWhile) {
  server_.shown.connections.refused_full = 1;
  server_.shown.connections.last_full = world_.clock.MonoNow();
  EXPECT_TRUE(Says("listener", "no more fit"));
  world_.clock.Advance(16min);
  EXPECT_FALSE(Says("listener", "no more fit"));
}

TEST_F(AgentHealthTest, AnAgentThatMayNotLookIntoProcessesSaysSoWhereEntriesNameTheirPrograms) {
  EXPECT_FALSE(SaysWithoutCapabilities("attestors", "CAP_SYS_PTRACE"));
  SetSelector("unix:path:/usr/bin/agent");
  EXPECT_TRUE(SaysWithoutCapabilities("attestors", "CAP_SYS_PTRACE"));
}

TEST_F(AgentHealthTest, PathsOfTheRegistryThatCannotBeWatchedAreToldUnlessTheyAreThoseInForceWhichAreReadAllTheSame) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP()
      << "UndefinedBehaviorSanitizer needs a descriptor to look at an object, and takes it for broken without one";
#endif
  const auto set_without_descriptors = [this](std::vector<std::string> paths) {
    Status answer = Error(StatusCode::kInternal, "no answer");
    registry_->Reload();  // under way: another load waits for it, and has descriptors
    {
      const NoDescriptors none;
      registry_->SetPaths(std::move(paths), [&answer](Status status) { answer = std::move(status); });
    }
    world_.Settle();
    return answer;
  };
  EXPECT_EQ(set_without_descriptors({dir_.Path("other")}).code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(Says("registry", "not in force"));
  const Status same = set_without_descriptors({dir_.path()});
  EXPECT_TRUE(same.ok()) << same;
  EXPECT_FALSE(Says("registry", "not in force"));
}

}  // namespace
}  // namespace lanyard
