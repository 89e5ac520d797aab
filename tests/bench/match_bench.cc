// How long a match takes in a registry of so many entries (10,000): the median and the 99th percentile, as JSON.
//
//   match_bench [ENTRIES]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "attestors/attestor.h"
#include "node_agent/registry/registry.h"

namespace lanyard {
namespace {

Selector Make(const std::string& text) {
  return Selector::Parse(text).value();
}

std::shared_ptr<const Registry> MakeRegistry(int entries) {
  std::vector<Registry::Item> items;
  for (int i = 0; i < entries; ++i) {
    std::vector<Selector> selectors = {Make("unix:user:agents"), Make(fmt::format("unix:uid:{}", i % 100)),
                                       Make(fmt::format("unix:sha256:{:064x}", i))};
    std::sort(selectors.begin(), selectors.end());
    auto entry = std::make_shared<const Entry>(
        Entry{.id = SpiffeId::Parse(fmt::format("spiffe://example.org/agent/{}", i)).value(),
              .selectors = std::move(selectors)});
    items.push_back({std::move(entry), {"bench.yaml", i + 1, 1}});
  }
  return Registry::Build(std::move(items));
}

void Measure(const char* separator, const char* name, const Registry& registry, const Findings& findings) {
  using SteadyClock = std::chrono::steady_clock;
  constexpr int kRounds = 2000;
  std::vector<double> micros;
  size_t results = 0;
  for (int round = 0; round < kRounds; ++round) {
    const auto start = SteadyClock::now();
    const Verdicts verdicts = registry.Match(findings);
    micros.push_back(std::chrono::duration<double, std::micro>(SteadyClock::now() - start).count());
    results = verdicts.earned.size() + verdicts.undetermined.size();
  }
  std::sort(micros.begin(), micros.end());
  std::printf("%s\"%s\": {\"p50_us\": %.3f, \"p99_us\": %.3f, \"results\": %zu}", separator, name, micros[kRounds / 2],
              micros[kRounds * 99 / 100], results);
}

}  // namespace
}  // namespace lanyard

int main(int argc, char** argv) {
  using namespace lanyard;
  const int entries = argc > 1 ? std::atoi(argv[1]) : 10'000;
  const auto registry = MakeRegistry(entries);
  Findings findings;
  for (const char* text : {"unix:user:agents", "unix:uid:7", "unix:gid:7", "unix:group:agents"})
    findings.selectors.push_back(Make(text));
  findings.selectors.push_back(Make(fmt::format("unix:sha256:{:064x}", 107)));
  for (int i = 0; i < 25; ++i) findings.selectors.push_back(Make(fmt::format("process:ancestor:/usr/bin/{}", i)));
  Measure("{", "earns", *registry, findings);

  Findings stranger;
  for (const char* text : {"unix:user:agents", "unix:uid:7"}) stranger.selectors.push_back(Make(text));
  Measure(", ", "stranger", *registry, stranger);

  stranger.gaps.push_back({"unix:sha256", Error(StatusCode::kUnavailable, "too slow")});
  Measure(", ", "executable_unknown", *registry, stranger);

  stranger.gaps = {{"unix", Error(StatusCode::kUnavailable, "gone")}};
  Measure(", ", "unix_unknown", *registry, stranger);
  std::printf("}\n");
}
