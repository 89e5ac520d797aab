#include "tests/unit/workload_api/workload_fixture.h"

namespace lanyard {
namespace {

using std::chrono::milliseconds;

// Of a container engine that never says a word.
class SilentService : public Attestor {
 public:
  std::string_view type() const override { return "process"; }
  std::optional<milliseconds> service_limit() const override { return milliseconds(2000); }
  std::unique_ptr<Attempt> Attest(std::shared_ptr<const Subject>, Deadline, Done) override {
    return std::make_unique<Attempt>();
  }
};

// Of one that knows nothing about anybody, and says so once only.
class TiredService : public SilentService {
 public:
  explicit TiredService(EventLoop& loop) : loop_(loop) {}
  std::unique_ptr<Attempt> Attest(std::shared_ptr<const Subject> subject, Deadline deadline, Done done) override {
    if (asked_++ > 0) return SilentService::Attest(std::move(subject), deadline, std::move(done));
    loop_.Post([done = std::move(done)]() mutable { std::move(done)(Findings()); });
    return std::make_unique<Attempt>();
  }

 private:
  EventLoop& loop_;
  int asked_ = 0;
};

constexpr char kEntries[] = R"(entries:
  - {spiffe_id: "spiffe://example.org/bot", selectors: ["unix:uid:1000"]}
  - {spiffe_id: "spiffe://example.org/contained", selectors: ["unix:uid:2000", "process:scope:x.scope"]}
  - {spiffe_id: "spiffe://example.org/nearly", selectors: ["unix:uid:3000", "unix:path:/usr/bin/agent"]}
)";

class ServiceAttestorTest : public WorkloadServiceTest {
 protected:
  ServiceAttestorTest() { AskBeside(std::make_unique<SilentService>()); }

  void AskBeside(std::unique_ptr<Attestor> service) {
    std::vector<std::unique_ptr<Attestor>> attestors;
    attestors.push_back(std::make_unique<TestAttestor>(loop_, selector_, more_selectors_, attestor_broken_, looks_));
    attestors.push_back(std::move(service));
    const auto before = std::exchange(attestors_, std::make_unique<AttestorSet>(loop_, clock_, std::move(attestors)));
    BindCrls();  // new services; those of before still refer to the set of before
    SetRegistry(kEntries);
  }
  std::optional<Status> StatusAfter(OpenCall& stream, milliseconds time) {
    clock_.Advance(time);
    RunUntilIdle(loop_);
    return stream.call.status;
  }
};

TEST_F(ServiceAttestorTest, ASilentServiceDoesNotDelayACallerWhoseEntriesDoNotNeedIt) {
  auto stream = Open("FetchX509SVID");
  RunUntilIdle(loop_);  // no time passes
  EXPECT_EQ(stream->call.messages.size(), 1u);
}

TEST_F(ServiceAttestorTest, ACallerWhoseEntryNeedsASilentServiceIsToldSoAfterTheServicesLimit) {
  selector_ = "unix:uid:2000";
  auto stream = Open("FetchX509SVID");
  EXPECT_FALSE(StatusAfter(*stream, milliseconds(1999)));
  const auto status = StatusAfter(*stream, milliseconds(1));
  ASSERT_TRUE(status);
  EXPECT_EQ(status->code(), StatusCode::kUnavailable);
  EXPECT_NE(Message(*status).find("process"), std::string_view::npos) << *status;
}

TEST_F(ServiceAttestorTest, ADenialStaysOneWhenTheLookForItsRecordFindsOutLess) {
  AskBeside(std::make_unique<TiredService>(loop_));
  selector_ = "unix:uid:2000";
  auto stream = Open("FetchX509SVID");
  RunUntilIdle(loop_);
  EXPECT_FALSE(stream->call.status);
  const auto status = StatusAfter(*stream, milliseconds(500));
  ASSERT_TRUE(status);
  EXPECT_EQ(status->code(), StatusCode::kPermissionDenied) << *status;
}

TEST_F(ServiceAttestorTest, ADenialWaitsLittleForWhatOnlyItsRecordSaysAndTheRecordSaysWhatWasNearlyEarned) {
  selector_ = "unix:uid:3000";
  auto stream = Open("FetchX509SVID");
  RunUntilIdle(loop_);
  const auto status = StatusAfter(*stream, milliseconds(500));
  ASSERT_TRUE(status);
  EXPECT_EQ(status->code(), StatusCode::kPermissionDenied) << *status;
  ASSERT_FALSE(audit_.records.empty());
  EXPECT_EQ(
      audit_.records.back().nearly,
      std::vector<std::string>{"spiffe://example.org/nearly: 1 of 2 selectors; missing unix:path:/usr/bin/agent"});
}

}  // namespace
}  // namespace lanyard
