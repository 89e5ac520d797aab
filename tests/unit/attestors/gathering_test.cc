#include "attestors/gathering.h"

#include <gtest/gtest.h>

#include <optional>

#include "attestors/attestation.h"
#include "tests/support/fake_clock.h"
#include "tests/support/loop_driver.h"
#include "tests/unit/attestors/test_process.h"

namespace lanyard {
namespace {

// Cannot tell about two cgroups, whose names callers chose.
class BlindAttestor : public Attestor {
 public:
  explicit BlindAttestor(EventLoop& loop) : loop_(loop) {}

  std::string_view type() const override { return "blind"; }
  std::unique_ptr<Attempt> Attest(std::shared_ptr<const Subject>, Deadline, Done done) override {
    auto attempt = std::make_unique<Gathering>(loop_, type(), std::move(done));
    for (const std::string& cgroup : {std::string("/a\xff"), std::string("/b")}) {
      attempt->AddGap("cgroup:" + cgroup, Error(StatusCode::kUnavailable, "look at {}/{}", cgroup, "c\xff"));
    }
    attempt->Seal();
    return attempt;
  }

 private:
  EventLoop& loop_;
};

TEST(GatheringTest, OfWhatNoEntryCanNameThereIsNoGapAndReasonsAreUtf8) {
  EventLoop loop;
  FakeClock clock;
  std::vector<std::unique_ptr<Attestor>> one;
  one.push_back(std::make_unique<BlindAttestor>(loop));
  AttestorSet set(loop, clock, std::move(one));
  TestProcess process([] {});
  std::optional<Result<Findings>> result;
  const auto attestation = set.Attest(process.Peer(geteuid()), clock.MonoNow() + std::chrono::seconds(1),
                                      [&](Result<Findings> findings) { result = std::move(findings); });
  ASSERT_TRUE(RunUntil(loop, [&] { return result.has_value(); }));
  ASSERT_TRUE(result->ok()) << result->status();
  ASSERT_EQ((*result)->gaps.size(), 1u);
  EXPECT_EQ((*result)->gaps[0].prefix, "blind:cgroup:/b");
  EXPECT_EQ(Message((*result)->gaps[0].why), "look at /b/c\uFFFD");
}

}  // namespace
}  // namespace lanyard
