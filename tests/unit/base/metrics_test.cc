#include "node_agent/base/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <clocale>
#include <limits>

namespace lanyard {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

TEST(MetricPageTest, WritesSamplesOfOneNameAsOneFamily) {
  MetricPage page;
  page.Counter("lanyard_calls_total", "Calls.", 3, {{"socket", "workload"}});
  page.Gauge("lanyard_open", "Open.", 0.5);
  page.Counter("lanyard_calls_total", "Calls.", 1, {{"socket", "admin"}});
  EXPECT_EQ(page.Text(),
            "# HELP lanyard_calls_total Calls.\n"
            "# TYPE lanyard_calls_total counter\n"
            "lanyard_calls_total{socket=\"workload\"} 3\n"
            "lanyard_calls_total{socket=\"admin\"} 1\n"
            "# HELP lanyard_open Open.\n"
            "# TYPE lanyard_open gauge\n"
            "lanyard_open 0.5\n");
  EXPECT_THAT(page.Names(), testing::ElementsAre("lanyard_calls_total", "lanyard_open"));
  EXPECT_THAT(page.problems(), SizeIs(0));
}

TEST(MetricPageTest, WritesEveryBucketOfAHistogram) {
  Histogram histogram({0.001, 0.1});
  ObserveTime(histogram, std::chrono::milliseconds(50));
  MetricPage page;
  page.Histogram("lanyard_wait_seconds", "Wait.", histogram, {{"what", "disk"}});
  EXPECT_THAT(page.Text(), HasSubstr("# TYPE lanyard_wait_seconds histogram\n"
                                     "lanyard_wait_seconds_count{what=\"disk\"} 1\n"
                                     "lanyard_wait_seconds_sum{what=\"disk\"} 0.05"));
  EXPECT_THAT(page.Text(), HasSubstr("lanyard_wait_seconds_bucket{what=\"disk\",le=\"0.001\"} 0\n"));
  EXPECT_THAT(page.Text(), HasSubstr("lanyard_wait_seconds_bucket{what=\"disk\",le=\"+Inf\"} 1\n"));
}

TEST(MetricPageTest, KeepsTimesToTheMillisecond) {
  MetricPage page;
  page.Gauge("lanyard_start", "Start.", WallTime(std::chrono::milliseconds(1767225600123)));
  EXPECT_THAT(page.Text(), HasSubstr("lanyard_start 1767225600.123"));
}

TEST(MetricPageTest, NoLabelValueBreaksTheFormat) {
  MetricPage page;
  page.Gauge("lanyard_x", "X.", 1, {{"a", "b\"} 2\nlanyard_forged 1\n\\"}});
  page.Gauge("lanyard_x", "X.", 1, {{"a", "latin \xe4, half \xc3"}});
  EXPECT_THAT(page.Text(), HasSubstr("{a=\"b\\\"} 2\\nlanyard_forged 1\\n\\\\\"} 1\n"));
  EXPECT_THAT(page.Text(), HasSubstr("{a=\"latin \xef\xbf\xbd, half \xef\xbf\xbd\"} 1\n"));
  EXPECT_THAT(page.problems(), SizeIs(0));
}

TEST(MetricPageTest, WritesValuesThatAreNoNumbers) {
  MetricPage page;
  page.Gauge("lanyard_x", "X.", std::numeric_limits<double>::quiet_NaN(), {{"a", "1"}});
  page.Gauge("lanyard_x", "X.", std::numeric_limits<double>::infinity(), {{"a", "2"}});
  EXPECT_THAT(page.Text(), HasSubstr("lanyard_x{a=\"1\"} Nan\nlanyard_x{a=\"2\"} +Inf\n"));
}

TEST(MetricPageTest, LeavesOutWhatPrometheusWouldRefuse) {
  MetricPage page;
  page.Gauge("lanyard_ok", "Fine.", 1);
  page.Gauge("lanyard-dash", "No.", 1);
  page.Gauge("", "No.", 1);
  page.Counter("lanyard_calls", "No _total.", 1);
  page.Gauge("lanyard_label", "No.", 1, {{"a-b", "x"}});
  page.Gauge("lanyard_label", "No.", 1, {{"le", "x"}});
  page.Gauge("lanyard_label", "No.", 1, {{"a", "x"}, {"a", "y"}});
  page.Gauge("lanyard_help", "Two\nlines.", 1);
  page.Gauge("lanyard_ok", "Fine.", 2);
  page.Gauge("lanyard_ok", "Otherwise.", 2, {{"a", "x"}});
  Histogram histogram({1});
  page.Histogram("lanyard_ok", "Fine.", histogram, {{"a", "x"}});
  EXPECT_EQ(page.Text(), "# HELP lanyard_ok Fine.\n# TYPE lanyard_ok gauge\nlanyard_ok 1\n");
  EXPECT_THAT(page.problems(), SizeIs(10));
}

}  // namespace
}  // namespace lanyard
