#include "node_agent/admin/admin_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <limits>

#include "attestors/unix_attestor.h"
#include "node_agent/admin/proto/admin.pb.h"
#include "node_agent/base/log.h"
#include "tests/support/fake_call.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_records.h"
#include "tests/support/loop_driver.h"
#include "tests/support/temp_dir.h"

namespace lanyard {
namespace {

constexpr char kEntries[] = R"(entries:
  - spiffe_id: spiffe://example.org/agent/refund-bot
    selectors: ["unix:uid:1000", "unix:gid:1000"]
    x509_ttl: 60s
    tier: high
    owner: {business: team-support, data: {pci: fin-data}, approved_by: risk-board, review_by: 2027-03-31}
    tools: {payments.refund: {effect: write, actions: [create], data_classes: [pci], max_calls_per_task: 10}}
  - spiffe_id: spiffe://example.org/tool/payments
    selectors: ["unix:uid:1001"]
)";

std::vector<std::unique_ptr<Attestor>> UnixAlone(HostTools& tools) {
  std::vector<std::unique_ptr<Attestor>> attestors;
  attestors.push_back(MakeUnixAttestor({.executable = false}, tools));
  return attestors;
}

class AdminServiceTest : public testing::Test {
 protected:
  AdminServiceTest() {
    const TrustDomain domain = TrustDomain::Parse("example.org").value();
    std::ofstream(directory_.path() + "/entries.yaml") << kEntries;
    registry_ =
        RegistryStore::Open(loop_, clock_, {.trust_domain = domain, .paths = {directory_.path() + "/entries.yaml"}})
            .value();
    lock_ = std::make_unique<DataDirLock>(DataDirLock::Acquire(directory_.path() + "/data").value());
    ca_ = MakeEmbeddedCa({.trust_domain = domain}, *lock_, loop_, clock_).value();
    services_.reset(new AdminServices{
        .facts = {.version = "1.2.3", .trust_domain = "example.org", .environment = "staging"},
        .findings = [this] { return findings_; },
        .uptime = [] { return std::chrono::seconds(77); },
        .ca = *ca_,
        .registry = *registry_,
        .audit = audit_,
        .attest = {.attestors = attestors_, .registry = *registry_, .clock = clock_, .timeout = attestation_timeout_}});
    methods_ = AdminMethods(*services_);
  }

  // Makes the call and waits for its end.
  template <class Request>
  std::unique_ptr<FakeCall> Ask(const std::string& method, const Request& request) {
    auto call = std::make_unique<FakeCall>("/lanyard.admin.v1.Admin/" + method);
    const auto handler = methods_.at("/lanyard.admin.v1.Admin/" + method)(*call);
    handler->OnMessage(SerializeShared(request));
    EXPECT_TRUE(RunUntil(loop_, [&] { return call->status.has_value(); }));
    return call;
  }

  EventLoop loop_;
  FakeClock clock_{std::chrono::system_clock::now()};
  TempDir directory_;
  std::unique_ptr<RegistryStore> registry_;
  std::unique_ptr<DataDirLock> lock_;
  std::unique_ptr<CaKeeper> ca_;
  std::vector<HealthFinding> findings_;
  FakeAuditLog audit_{loop_};
  HostTools tools_{loop_, clock_};
  AttestorSet attestors_{loop_, clock_, UnixAlone(tools_)};
  std::chrono::milliseconds attestation_timeout_{5000};
  std::unique_ptr<AdminServices> services_;
  Methods methods_;
};

TEST_F(AdminServiceTest, SaysThatAllIsWellWhenNothingIsFound) {
  const auto health = Ask("GetHealth", admin::v1::GetHealthRequest())->Last<admin::v1::GetHealthResponse>();
  EXPECT_EQ(health.status(), admin::v1::HEALTH_STATUS_OK);
  EXPECT_EQ(health.version(), "1.2.3");
  EXPECT_EQ(health.trust_domain(), "example.org");
  EXPECT_EQ(health.environment(), "staging");
  EXPECT_EQ(health.uptime().seconds(), 77);
}

TEST_F(AdminServiceTest, IsAsIllAsItsWorstFinding) {
  findings_ = {{"identity_source", HealthLevel::kBroken, "nothing signs", "repair it"},
               {"registry", HealthLevel::kDegraded, "a.yaml:3:1: bad", ""}};
  const auto health = Ask("GetHealth", admin::v1::GetHealthRequest())->Last<admin::v1::GetHealthResponse>();
  EXPECT_EQ(health.status(), admin::v1::HEALTH_STATUS_FAILING);
  ASSERT_EQ(health.findings_size(), 2);
  EXPECT_EQ(health.findings(0).text(), "nothing signs");
  EXPECT_EQ(health.findings(1).severity(), admin::v1::HEALTH_STATUS_DEGRADED);
}

TEST_F(AdminServiceTest, ShowsTheAuthorityThatSigns) {
  const auto shown = Ask("ShowCa", admin::v1::ShowCaRequest())->Last<admin::v1::ShowCaResponse>();
  ASSERT_EQ(shown.authorities_size(), 3) << "roots, and the keys for tokens of each kind";
  for (const auto& authority : shown.authorities()) EXPECT_EQ(authority.phase(), admin::v1::CA_PHASE_ACTIVE);
  EXPECT_NE(shown.bundle_pem().find("BEGIN CERTIFICATE"), std::string::npos);
  EXPECT_EQ(shown.bundle_pem().find("PRIVATE"), std::string::npos);
}

TEST_F(AdminServiceTest, RotatesTheCaAndShowsWhatIsInForceAfterwards) {
  const std::string before = ca_->Show().front().id;
  const auto rotated = Ask("RotateCa", admin::v1::RotateCaRequest())->Last<admin::v1::RotateCaResponse>();
  std::string active;
  for (const auto& authority : rotated.authorities()) {
    if (authority.phase() == admin::v1::CA_PHASE_ACTIVE) active = authority.id();
  }
  EXPECT_FALSE(active.empty());
  EXPECT_NE(active, before);
}

TEST_F(AdminServiceTest, ListsEntriesWithPositionAndGovernance) {
  const auto list = Ask("ListEntries", admin::v1::ListEntriesRequest())->Last<admin::v1::ListEntriesResponse>();
  ASSERT_EQ(list.entries_size(), 2);
  const auto& entry = list.entries(0);
  EXPECT_EQ(entry.spiffe_id(), "spiffe://example.org/agent/refund-bot");
  EXPECT_EQ(entry.file(), directory_.path() + "/entries.yaml");
  EXPECT_EQ(entry.line(), 2u);
  EXPECT_EQ(entry.x509_ttl().seconds(), 60);
  EXPECT_EQ(entry.owner().business(), "team-support");
  EXPECT_EQ(entry.owner().data().at("pci"), "fin-data");
  EXPECT_EQ(entry.owner().review_by(), "2027-03-31");
  EXPECT_EQ(entry.tools().at("payments.refund").max_calls_per_task(), 10u);
}

TEST_F(AdminServiceTest, ListsOnlyWhatLiesBelowAPathWithATrailingSlash) {
  admin::v1::ListEntriesRequest request;
  request.set_spiffe_id("spiffe://example.org/tool/");
  const auto list = Ask("ListEntries", request)->Last<admin::v1::ListEntriesResponse>();
  ASSERT_EQ(list.entries_size(), 1);
  EXPECT_EQ(list.entries(0).spiffe_id(), "spiffe://example.org/tool/payments");
}

TEST_F(AdminServiceTest, SaysThatAnEntryIsNotThere) {
  admin::v1::ShowEntryRequest request;
  request.set_spiffe_id("spiffe://example.org/nobody");
  const auto call = Ask("ShowEntry", request);
  EXPECT_EQ(call->status->code(), StatusCode::kNotFound);
  EXPECT_NE(Message(*call->status).find("spiffe://example.org/nobody"), std::string_view::npos);
}

TEST_F(AdminServiceTest, EveryCallIsOnRecordWithWhoMadeIt) {
  Ask("GetHealth", admin::v1::GetHealthRequest());
  Ask("ShowCa", admin::v1::ShowCaRequest());
  Ask("ListEntries", admin::v1::ListEntriesRequest());
  Ask("ShowEntry", admin::v1::ShowEntryRequest());
  Ask("SetLogLevel", admin::v1::SetLogLevelRequest());
  Ask("TailAudit", admin::v1::TailAuditRequest());
  Ask("AttestProcess", admin::v1::AttestProcessRequest());
  Ask("RotateCa", admin::v1::RotateCaRequest());
  std::vector<std::string> actions;
  for (const AuditRecord& record : audit_.Of(AuditKind::kAdmin)) {
    actions.push_back(record.action);
    EXPECT_EQ(record.caller->pid, getpid());
    EXPECT_EQ(record.caller->uid, geteuid());
    EXPECT_EQ(record.decision, AuditDecision::kAllow);
  }
  EXPECT_EQ(actions, (std::vector<std::string>{"GetHealth", "ShowCa", "ListEntries", "ShowEntry", "SetLogLevel",
                                               "TailAudit", "AttestProcess", "RotateCa"}));
  EXPECT_EQ(methods_.size(), actions.size()) << "a method that this test does not call";
}

TEST_F(AdminServiceTest, TheCaIsNotRotatedWhenTheAskerCannotBePutOnRecord) {
  const auto before = ca_->Show().front().id;
  audit_.broken_in_reserve = Error(StatusCode::kUnavailable, "the disk is gone");
  const auto call = Ask("RotateCa", admin::v1::RotateCaRequest());
  EXPECT_EQ(call->status->code(), StatusCode::kUnavailable);
  EXPECT_NE(Message(*call->status).find("the disk is gone"), std::string_view::npos);
  EXPECT_EQ(ca_->Show().front().id, before);
}

TEST_F(AdminServiceTest, TheCaIsNotRotatedWhenTheDiskOfTheRecordDoesNotAnswer) {
  const auto before = ca_->Show().front().id;
  audit_.silent = true;
  FakeCall call("/lanyard.admin.v1.Admin/RotateCa");
  const auto handler = methods_.at("/lanyard.admin.v1.Admin/RotateCa")(call);
  handler->OnMessage(SerializeShared(admin::v1::RotateCaRequest()));
  clock_.Advance(kDiskPatience);
  ASSERT_TRUE(call.status);
  EXPECT_EQ(call.status->code(), StatusCode::kUnavailable);
  audit_.AnswerAll();
  EXPECT_TRUE(RunUntilIdle(loop_));
  EXPECT_EQ(ca_->Show().front().id, before) << "nor later, when nobody waits for it";
}

TEST_F(AdminServiceTest, HealthIsAnsweredAlsoWhenNothingCanBePutOnRecord) {
  audit_.broken_in_reserve = audit_.broken = Error(StatusCode::kUnavailable, "the disk is gone");
  EXPECT_EQ(Ask("GetHealth", admin::v1::GetHealthRequest())->messages.size(), 1u);
  EXPECT_EQ(audit_.lost, 1);
}

TEST_F(AdminServiceTest, OnAFullDiskOnlyWhatChangesSomethingUsesTheReserve) {
  audit_.broken = Error(StatusCode::kResourceExhausted, "the disk is full");
  Ask("GetHealth", admin::v1::GetHealthRequest());
  Ask("ShowCa", admin::v1::ShowCaRequest());
  Ask("ListEntries", admin::v1::ListEntriesRequest());
  Ask("TailAudit", admin::v1::TailAuditRequest());
  EXPECT_TRUE(audit_.records.empty()) << "monitoring that asks every second would have used it up within the hour";
  EXPECT_EQ(audit_.lost, 4);
  Ask("SetLogLevel", admin::v1::SetLogLevelRequest());
  Ask("RotateCa", admin::v1::RotateCaRequest());
  EXPECT_EQ(audit_.Of(AuditKind::kAdmin).size(), 2u);
}

TEST_F(AdminServiceTest, SetsTheLogLevelAtRunTimeAndTellsWhatItWas) {
  SetLogLevel(LogLevel::kInfo);
  admin::v1::SetLogLevelRequest request;
  request.set_level("debug");
  const auto set = Ask("SetLogLevel", request)->Last<admin::v1::SetLogLevelResponse>();
  EXPECT_EQ(set.before(), "info");
  EXPECT_EQ(set.level(), "debug");
  EXPECT_TRUE(LogEnabled(LogLevel::kDebug));
  request.set_level("");
  EXPECT_EQ(Ask("SetLogLevel", request)->Last<admin::v1::SetLogLevelResponse>().level(), "debug");
  request.set_level("loud");
  EXPECT_EQ(Ask("SetLogLevel", request)->status->code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(LogEnabled(LogLevel::kDebug));
  SetLogLevel(LogLevel::kInfo);
}

TEST_F(AdminServiceTest, TheLogSaysWhoChangedItsLevelAlsoWhenThatIsToSayLess) {
  SetLogLevel(LogLevel::kInfo);
  testing::internal::CaptureStderr();
  admin::v1::SetLogLevelRequest request;
  for (const char* level : {"error", "warn"}) {
    request.set_level(level);
    Ask("SetLogLevel", request);
  }
  const std::string logged = testing::internal::GetCapturedStderr();
  EXPECT_THAT(logged, testing::HasSubstr("log level is error now"));
  EXPECT_THAT(logged, testing::HasSubstr("log level is warn now"));
  SetLogLevel(LogLevel::kInfo);
}

TEST_F(AdminServiceTest, ShowsTheLastRecordsAndEnds) {
  Ask("ShowCa", admin::v1::ShowCaRequest());
  admin::v1::TailAuditRequest request;
  request.set_lines(10);
  auto call = std::make_unique<FakeCall>("/lanyard.admin.v1.Admin/TailAudit");
  const auto handler = methods_.at("/lanyard.admin.v1.Admin/TailAudit")(*call);
  handler->OnMessage(SerializeShared(request));
  ASSERT_TRUE(RunUntil(loop_, [&] { return !call->messages.empty(); }));
  EXPECT_EQ(call->Last<admin::v1::TailAuditResponse>().lines(0), "admin");
  EXPECT_FALSE(call->status) << "not before the message has left";
  while (!call->status && call->sending()) call->Deliver();
  EXPECT_TRUE(RunUntil(loop_, [&] { return call->status.has_value(); }));
  EXPECT_TRUE(call->status->ok());
}

TEST_F(AdminServiceTest, RefusesToShowMoreRecordsThanItWouldHold) {
  admin::v1::TailAuditRequest request;
  request.set_lines(10'001);
  EXPECT_EQ(Ask("TailAudit", request)->status->code(), StatusCode::kInvalidArgument);
}

admin::v1::AttestProcessRequest Attest(pid_t pid) {
  admin::v1::AttestProcessRequest request;
  request.set_pid(pid);
  return request;
}

TEST_F(AdminServiceTest, SaysWhatAProcessEarnsAndWhatItNearlyEarns) {
  const std::string uid = std::to_string(geteuid());
  std::ofstream(directory_.path() + "/entries.yaml")
      << "entries:\n"
         "  - {spiffe_id: spiffe://example.org/far, selectors: [\"unix:uid:" +
             uid +
             "\", \"docker:label:a:b\", \"systemd:id:x.service\"]}\n"
             "  - {spiffe_id: spiffe://example.org/near, selectors: [\"unix:uid:" +
             uid +
             "\", \"systemd:id:x.service\"]}\n"
             "  - {spiffe_id: spiffe://example.org/other, selectors: [\"unix:uid:4242424\"]}\n"
             "  - {spiffe_id: spiffe://example.org/me, selectors: [\"unix:uid:" +
             uid + "\"]}\n";
  registry_->Reload();
  ASSERT_TRUE(RunUntil(loop_, [&] { return registry_->registry()->size() == 4; }));

  const auto answer = Ask("AttestProcess", Attest(getpid()))->Last<admin::v1::AttestProcessResponse>();
  EXPECT_EQ(answer.uid(), geteuid());
  ASSERT_EQ(answer.attestors_size(), 1);
  EXPECT_EQ(answer.attestors(0).type(), "unix");
  EXPECT_EQ(answer.attestors(0).selectors(), static_cast<uint32_t>(answer.selectors_size()));
  EXPECT_THAT(answer.selectors(), testing::Contains("unix:uid:" + uid));
  ASSERT_EQ(answer.entries_size(), 3);
  EXPECT_EQ(answer.entries(0).entry().spiffe_id(), "spiffe://example.org/me");
  EXPECT_EQ(answer.entries(0).verdict(), admin::v1::VERDICT_EARNED);
  EXPECT_EQ(answer.entries(1).entry().spiffe_id(), "spiffe://example.org/near");
  EXPECT_EQ(answer.entries(1).verdict(), admin::v1::VERDICT_NOT_EARNED);
  EXPECT_EQ(answer.entries(1).why(), "1 of 2 selectors; missing systemd:id:x.service");
  EXPECT_EQ(answer.entries(2).why(), "1 of 3 selectors; missing docker:label:a:b systemd:id:x.service");
}

TEST_F(AdminServiceTest, AProcessThatIsNotThereIsNotAttested) {
  EXPECT_EQ(Ask("AttestProcess", Attest(0))->status->code(), StatusCode::kInvalidArgument);
  const auto call = Ask("AttestProcess", Attest(std::numeric_limits<pid_t>::max()));
  EXPECT_EQ(call->status->code(), StatusCode::kNotFound);
  EXPECT_NE(Message(*call->status).find("attest pid 2147483647"), std::string_view::npos);
}

}  // namespace
}  // namespace lanyard
