// At most one log line per key and minute, so that a peer who fails in a loop cannot fill the disk.
//
// Thread: loop.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "node_agent/base/clock.h"

namespace lanyard {

class LogLimiter {
 public:
  // `reason` is a short fixed word, not text that varies by peer. Nothing: keep silent. Otherwise: log, and say how
  // many times this was kept silent before.
  std::optional<uint64_t> Allow(std::string_view who, std::string_view reason, MonoTime now) {
    if (entries_.size() > kMostEntries) {
      if (now < look_again_) return std::nullopt;
      look_again_ = now + kLookEvery;
      std::erase_if(entries_, [&](const auto& entry) { return now - entry.second.logged >= kEvery; });
      if (entries_.size() > kMostEntries) return std::nullopt;
    }
    auto [entry, fresh] = entries_.try_emplace({std::string(who), std::string(reason)}, Entry{now, 0});
    if (!fresh && now - entry->second.logged < kEvery) {
      ++entry->second.silent;
      return std::nullopt;
    }
    entry->second.logged = now;
    return std::exchange(entry->second.silent, 0);
  }

 private:
  static constexpr std::chrono::seconds kEvery{60};
  static constexpr std::chrono::seconds kLookEvery{1};  // for room, when there is none
  static constexpr size_t kMostEntries = 1024;

  struct Entry {
    MonoTime logged;
    uint64_t silent = 0;
  };
  std::map<std::pair<std::string, std::string>, Entry> entries_;
  MonoTime look_again_{};
};

}  // namespace lanyard
