#include "attestors/attestation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "tests/support/fake_clock.h"
#include "tests/support/loop_driver.h"
#include "tests/unit/attestors/test_process.h"

namespace lanyard {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using namespace std::chrono_literals;

// Answers when the test says so.
class ManualAttestor : public Attestor {
 public:
  explicit ManualAttestor(std::string type, std::optional<Findings> at_deadline = std::nullopt,
                          std::optional<std::chrono::milliseconds> service_limit = std::nullopt)
      : type_(std::move(type)), at_deadline_(std::move(at_deadline)), service_limit_(service_limit) {}

  std::string_view type() const override { return type_; }
  std::optional<std::chrono::milliseconds> service_limit() const override { return service_limit_; }
  std::unique_ptr<Attempt> Attest(std::shared_ptr<const Subject> subject, Deadline deadline, Done done) override {
    given = deadline;
    static_cast<void>(subject->cgroups());
    static_cast<void>(subject->executable());
    struct Asked : Attempt {
      ~Asked() override { --attestor->attempts; }
      std::optional<Findings> SoFar() const override { return attestor->at_deadline_; }
      ManualAttestor* attestor = nullptr;
    };
    done_ = std::move(done);
    ++attempts;
    auto asked = std::make_unique<Asked>();
    asked->attestor = this;
    return asked;
  }
  void Answer(Result<Findings> findings) { std::move(done_)(std::move(findings)); }
  bool asked() const { return static_cast<bool>(done_); }

  int attempts = 0;  // alive
  Deadline given;

 private:
  const std::string type_;
  const std::optional<Findings> at_deadline_;
  const std::optional<std::chrono::milliseconds> service_limit_;
  Done done_;
};

class AttestorSetTest : public testing::Test {
 protected:
  void Ask(const PeerProcess& peer, WantedKindsPtr wanted = WantedKinds::All()) {
    result_.reset();
    attestation_ = set_.Attest(peer, clock_.MonoNow() + 1s,
                               [this](Result<Findings> result) {
                                 EXPECT_FALSE(result_.has_value()) << "answered twice";
                                 result_ = std::move(result);
                               },
                               {.wanted = std::move(wanted)});
  }
  std::vector<std::unique_ptr<Attestor>> Both() {
    std::vector<std::unique_ptr<Attestor>> both;
    both.emplace_back(one_);
    both.emplace_back(two_);
    return both;
  }
  static std::vector<std::string> Texts(const Findings& findings) {
    std::vector<std::string> texts;
    for (const Selector& selector : findings.selectors) texts.push_back(selector.str());
    return texts;
  }
  StatusCode Code() const { return result_ ? result_->status().code() : StatusCode::kUnknown; }
  std::string Text() const { return result_ ? std::string(Message(result_->status())) : "not answered"; }

  EventLoop loop_;
  FakeClock clock_;
  ManualAttestor* one_ = new ManualAttestor("one");
  ManualAttestor* two_ =
      new ManualAttestor("two", Findings{{{"two", "b:1"}}, {{"two:c", Error(StatusCode::kDeadlineExceeded, "slow")}}});
  AttestorSet set_{loop_, clock_, Both()};
  std::unique_ptr<Attestation> attestation_;
  std::optional<Result<Findings>> result_;
};

TEST_F(AttestorSetTest, SortsAndMergesWhatAllFound) {
  TestProcess process([] {});
  Ask(process.Peer(geteuid()));
  ASSERT_TRUE(one_->asked() && two_->asked());  // in parallel
  two_->Answer(Findings{{{"two", "a:1"}}, {}});
  EXPECT_FALSE(result_);
  one_->Answer(Findings{{{"one", "b:1"}, {"one", "a:1"}, {"one", "b:1"}}, {}});
  ASSERT_EQ(Code(), StatusCode::kOk) << Text();
  EXPECT_THAT(Texts(**result_), ElementsAre("one:a:1", "one:b:1", "two:a:1"));
  EXPECT_EQ(attestation_->times().size(), 2u);
}

TEST_F(AttestorSetTest, AnAttestorOfWhichNothingIsWantedIsNeitherAskedNorWaitedFor) {
  TestProcess process([] {});
  auto wanted = std::make_shared<WantedKinds>();
  wanted->Add({"two", "a:1"});
  Ask(process.Peer(geteuid()), wanted);
  EXPECT_FALSE(one_->asked());
  ASSERT_TRUE(two_->asked());
  two_->Answer(Findings{{{"two", "a:1"}}, {}});
  ASSERT_EQ(Code(), StatusCode::kOk) << Text();
  EXPECT_TRUE((*result_)->gaps.empty());
}

TEST_F(AttestorSetTest, WhereNothingIsWantedTheCallerIsStillLookedAt) {
  TestProcess process([] {});
  Ask(process.Peer(geteuid()), std::make_shared<WantedKinds>());
  EXPECT_FALSE(result_) << "never before Attest() has returned";
  EXPECT_TRUE(RunUntil(loop_, [&] { return result_.has_value(); }));
  ASSERT_EQ(Code(), StatusCode::kOk) << Text();
  Ask(process.Peer(geteuid() + 1), std::make_shared<WantedKinds>());
  EXPECT_TRUE(RunUntil(loop_, [&] { return !(*result_).ok(); }));
  EXPECT_EQ(Code(), StatusCode::kPermissionDenied);
}

TEST_F(AttestorSetTest, AnAttestorThatFailsIsAGapOfItsTypeAndHidesNothingElse) {
  TestProcess process([] {});
  Ask(process.Peer(geteuid()));
  one_->Answer(Error(StatusCode::kUnavailable, "socket {} is gone", "/a\xff"));
  two_->Answer(Findings{{{"two", "a:1"}}, {}});
  ASSERT_EQ(Code(), StatusCode::kOk) << Text();
  EXPECT_THAT(Texts(**result_), ElementsAre("two:a:1"));
  ASSERT_EQ((*result_)->gaps.size(), 1u);
  EXPECT_EQ((*result_)->gaps[0].prefix, "one");
  EXPECT_EQ((*result_)->gaps[0].why.code(), StatusCode::kUnavailable);
  EXPECT_EQ(Message((*result_)->gaps[0].why), "socket /a\uFFFD is gone") << "UTF-8, whatever others call their files";
}

TEST_F(AttestorSetTest, AtTheDeadlineWhatIsMissingIsAGapAndTheAttemptIsCancelled) {
  TestProcess process([] {});
  Ask(process.Peer(geteuid()));
  clock_.Advance(999ms);
  EXPECT_FALSE(result_);
  clock_.Advance(1ms);
  ASSERT_EQ(Code(), StatusCode::kOk) << Text();
  EXPECT_THAT(Texts(**result_), ElementsAre("two:b:1"));
  ASSERT_EQ((*result_)->gaps.size(), 2u);
  EXPECT_EQ((*result_)->gaps[0].prefix, "one");
  EXPECT_EQ((*result_)->gaps[0].why.code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ((*result_)->gaps[1].prefix, "two:c");
  EXPECT_EQ(one_->attempts + two_->attempts, 0);
  one_->Answer(Findings{{{"one", "late:1"}}, {}});  // comes to nothing
  EXPECT_EQ((*result_)->selectors.size(), 1u);
}

TEST_F(AttestorSetTest, RefusesSelectorsOfAnotherAttestorsType) {
  TestProcess process([] {});
  Ask(process.Peer(geteuid()));
  one_->Answer(Findings{{{"two", "uid:0"}}, {}});
  two_->Answer(Findings{});
  ASSERT_EQ(Code(), StatusCode::kOk);
  EXPECT_TRUE((*result_)->selectors.empty());
  EXPECT_EQ((*result_)->gaps.at(0).prefix, "one");
}

TEST_F(AttestorSetTest, AnswersNobodyAfterItWasCancelled) {
  TestProcess process([] {});
  Ask(process.Peer(geteuid()));
  attestation_.reset();
  EXPECT_EQ(one_->attempts + two_->attempts, 0);
  one_->Answer(Findings{});
  two_->Answer(Findings{});
  clock_.Advance(10s);
  EXPECT_FALSE(result_);
}

TEST_F(AttestorSetTest, MayBeDestroyedByItsOwnAnswer) {
  TestProcess process([] {});
  bool answered = false;
  std::unique_ptr<Attestation> attestation =
      set_.Attest(process.Peer(geteuid()), clock_.MonoNow() + 1s, [&](Result<Findings>) {
        answered = true;
        attestation.reset();
      });
  clock_.Advance(1s);
  EXPECT_TRUE(answered);
}

TEST_F(AttestorSetTest, RefusesACallerThatExitedInTheMiddle) {
  TestProcess process([] {});
  Ask(process.Peer(geteuid()));
  process.Stop();
  one_->Answer(Findings{{{"one", "a:1"}}, {}});
  two_->Answer(Findings{});
  EXPECT_EQ(Code(), StatusCode::kUnavailable);
  EXPECT_THAT(Text(), HasSubstr("exited during attestation"));
}

TEST_F(AttestorSetTest, RefusesACallerThatExitedBeforeAndAnswersOnlyLater) {
  TestProcess process([] {});
  const PeerProcess peer = process.Peer(geteuid());
  process.Stop();
  Ask(peer);
  EXPECT_FALSE(result_);
  ASSERT_TRUE(RunUntil(loop_, [&] { return result_.has_value(); }));
  EXPECT_EQ(Code(), StatusCode::kUnavailable);
  EXPECT_FALSE(one_->asked());
}

TEST_F(AttestorSetTest, RefusesACallerThatExecutedAnotherProgramInTheMiddle) {
  TestProcess process([] {}, [] { TestProcess::ExecuteSleep("/bin/sleep"); });
  Ask(process.Peer(geteuid()));
  process.Continue();
  ASSERT_TRUE(process.WaitForExecutable("/bin/sleep"));
  one_->Answer(Findings{{{"one", "a:1"}}, {}});
  two_->Answer(Findings{});
  EXPECT_EQ(Code(), StatusCode::kUnavailable);
  EXPECT_THAT(Text(), HasSubstr("changed its executable"));
}

TEST_F(AttestorSetTest, RefusesACallerWhoseUidChangedSinceItConnected) {
  LANYARD_NEEDS_ROOT();
  TestProcess process([] { Become(kNobody); });
  PeerProcess peer =
      process.Peer(0);  // connected as root, as the child of a setuid program would see it the other way round
  Ask(peer);
  ASSERT_TRUE(RunUntil(loop_, [&] { return result_.has_value(); }));
  EXPECT_EQ(Code(), StatusCode::kPermissionDenied);
  EXPECT_THAT(Text(), HasSubstr("uid changed from 0 to 12345 since it connected; connect again"));
  EXPECT_FALSE(one_->asked());

  result_.reset();
  peer.uid = kNobody;  // now the gid alone differs
  Ask(peer);
  ASSERT_TRUE(RunUntil(loop_, [&] { return result_.has_value(); }));
  EXPECT_THAT(Text(), HasSubstr("gid changed from 0 to 12345"));
}

TEST_F(AttestorSetTest, RefusesACallerWhoseUidChangesInTheMiddle) {
  LANYARD_NEEDS_ROOT();
  TestProcess process([] {}, [] { Become(kNobody); });
  Ask(process.Peer(0));
  process.Continue();
  ASSERT_TRUE(TestProcess::WaitFor([&] {
    std::ifstream status("/proc/" + std::to_string(process.pid()) + "/status");
    const std::string text{std::istreambuf_iterator<char>(status), {}};
    return text.find("Uid:\t12345") != std::string::npos;
  }));
  one_->Answer(Findings{});
  two_->Answer(Findings{});
  EXPECT_EQ(Code(), StatusCode::kUnavailable);
  EXPECT_THAT(Text(), HasSubstr("changed its user or groups"));
}

// A kernel attestor and a service.
class ServiceTest : public AttestorSetTest {
 protected:
  ~ServiceTest() override { attestation_.reset(); }  // before the set that it belongs to

  void AskUntil(const PeerProcess& peer, std::function<bool(const Findings&, size_t)> enough) {
    result_.reset();
    attestation_ =
        services_.Attest(peer, clock_.MonoNow() + 1s, [this](Result<Findings> result) { result_ = std::move(result); },
                         {.enough = std::move(enough)});
  }
  std::vector<std::unique_ptr<Attestor>> KernelAndServices() {
    std::vector<std::unique_ptr<Attestor>> all;
    all.emplace_back(kernel_);
    all.emplace_back(quick_);
    all.emplace_back(slow_);
    return all;
  }

  ManualAttestor* kernel_ = new ManualAttestor("kernel", Findings{{{"kernel", "uid:1"}}, {}});
  ManualAttestor* quick_ = new ManualAttestor("quick", std::nullopt, 200ms);
  ManualAttestor* slow_ = new ManualAttestor("slow", std::nullopt, 300ms);
  AttestorSet services_{loop_, clock_, KernelAndServices()};
};

TEST_F(ServiceTest, AServiceIsNotAskedWhereWhatTheKernelSaysIsEnough) {
  TestProcess process([] {});
  AskUntil(process.Peer(geteuid()), [](const Findings& so_far, size_t open) {
    EXPECT_THAT(Texts(so_far), ElementsAre("kernel:uid:1"));
    EXPECT_EQ(open, 0u);
    EXPECT_EQ(so_far.gaps.size(), 2u);
    return true;
  });
  EXPECT_FALSE(result_) << "never before Attest() has returned";
  ASSERT_TRUE(RunUntil(loop_, [&] { return result_.has_value(); }));
  ASSERT_EQ(Code(), StatusCode::kOk) << Text();
  EXPECT_FALSE(quick_->asked() || slow_->asked());
  EXPECT_EQ((*result_)->gaps[1].prefix, "slow");
  EXPECT_EQ((*result_)->gaps[1].why.code(), StatusCode::kCancelled);
  EXPECT_EQ(services_.stats()[0].answered, 1u);
  EXPECT_EQ(services_.stats()[2].spared, 1u);
}

TEST_F(ServiceTest, ASlowServiceIsNotWaitedForOnceTheOthersAreEnough) {
  TestProcess process([] {});
  AskUntil(process.Peer(geteuid()), [](const Findings& so_far, size_t open) {
    return std::none_of(so_far.gaps.begin() + open, so_far.gaps.end(),
                        [](const Gap& gap) { return gap.prefix == "quick"; });
  });
  ASSERT_TRUE(quick_->asked() && slow_->asked());
  kernel_->Answer(Findings{{{"kernel", "uid:1"}}, {}});
  EXPECT_FALSE(result_);
  quick_->Answer(Findings{{{"quick", "label:x"}}, {}});
  ASSERT_EQ(Code(), StatusCode::kOk) << Text();
  EXPECT_THAT(Texts(**result_), ElementsAre("kernel:uid:1", "quick:label:x"));
  EXPECT_EQ(services_.stats()[2].spared, 1u);
  slow_->Answer(Findings{{{"slow", "late:1"}}, {}});  // comes to nothing
  EXPECT_EQ((*result_)->selectors.size(), 2u);
}

TEST_F(ServiceTest, EachServiceHasALimitOfItsOwnAndTheOthersGoOn) {
  TestProcess process([] {});
  AskUntil(process.Peer(geteuid()), nullptr);
  EXPECT_EQ(quick_->given, clock_.MonoNow() + 200ms);
  EXPECT_EQ(kernel_->given, clock_.MonoNow() + 1s);
  clock_.Advance(200ms);
  EXPECT_EQ(quick_->attempts, 0);
  EXPECT_FALSE(result_);
  slow_->Answer(Findings{{{"slow", "a:1"}}, {}});
  kernel_->Answer(Error(StatusCode::kUnavailable, "no"));
  ASSERT_EQ(Code(), StatusCode::kOk) << Text();
  EXPECT_THAT(Texts(**result_), ElementsAre("slow:a:1"));
  EXPECT_EQ((*result_)->gaps[0].prefix, "quick");
  EXPECT_EQ((*result_)->gaps[0].why.code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(services_.stats()[1].late, 1u);
  EXPECT_EQ(services_.stats()[2].answered, 1u);
  EXPECT_EQ(services_.stats()[0].failed, 1u);
}

TEST_F(AttestorSetTest, WithoutAttestorsFindsNothingAndStillChecksTheCaller) {
  AttestorSet none(loop_, clock_, {});
  TestProcess process([] {});
  attestation_ = none.Attest(process.Peer(geteuid()), clock_.MonoNow() + 1s,
                             [this](Result<Findings> r) { result_ = std::move(r); });
  EXPECT_FALSE(result_);
  process.Stop();
  ASSERT_TRUE(RunUntil(loop_, [&] { return result_.has_value(); }));
  EXPECT_EQ(Code(), StatusCode::kUnavailable);
}

}  // namespace
}  // namespace lanyard
