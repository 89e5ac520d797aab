// One page of metrics in Prometheus' text format, put together anew for each scrape.
//
// The values live where they arise (counters of the parts of the agent); the page only names them. Samples of one name
// are one family, wherever on the page they were added: one HELP and one TYPE line. A sample that Prometheus would
// refuse, which would cost the whole scrape, is left out and named in problems(), which tests expect to be empty.
//
// Thread: any, one at a time.
#pragma once

#include <prometheus/metric_family.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "node_agent/base/clock.h"
#include "node_agent/base/histogram.h"

namespace lanyard {

// For the HTTP server: the format that Text() writes.
inline constexpr std::string_view kMetricsContentType = "text/plain; version=0.0.4; charset=utf-8";

class MetricPage {
 public:
  // Name and value. The values must come from a small fixed set; bytes that are no UTF-8 are replaced.
  using Labels = std::vector<std::pair<std::string, std::string>>;

  // `name` ends in "_total" (or "_seconds_total"); `value` since the start of the process.
  void Counter(std::string_view name, std::string_view help, double value, const Labels& labels = {});
  void Gauge(std::string_view name, std::string_view help, double value, const Labels& labels = {});
  // Seconds since 1970.
  void Gauge(std::string_view name, std::string_view help, WallTime value, const Labels& labels = {});
  void Histogram(std::string_view name, std::string_view help, const lanyard::Histogram& value,
                 const Labels& labels = {});

  // Families in the order in which they were first added.
  std::string Text() const;
  // Of the families, in the order of the page.
  std::vector<std::string> Names() const;
  // What was left out and why.
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  void Add(prometheus::MetricType type, std::string_view name, std::string_view help, prometheus::ClientMetric metric,
           const Labels& labels);

  std::vector<prometheus::MetricFamily> families_;
  std::vector<std::string> problems_;
};

}  // namespace lanyard
