#include "attestors/systemd_attestor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "attestors/attestation.h"
#include "tests/support/fake_clock.h"
#include "tests/support/loop_driver.h"
#include "tests/support/test_bus.h"
#include "tests/unit/attestors/test_process.h"

namespace lanyard {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using namespace std::chrono_literals;

constexpr const char* kRefund = "/org/freedesktop/systemd1/unit/refund_2eservice";

class SystemdAttestorTest : public testing::Test {
 protected:
  // In the place of systemd: what it is asked, "GetUnitByPID" or a property's name, is answered from `answers`, each
  // answer once but the last of its kind.
  void Take(sd_bus_message* message) {
    std::string member = sd_bus_message_get_member(message);
    if (member == "GetUnitByPID") {
      uint32_t pid = 0;
      sd_bus_message_read(message, "u", &pid);
      EXPECT_EQ(pid, static_cast<uint32_t>(getpid()));
    } else {
      const char *interface = nullptr, *property = nullptr;
      sd_bus_message_read(message, "ss", &interface, &property);
      member = property;
      interfaces_.emplace_back(interface);
    }
    asked_.push_back(member);
    std::vector<std::string>& answers = answers_[member];
    if (answers.empty()) return;  // silent
    const std::string answer = answers.front();
    if (answers.size() > 1) answers.erase(answers.begin());
    if (answer.starts_with("!")) {
      sd_bus_reply_method_errorf(message, answer.c_str() + 1, "no luck");
    } else if (member == "GetUnitByPID") {
      sd_bus_reply_method_return(message, answer.starts_with("/") ? "o" : "s", answer.c_str());
    } else if (member == "InvocationID") {
      sd_bus_message* reply = nullptr;
      sd_bus_message_new_method_return(message, &reply);
      sd_bus_message_open_container(reply, 'v', "ay");
      sd_bus_message_append_array(reply, 'y', answer.data(), answer.size());
      sd_bus_message_close_container(reply);
      sd_bus_send(nullptr, reply, nullptr);
      sd_bus_message_unref(reply);
    } else {
      sd_bus_reply_method_return(message, "v", "s", answer.c_str());
    }
  }

  void Begin(std::initializer_list<const char*> wanted) {
    auto kinds = std::make_shared<WantedKinds>();
    for (const char* kind : wanted) kinds->Add({"systemd", std::string(kind) + ":x"});
    auto process = ProcessRef::Open(getpid());
    attestation_ =
        set_.Attest({*process, geteuid(), getegid()}, clock_.MonoNow() + 1s,
                    [this](Result<Findings> result) { result_ = std::move(result); }, {.wanted = std::move(kinds)});
  }
  bool Answered() {
    return RunUntil(loop_, [&] { return result_.has_value() || (systemd_ && systemd_->Work()); });
  }
  std::vector<std::string> Selectors() const {
    std::vector<std::string> texts;
    EXPECT_TRUE(result_ && result_->ok());
    if (!result_ || !result_->ok()) return texts;
    for (const Selector& selector : (*result_)->selectors) {
      EXPECT_TRUE(CheckSelector(selector).ok()) << CheckSelector(selector).status();
      texts.push_back(selector.str());
    }
    return texts;
  }
  // Of the only gap, which must be of the whole type.
  std::string Why() const {
    EXPECT_THAT(Selectors(), IsEmpty());
    if (!result_ || !result_->ok() || (*result_)->gaps.size() != 1) return "not one gap";
    EXPECT_EQ((*result_)->gaps[0].prefix, "systemd");
    return std::string(Message((*result_)->gaps[0].why));
  }
  std::vector<std::unique_ptr<Attestor>> One() {
    std::vector<std::unique_ptr<Attestor>> one;
    one.push_back(MakeSystemdAttestor({.bus_socket = bus_.socket()}, loop_, clock_));
    return one;
  }
  void StartSystemd() {
    systemd_.emplace(bus_, "org.freedesktop.systemd1", [this](sd_bus_message* message) { Take(message); });
  }

  EventLoop loop_;
  FakeClock clock_;
  TestBus bus_;
  AttestorSet set_{loop_, clock_, One()};
  std::map<std::string, std::vector<std::string>> answers_{
      {"GetUnitByPID", {kRefund}},
      {"FragmentPath", {"/etc/systemd/system/refund.service"}},
      {"Slice", {"agents.slice"}},
      {"InvocationID", {std::string("\x00\x01\xab\xcd\xef\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\xff", 16)}}};
  std::vector<std::string> asked_, interfaces_;
  std::optional<TestService> systemd_;
  std::optional<Result<Findings>> result_;
  std::unique_ptr<Attestation> attestation_;
};

TEST_F(SystemdAttestorTest, GivesTheUnitsNameFileSliceAndRun) {
  LANYARD_NEEDS_BUS(bus_);
  StartSystemd();
  Begin({"id", "fragment_path", "slice", "invocation_id"});
  ASSERT_TRUE(Answered());
  EXPECT_THAT(Selectors(),
              ElementsAre("systemd:fragment_path:/etc/systemd/system/refund.service", "systemd:id:refund.service",
                          "systemd:invocation_id:0001abcdef05060708090a0b0c0d0eff", "systemd:slice:agents.slice"));
  EXPECT_THAT(interfaces_, testing::Contains("org.freedesktop.systemd1.Service"));
  EXPECT_THAT(asked_.back(), "GetUnitByPID");
}

TEST_F(SystemdAttestorTest, AsksOnlyForWhatIsWanted) {
  LANYARD_NEEDS_BUS(bus_);
  StartSystemd();
  Begin({"id"});
  ASSERT_TRUE(Answered());
  EXPECT_THAT(Selectors(), ElementsAre("systemd:id:refund.service"));
  EXPECT_THAT(asked_, ElementsAre("GetUnitByPID"));
}

TEST_F(SystemdAttestorTest, LeavesOutWhatAUnitDoesNotHaveOrNoSelectorCanHold) {
  LANYARD_NEEDS_BUS(bus_);
  StartSystemd();
  answers_["FragmentPath"] = {"/run/two\nlines.service"};
  answers_["InvocationID"] = answers_["Slice"] = {""};
  Begin({"id", "fragment_path", "slice", "invocation_id"});
  ASSERT_TRUE(Answered());
  EXPECT_THAT(Selectors(), ElementsAre("systemd:id:refund.service"));
}

TEST_F(SystemdAttestorTest, AProcessInNoUnitHasNoSelectorsAndThatIsNoGap) {
  LANYARD_NEEDS_BUS(bus_);
  StartSystemd();
  answers_["GetUnitByPID"] = {"!org.freedesktop.systemd1.NoUnitForPID"};
  Begin({"id", "slice"});
  ASSERT_TRUE(Answered());
  EXPECT_THAT(Selectors(), IsEmpty());
  EXPECT_THAT((*result_)->gaps, IsEmpty());
}

TEST_F(SystemdAttestorTest, AnErrorIsAGapThatSaysWhatSystemdSaid) {
  LANYARD_NEEDS_BUS(bus_);
  StartSystemd();
  answers_["Slice"] = {"!org.freedesktop.DBus.Error.AccessDenied"};
  Begin({"id", "slice"});
  ASSERT_TRUE(Answered());
  EXPECT_EQ(Why(),
            "ask org.freedesktop.systemd1 on the system bus " + bus_.socket() +
                " for Get(org.freedesktop.systemd1.Service, Slice): org.freedesktop.DBus.Error.AccessDenied (no luck)");
}

TEST_F(SystemdAttestorTest, AnAnswerThatNamesNoUnitWithProcessesIsAGap) {
  LANYARD_NEEDS_BUS(bus_);
  StartSystemd();
  for (const char* wrong : {"/org/example/refund", "/org/freedesktop/systemd1/unit/daily_2etimer", "refund.service"}) {
    answers_["GetUnitByPID"] = {wrong};
    result_.reset();
    Begin({"id"});
    ASSERT_TRUE(Answered());
    EXPECT_THAT(Why(), HasSubstr("systemd says that the unit of pid"));
  }
}

TEST_F(SystemdAttestorTest, AProcessThatIsInAnotherUnitAtTheSecondLookIsAGap) {
  LANYARD_NEEDS_BUS(bus_);
  StartSystemd();
  answers_["GetUnitByPID"] = {kRefund, "/org/freedesktop/systemd1/unit/other_2eservice"};
  Begin({"id", "slice"});
  ASSERT_TRUE(Answered());
  EXPECT_THAT(Why(), HasSubstr("left refund.service while it was attested"));
}

TEST_F(SystemdAttestorTest, AUnitThatIsStartedAnewMeanwhileIsAGap) {
  LANYARD_NEEDS_BUS(bus_);
  StartSystemd();
  answers_["InvocationID"] = {std::string(16, '\1'), std::string(16, '\2')};
  Begin({"invocation_id"});
  ASSERT_TRUE(Answered());
  EXPECT_THAT(Why(), HasSubstr("refund.service was started anew"));
}

TEST_F(SystemdAttestorTest, ASilentSystemdIsAGapAtTheDeadline) {
  LANYARD_NEEDS_BUS(bus_);
  StartSystemd();
  answers_["Slice"].clear();
  Begin({"id", "slice"});
  ASSERT_TRUE(RunUntil(loop_, [&] { return systemd_->Work() || asked_.size() == 3; }));
  EXPECT_FALSE(result_.has_value());
  clock_.Advance(2s);
  EXPECT_THAT(Why(), HasSubstr("attestor systemd did not answer in time"));
}

TEST_F(SystemdAttestorTest, AsksOnceMoreWhenSystemdTakesANewConnection) {
  LANYARD_NEEDS_BUS(bus_);
  StartSystemd();
  answers_["Slice"].clear();
  Begin({"id", "slice"});
  ASSERT_TRUE(RunUntil(loop_, [&] { return systemd_->Work() || asked_.size() == 3; }));
  answers_["Slice"] = {"agents.slice"};
  systemd_->Leave();
  systemd_->Come();
  ASSERT_TRUE(Answered());
  EXPECT_THAT(Selectors(), ElementsAre("systemd:id:refund.service", "systemd:slice:agents.slice"));
}

TEST_F(SystemdAttestorTest, WithoutSystemdOnTheBusEverythingIsAGap) {
  LANYARD_NEEDS_BUS(bus_);
  Begin({"id"});
  ASSERT_TRUE(Answered());
  EXPECT_THAT(Why(), HasSubstr("it is not on the bus at this moment"));
}

}  // namespace
}  // namespace lanyard
