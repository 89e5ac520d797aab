#include "node_agent/app/bundle_document.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "node_agent/app/bundle_endpoint.h"
#include "pki/root.h"
#include "tests/support/fake_clock.h"
#include "tests/support/loop_driver.h"
#include "tests/support/temp_dir.h"

namespace lanyard {
namespace {

using namespace std::chrono_literals;

class BundleDocumentTest : public testing::Test {
 protected:
  BundleDocumentTest() { Restart(); }

  void Restart() { document_ = std::make_unique<BundleDocument>(loop_, clock_, file_, 300s); }
  Bundle WithRoots(size_t count) {
    while (roots_.size() < count) {
      roots_.push_back(
          MakeRootCa(domain_, KeyType::kEcP256, clock_.WallNow(), clock_.WallNow() + 24h).value().certificate);
    }
    return Bundle::Create(domain_, {roots_.begin(), roots_.begin() + static_cast<std::ptrdiff_t>(count)}).value();
  }
  nlohmann::json Show(const Bundle& bundle) {
    document_->Show(bundle);
    EXPECT_TRUE(RunUntilIdle(loop_));
    return nlohmann::json::parse(document_->text(), nullptr, false);
  }
  uint64_t SequenceOf(const Bundle& bundle) { return Show(bundle).value("spiffe_sequence", uint64_t{0}); }

  EventLoop loop_;
  FakeClock clock_;
  TempDir dir_;
  const std::string file_ = dir_.Path("bundle.sequence");
  const TrustDomain domain_ = TrustDomain::Parse("example.org").value();
  std::vector<Certificate> roots_;
  std::unique_ptr<BundleDocument> document_;
};

TEST_F(BundleDocumentTest, SaysWhatTheBundleSaysWithNumberAndHint) {
  const Bundle bundle = WithRoots(2);
  const nlohmann::json document = Show(bundle);
  EXPECT_EQ(document["keys"], nlohmann::json::parse(bundle.ToDocument())["keys"]);
  EXPECT_EQ(document.value("spiffe_refresh_hint", 0), 300);
  EXPECT_GT(document.value("spiffe_sequence", uint64_t{0}), 0u);
  EXPECT_EQ(document.size(), 3u);
  const Bundle read = Bundle::ParseDocument(domain_, document_->text()).value();
  EXPECT_TRUE(read.SameAuthorities(bundle));
}

// SPIFFE_Trust_Domain_and_Bundle §4.1.1
TEST_F(BundleDocumentTest, TheNumberRisesWithEachChangeAndWithNothingElse) {
  const uint64_t first = SequenceOf(WithRoots(1));
  EXPECT_EQ(SequenceOf(WithRoots(1)), first);
  clock_.Advance(1h);
  EXPECT_EQ(SequenceOf(WithRoots(1)), first);
  const uint64_t second = SequenceOf(WithRoots(2));
  EXPECT_GT(second, first);
  const uint64_t third = SequenceOf(WithRoots(1));
  EXPECT_GT(third, second) << "what was said before is another change";
}

TEST_F(BundleDocumentTest, ARestartKeepsTheNumberAndGoesOnFromIt) {
  const uint64_t first = SequenceOf(WithRoots(1));
  clock_.Advance(1h);
  Restart();
  EXPECT_EQ(SequenceOf(WithRoots(1)), first);
  clock_.JumpWall(-24h);
  Restart();
  const uint64_t second = SequenceOf(WithRoots(2));
  EXPECT_GT(second, first) << "also when the clock has gone back";
  Restart();
  EXPECT_EQ(SequenceOf(WithRoots(2)), second);
}

TEST_F(BundleDocumentTest, ALostOrDamagedFileDoesNotBringANumberBack) {
  const uint64_t first = SequenceOf(WithRoots(1));
  for (const std::string& damaged : {std::string(), std::string("garbage"), std::string("1"), std::string(1000, '9')}) {
    clock_.Advance(1h);
    dir_.Write("bundle.sequence", damaged);
    Restart();
    EXPECT_GT(SequenceOf(WithRoots(2)), first) << damaged;
  }
}

TEST_F(BundleDocumentTest, IsShownAlsoWhereTheNumberCannotBeKept) {
  document_ = std::make_unique<BundleDocument>(loop_, clock_, dir_.Path("none/such/file"), 300s);
  const uint64_t first = SequenceOf(WithRoots(1));
  EXPECT_GT(first, 0u);
  EXPECT_GT(SequenceOf(WithRoots(2)), first);
}

TEST_F(BundleDocumentTest, ANumberThatCouldNotBeKeptIsNotFollowedByALowerOne) {
  SequenceOf(WithRoots(1));
  dir_.MakeDir("bundle.sequence.tmp");  // in the way of writing
  const uint64_t lost = SequenceOf(WithRoots(2));
  EXPECT_GT(SequenceOf(WithRoots(1)), lost);
}

TEST_F(BundleDocumentTest, OfChangesInARowTheNewestIsShown) {
  document_->Show(WithRoots(1));
  document_->Show(WithRoots(2));
  document_->Show(WithRoots(3));
  ASSERT_TRUE(RunUntilIdle(loop_));
  EXPECT_EQ(nlohmann::json::parse(document_->text())["keys"].size(), 3u);
}

TEST_F(BundleDocumentTest, MayBeDestroyedWhileItIsNumbered) {
  document_->Show(WithRoots(1));
  document_.reset();
  EXPECT_TRUE(RunUntilIdle(loop_));
}

TEST(RefreshHintTest, LeavesFiveFetchesBeforeANewRootSigns) {
  EXPECT_EQ(RefreshHintFor(std::chrono::hours(720)), 300s);
  EXPECT_EQ(RefreshHintFor(std::chrono::minutes(15)), 60s);
  EXPECT_EQ(RefreshHintFor(1s), 1s);
}

}  // namespace
}  // namespace lanyard
