#include "node_agent/base/metrics.h"

#include <fmt/format.h>
#include <prometheus/check_names.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <optional>

#include "node_agent/base/utf8.h"

namespace lanyard {
namespace {

using prometheus::MetricType;

// Why Prometheus would refuse a sample, or nothing.
std::optional<std::string> Objection(const prometheus::MetricFamily* family, MetricType type, const std::string& name,
                                     std::string_view help,
                                     const std::vector<prometheus::ClientMetric::Label>& labels) {
  if (!prometheus::CheckMetricName(name)) return "its name is not one that Prometheus takes";
  if (type == MetricType::Counter && !name.ends_with("_total")) return "a counter's name ends in _total";
  if (help.find_first_of("\n\\") != std::string_view::npos) return "its help has a line break or backslash";
  for (size_t i = 0; i < labels.size(); ++i) {
    if (!prometheus::CheckLabelName(labels[i].name) || labels[i].name == "le" || labels[i].name == "quantile")
      return fmt::format("the label name \"{}\" is not one that Prometheus takes here", labels[i].name);
    if (i > 0 && labels[i - 1].name == labels[i].name) return fmt::format("it has two labels {}", labels[i].name);
  }
  if (family == nullptr) return std::nullopt;
  if (family->type != type) return "it is of another type above";
  if (family->help != help) return "it has another help above";
  const bool twice = std::any_of(family->metric.begin(), family->metric.end(),
                                 [&](const prometheus::ClientMetric& metric) { return metric.label == labels; });
  return twice ? std::optional<std::string>("its labels are those of a sample above") : std::nullopt;
}

}  // namespace

void MetricPage::Counter(std::string_view name, std::string_view help, double value, const Labels& labels) {
  prometheus::ClientMetric metric;
  metric.counter.value = value;
  Add(MetricType::Counter, name, help, std::move(metric), labels);
}

void MetricPage::Gauge(std::string_view name, std::string_view help, double value, const Labels& labels) {
  prometheus::ClientMetric metric;
  metric.gauge.value = value;
  Add(MetricType::Gauge, name, help, std::move(metric), labels);
}

void MetricPage::Gauge(std::string_view name, std::string_view help, WallTime value, const Labels& labels) {
  Gauge(name, help, std::chrono::duration<double>(value.time_since_epoch()).count(), labels);
}

void MetricPage::Histogram(std::string_view name, std::string_view help, const lanyard::Histogram& value,
                           const Labels& labels) {
  Add(MetricType::Histogram, name, help, value.Collect(), labels);
}

void MetricPage::Add(MetricType type, std::string_view name, std::string_view help, prometheus::ClientMetric metric,
                     const Labels& labels) {
  for (const auto& [label, value] : labels) metric.label.push_back({label, ToUtf8(value)});
  std::sort(metric.label.begin(), metric.label.end());
  auto family =
      std::find_if(families_.begin(), families_.end(), [name](const auto& known) { return known.name == name; });
  const auto objection =
      Objection(family == families_.end() ? nullptr : &*family, type, std::string(name), help, metric.label);
  if (objection) return problems_.push_back(fmt::format("{}: {}", name, *objection));
  if (family == families_.end())
    family =
        families_.insert(family, {.name = std::string(name), .help = std::string(help), .type = type, .metric = {}});
  family->metric.push_back(std::move(metric));
}

std::string MetricPage::Text() const {
  return prometheus::TextSerializer().Serialize(families_);
}

std::vector<std::string> MetricPage::Names() const {
  std::vector<std::string> names;
  for (const prometheus::MetricFamily& family : families_) names.push_back(family.name);
  return names;
}

}  // namespace lanyard
