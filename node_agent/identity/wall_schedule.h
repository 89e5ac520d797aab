// Points of wall time that are waited for on the boot clock.
//
// Certificates speak in wall time; alarms must not, since the wall clock may be set. So each point is translated when
// it is put in, and all are translated anew when the two clocks have moved apart.
//
// Thread: loop.
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>

#include "node_agent/base/clock.h"

namespace lanyard {

template <class Key>
class WallSchedule {
 public:
  using Order = std::set<std::pair<MonoTime, Key>>;

  explicit WallSchedule(const Clock& clock) : clock_(clock), offset_(ClockOffset()) {}

  // Replaces an earlier point of the same key.
  void Set(Key key, WallTime due) {
    Remove(key);
    const auto wait = std::max<std::chrono::nanoseconds>(due - clock_.WallNow(), std::chrono::nanoseconds(0));
    const MonoTime at = clock_.MonoNow() + wait;
    points_[key] = {due, at};
    order_.insert({at, key});
  }

  void Remove(Key key) {
    const auto found = points_.find(key);
    if (found == points_.end()) return;
    order_.erase({found->second.second, key});
    points_.erase(found);
  }

  bool Has(Key key) const { return points_.contains(key); }
  const Order& order() const { return order_; }  // earliest first

  // How far the wall clock was set since the last call, if that is more than slewing explains; all points have been
  // moved then.
  std::optional<std::chrono::nanoseconds> FollowClock() {
    const auto jump = ClockOffset() - offset_;
    offset_ += jump;
    if (jump < kSlewing && jump > -kSlewing) return std::nullopt;
    const auto points = points_;
    for (const auto& [key, point] : points) Set(key, point.first);
    return jump;
  }

 private:
  static constexpr std::chrono::seconds kSlewing{
      2};  // what the kernel may do between two looks without it being a jump

  std::chrono::nanoseconds ClockOffset() const {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(clock_.WallNow().time_since_epoch()) -
           clock_.MonoNow().time_since_epoch();
  }

  const Clock& clock_;
  std::chrono::nanoseconds offset_;
  std::unordered_map<Key, std::pair<WallTime, MonoTime>> points_;
  Order order_;
};

}  // namespace lanyard
