#include "node_agent/app/agent_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "attestors/unix_attestor.h"
#include "node_agent/app/process_usage.h"
#include "tests/support/fake_records.h"
#include "tests/unit/app/observe_fixture.h"
#include "tests/unit/identity/identity_fixture.h"

namespace lanyard {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using namespace std::chrono_literals;

// Everything there is, with every optional value set.
class AgentMetricsTest : public ::testing::Test {
 protected:
  AgentMetricsTest() {
    dir_.Write("entries.yaml", "entries:\n  - spiffe_id: spiffe://example.org/a\n    selectors: [\"unix:uid:1000\"]\n");
    const WallTime now = world_.clock.WallNow();
    auto registry = RegistryStore::Open(world_.loop, world_.clock,
                                        {.trust_domain = lanyard::testing::ExampleOrg(), .paths = {dir_.path()}});
    EXPECT_TRUE(registry.ok()) << registry.status();
    registry_ = *std::move(registry);
    foreign_ = ForeignBundles::Open(world_.loop, world_.clock,
                                    {{TrustDomain::Parse("partner.example").value(), dir_.Path("partner.json")}})
                   .value();
    ca_.authorities = {{.id = "aa",
                        .phase = AuthorityPhase::kActive,
                        .key_type = "ec-p256",
                        .not_before = now,
                        .not_after = now + 720h},
                       {.id = "bb",
                        .phase = AuthorityPhase::kPrepared,
                        .key_type = "ec-p256",
                        .not_before = now,
                        .not_after = now + 999h}};
    callers_.reset(
        new CallerServices{.attestors = attestors_, .registry = *registry_, .clock = world_.clock, .access = access_});
    callers_->look_stats = {.same = 1, .changed = 2, .lost = 3, .undetermined = 4, .withheld = 5};
    held_ = svids_.Retain(entry_);
    svids_.Get(entry_, [](Result<CachedSvidPtr>) {});
    jwts_.Get(entry_, {"billing"}, [](Result<JwtSvid>) {});
    world_.Settle();
    jwts_.Get(entry_, {"billing"}, [](Result<JwtSvid>) {});
    world_.Settle();
    server_.shown = {
        .connections =
            {.open = 4, .accepted = 9, .refused_peer = 1, .refused_limit = 2, .ended_exit = 3, .ended_silent = 5},
        .live_calls = 6,
        .calls = 77,
        .accounts = 12,
        .refused = {1, 2, 3, 4, 5},
        .last_refused = {}};
    state_.shown.last_commit = audit_.shown.last_write = audit_.shown.last_checkpoint = now;
    audit_.shown.lost = 8;
  }

  MetricSources All() {
    return {
        .version = "1.2.3",
        .environment = "production",
        .started = WallTime(1767225600s),
        .ready = true,
        .health = {{"audit", HealthLevel::kGood}, {"registry", HealthLevel::kDegraded}, {"ca", HealthLevel::kBroken}},
        .denials = 11,
        .callers = callers_.get(),
        .registry = registry_.get(),
        .registry_good = world_.clock.WallNow(),
        .foreign = foreign_.get(),
        .ca = &ca_,
        .crls = crls_.get(),
        .svids = &svids_,
        .wits = &wits_,
        .jwts = &jwts_,
        .validations = &validations_,
        .hub = &hub_,
        .workload = &server_,
        .admin = &server_,
        .state = &state_,
        .audit = &audit_,
        .loop_delay = &delay_};
  }

  TempDir dir_;
  lanyard::testing::World world_;
  lanyard::testing::FakeSource source_{world_.loop, world_.clock};
  SvidCache svids_{source_, world_.loop, world_.clock, {}, [] { return 0.5; }};
  WitSvidCache wits_{source_, world_.loop, world_.clock, {}, [] { return 0.5; }};
  JwtSvidCache jwts_{source_, world_.loop, world_.clock, {}, [] { return 0.5; }};
  ValidationStats validations_{.valid = 21, .refused = 22};
  UpdateHub hub_{svids_, wits_, source_, world_.clock};
  EntryPtr entry_ = lanyard::testing::MakeEntry("secret-agent-name");
  SvidCache::Hold held_;
  std::unique_ptr<RegistryStore> registry_;
  std::unique_ptr<ForeignBundles> foreign_;
  ShownCa ca_;
  ShownServer server_;
  FakeStateStore state_{world_.loop};
  std::unique_ptr<CrlKeeper> crls_ =
      CrlKeeper::Start(
          {}, source_, [this] { return std::vector{source_.issuer()}; }, {}, state_, world_.loop, world_.clock)
          .value();
  FakeAuditLog audit_{world_.loop};
  static std::vector<std::unique_ptr<Attestor>> UnixAlone(HostTools& tools) {
    std::vector<std::unique_ptr<Attestor>> one;
    one.push_back(MakeUnixAttestor({}, tools));
    return one;
  }
  HostTools tools_{world_.loop, world_.clock};
  AttestorSet attestors_{world_.loop, world_.clock, UnixAlone(tools_)};
  AccessLog access_{audit_, world_.clock};
  std::unique_ptr<CallerServices> callers_;
  LoopDelay delay_{world_.clock};
};

// The first column of the table in docs/METRICS.md.
std::set<std::string> DocumentedNames() {
  std::set<std::string> names;
  std::ifstream file(LANYARD_SOURCE_DIR "/docs/METRICS.md");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("| `")) names.insert(line.substr(3, line.find('`', 3) - 3));
  }
  return names;
}

TEST_F(AgentMetricsTest, ThePageAndTheDocumentHaveTheSameMetrics) {
  const std::vector<std::string> on_page = CollectMetrics(All()).Names();
  EXPECT_EQ(DocumentedNames(), std::set<std::string>(on_page.begin(), on_page.end()));
}

TEST_F(AgentMetricsTest, PrometheusWouldTakeEverySample) {
  EXPECT_THAT(CollectMetrics(All()).problems(), ::testing::IsEmpty());
}

TEST_F(AgentMetricsTest, ShowsWhatThePartsCount) {
  const std::string text = RenderMetrics(All());
  for (const char* line : {"lanyard_build_info{environment=\"production\",version=\"1.2.3\"} 1",
                           "lanyard_start_time_seconds 1767225600",
                           "lanyard_attestor_attempts_total{attestor=\"unix\",outcome=\"late\"} 0",
                           "lanyard_attestor_seconds_count{attestor=\"unix\"} 0",
                           "lanyard_ready 1",
                           "lanyard_health_level{component=\"audit\"} 0",
                           "lanyard_health_level{component=\"ca\"} 2",
                           "lanyard_health_level{component=\"registry\"} 1",
                           "lanyard_denials_total 11",
                           "lanyard_registry_entries 1",
                           "lanyard_registry_failed_loads_total 0",
                           "lanyard_federation_trust_domains{state=\"good\"} 0",
                           "lanyard_federation_trust_domains{state=\"missing\"} 1",
                           "lanyard_federation_failed_reads_total 1",
                           "lanyard_ca_authorities{kind=\"x509\",phase=\"active\"} 1",
                           "lanyard_ca_authorities{kind=\"x509\",phase=\"prepared\"} 1",
                           "lanyard_ca_authorities{kind=\"x509\",phase=\"retired\"} 0",
                           "lanyard_ca_active_not_after_timestamp_seconds{kind=\"x509\"} 1769817600",
                           "lanyard_crl_entries 0",
                           "lanyard_crl_earliest_next_update_timestamp_seconds 1767830400",
                           "lanyard_svid_issuances_total{cause=\"new\",kind=\"x509\",outcome=\"ok\"} 1",
                           "lanyard_svid_issuances_total{cause=\"new\",kind=\"jwt\",outcome=\"ok\"} 1",
                           "lanyard_jwt_svid_cache_hits_total 1",
                           "lanyard_jwt_svid_validations_total{outcome=\"refused\"} 22",
                           "lanyard_svid_cache_entries{kind=\"wit\"} 0",
                           "lanyard_svid_issuances_total{cause=\"renewal\",kind=\"x509\",outcome=\"error\"} 0",
                           "lanyard_svid_earliest_not_after_timestamp_seconds{kind=\"x509\"} 1767229200",
                           "lanyard_connections_refused_total{reason=\"limit\",socket=\"workload\"} 2",
                           "lanyard_connections_ended_total{reason=\"silent\",socket=\"admin\"} 5",
                           "lanyard_calls_live{socket=\"admin\"} 6",
                           "lanyard_limit_refusals_total{limit=\"connections\",socket=\"workload\"} 1",
                           "lanyard_limit_refusals_total{limit=\"streams\",socket=\"workload\"} 5",
                           "lanyard_limit_accounts{socket=\"workload\"} 12",
                           "lanyard_identity_limit_refusals_total{limit=\"streams\"} 0",
                           "lanyard_reattestations_total{outcome=\"lost\"} 3",
                           "lanyard_streams_withheld 5",
                           "lanyard_audit_lost_total 8"}) {
    EXPECT_THAT(text, HasSubstr(std::string(line) + "\n"));
  }
}

TEST_F(AgentMetricsTest, NamesNoIdentity) {
  EXPECT_THAT(RenderMetrics(All()), Not(HasSubstr("secret-agent-name")));
}

TEST_F(AgentMetricsTest, CountsARenewalThatFailedAndAnSvidThatExpired) {
  source_.failure = Error(StatusCode::kUnavailable, "no signer");
  world_.Pass(2h, 10s);
  const std::string text = RenderMetrics(All());
  EXPECT_THAT(text, HasSubstr("lanyard_svids_expired_total{kind=\"x509\"} 1\n"));
  EXPECT_THAT(text,
              Not(HasSubstr("lanyard_svid_issuances_total{cause=\"renewal\",kind=\"x509\",outcome=\"error\"} 0\n")));
  EXPECT_THAT(text, Not(HasSubstr("lanyard_svid_earliest_not_after_timestamp_seconds")));
}

TEST_F(AgentMetricsTest, IsWellWithoutThePartsThatAreNotThere) {
  const MetricPage page = CollectMetrics({.version = "1", .environment = "development", .started = {}});
  EXPECT_THAT(page.problems(), ::testing::IsEmpty());
  EXPECT_THAT(page.Text(), HasSubstr("lanyard_ready 0\n"));
}

TEST(LoopDelayTest, MeasuresHowLateItsAlarmCame) {
  class LateClock : public FakeClock {
   public:
    MonoTime MonoNow() const override { return FakeClock::MonoNow() + late; }
    std::chrono::nanoseconds late{0};
  };
  LateClock clock;
  LoopDelay delay(clock);
  clock.Advance(1s);
  EXPECT_DOUBLE_EQ(delay.seconds().Collect().histogram.sample_sum, 0);
  clock.late = 300ms;
  clock.Advance(1s);
  EXPECT_EQ(delay.seconds().Collect().histogram.sample_count, 2);
  EXPECT_NEAR(delay.seconds().Collect().histogram.sample_sum, 0.3, 1e-9);
}

TEST(ProcessUsageTest, AgreesWithTheKernelOnFilesAndThreads) {
  const auto before = ReadProcessUsage();
  ASSERT_TRUE(before.ok()) << before.status();
  const std::ifstream one("/dev/null"), two("/dev/null");
  const auto after = ReadProcessUsage();
  EXPECT_EQ(*after->open_fds, *before->open_fds + 2);
  EXPECT_GE(after->threads, 1u);
  EXPECT_GT(after->resident_bytes, 1u << 20);
  EXPECT_GE(after->virtual_bytes, after->resident_bytes);
  EXPECT_GE(after->cpu.count(), 0);
}

}  // namespace
}  // namespace lanyard
