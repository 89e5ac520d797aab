#include "tests/unit/workload_api/workload_fixture.h"
#include "workload_api/denial_memory.h"

namespace lanyard {
namespace {

class DenialTest : public WorkloadServiceTest {
 protected:
  DenialTest() {
    selector_ = "unix:uid:4711";
    more_selectors_ = {"unix:path:/usr/bin/agent"};  // that no entry names
  }
  // How many looks one more call costs; it must be denied.
  int Ask() {
    const int before = looks_;
    auto stream = Open("FetchX509SVID");
    Settle();
    EXPECT_EQ(stream->call.status.value_or(OkStatus()).code(), StatusCode::kPermissionDenied);
    return looks_ - before;
  }
  std::vector<AuditRecord> Denials() const {
    std::vector<AuditRecord> denials;
    for (const AuditRecord& record : audit_.records) {
      if (record.decision == AuditDecision::kDeny) denials.push_back(record);
    }
    return denials;
  }
};

TEST_F(DenialTest, TheRecordOfTheFirstDenialSaysAllThatWasFound) {
  EXPECT_EQ(Ask(), 2);
  ASSERT_EQ(Denials().size(), 1u);
  EXPECT_EQ(Denials()[0].caller->selectors, (std::vector<std::string>{"unix:path:/usr/bin/agent", "unix:uid:4711"}));
}

TEST_F(DenialTest, WhoAsksAgainAndAgainIsLookedAtOnceEachTimeAndCounted) {
  EXPECT_EQ(Ask(), 2);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Ask(), 1);
  EXPECT_EQ(Denials().size(), 1u);
  EXPECT_EQ(access_.denials(), 21u);
}

TEST_F(DenialTest, AnotherLookIsTakenAfterAWhile) {
  Ask();
  EXPECT_EQ(Ask(), 1);
  clock_.Advance(seconds(10));
  EXPECT_EQ(Ask(), 2);
}

TEST_F(DenialTest, AnotherLookIsTakenWhenTheCallerShowsOtherFacts) {
  Ask();
  selector_ = "unix:uid:4712";
  more_selectors_ = {"unix:path:/usr/bin/other"};
  EXPECT_EQ(Ask(), 2);
  ASSERT_EQ(Denials().size(), 2u);
  EXPECT_EQ(Denials()[1].caller->selectors[0], "unix:path:/usr/bin/other");
}

TEST_F(DenialTest, AnotherLookIsTakenWhenTheRegistryChanged) {
  Ask();
  SetRegistry("entries:\n  - {spiffe_id: \"spiffe://example.org/x\", selectors: [\"unix:uid:1\"]}\n");
  EXPECT_EQ(Ask(), 2);
}

TEST_F(DenialTest, WhatWasRememberedNeverGrants) {
  Ask();
  SetRegistry("entries:\n  - {spiffe_id: \"spiffe://example.org/x\", selectors: [\"unix:uid:4711\"]}\n");
  auto stream = Open("FetchX509SVID");
  Settle();
  EXPECT_EQ(stream->call.messages.size(), 1u) << "the facts of now decide";
  selector_ = "unix:uid:1";
  EXPECT_EQ(Ask(), 2);
}

TEST_F(DenialTest, WhatIsRememberedHasNoValueOfAVariableAndIsForgottenWithoutAnotherDenial) {
  DenialMemory memory(clock_);
  const ProcessRef process(1, UniqueFd(), 1, PidfdSource::kOpen);
  auto whole = std::make_shared<Findings>();
  whole->selectors = {{"docker", "env:TOKEN=hunter2"}, {"docker", "label:a:b"}};
  memory.Keep(process, std::make_shared<const Findings>(), whole, registry_->registry());
  const auto kept = memory.Find(process, Findings(), registry_->registry());
  ASSERT_NE(kept, nullptr);
  EXPECT_EQ(kept->selectors[0].str(), Shown(whole->selectors[0]));
  EXPECT_EQ(kept->selectors[0].value.find("hunter2"), std::string::npos);
  EXPECT_EQ(Shown(kept->selectors[0]), Shown(whole->selectors[0]));
  EXPECT_EQ(kept->selectors[1], whole->selectors[1]);
  clock_.Advance(seconds(10));
  EXPECT_EQ(memory.size(), 0u);
}

TEST_F(DenialTest, WhatIsLoggedOfADeniedCallerIsBoundedHoweverMuchIsFoundAboutIt) {
  for (char c = 'a'; c < 'k'; ++c) more_selectors_.push_back("unix:path:/" + std::string(4000, c));
  testing::internal::CaptureStderr();
  Ask();
  const std::string logged = testing::internal::GetCapturedStderr();
  const size_t begin = logged.find("; found ");
  ASSERT_NE(begin, std::string::npos) << logged;
  EXPECT_LT(logged.find('\n', begin) - begin, 4200u);
  EXPECT_NE(logged.find(" …\n", begin), std::string::npos);
}

TEST_F(DenialTest, AProcessAboutWhichTooMuchIsFoundIsNotRemembered) {
  DenialMemory memory(clock_);
  const ProcessRef process(1, UniqueFd(), 1, PidfdSource::kOpen);
  const auto narrow = std::make_shared<const Findings>();
  auto large = std::make_shared<Findings>();
  for (char c = 'a'; c < 'f'; ++c) large->selectors.push_back({"unix", "path:/" + std::string(4000, c)});
  memory.Keep(process, narrow, narrow, registry_->registry());
  memory.Keep(process, narrow, large, registry_->registry());
  EXPECT_EQ(memory.Find(process, *narrow, registry_->registry()), nullptr);
  EXPECT_EQ(memory.size(), 0u);
}

TEST_F(DenialTest, ManyProcessesCannotMakeItGrow) {
  DenialMemory memory(clock_);
  const auto findings = std::make_shared<const Findings>();
  for (pid_t pid = 1; pid <= 5000; ++pid) {
    const ProcessRef process(pid, UniqueFd(), 1, PidfdSource::kOpen);
    memory.Keep(process, findings, findings, registry_->registry());
    EXPECT_EQ(memory.Find(process, *findings, registry_->registry()), findings);
  }
  EXPECT_EQ(memory.size(), 256u);
  const ProcessRef other_life(5000, UniqueFd(), 2, PidfdSource::kOpen);
  EXPECT_EQ(memory.Find(other_life, *findings, registry_->registry()), nullptr) << "a reused pid";
}

}  // namespace
}  // namespace lanyard
