#include "node_agent/base/duration.h"

#include <array>
#include <charconv>
#include <cstdint>

namespace lanyard {
namespace {

using std::chrono::nanoseconds;

struct Unit {
  std::string_view name;
  nanoseconds length;
};
constexpr std::array kUnits = {
    Unit{"h", std::chrono::hours(1)},         Unit{"m", std::chrono::minutes(1)},
    Unit{"s", std::chrono::seconds(1)},       Unit{"ms", std::chrono::milliseconds(1)},
    Unit{"us", std::chrono::microseconds(1)}, Unit{"ns", nanoseconds(1)},
};

size_t UnitIndex(std::string_view name) {
  size_t index = 0;
  while (index < kUnits.size() && kUnits[index].name != name) ++index;
  return index;
}

template <class... Args>
Status Wrong(std::string_view text, fmt::format_string<Args...> format, Args&&... args) {
  return Error(StatusCode::kInvalidArgument, "duration '{}' {}", text,
               fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace

Result<nanoseconds> ParseDuration(std::string_view text) {
  if (text.empty()) return Error(StatusCode::kInvalidArgument, "duration is empty: write for example 90s, 15m or 24h");
  nanoseconds total{0};
  std::string_view rest = text;
  size_t next_unit = 0;
  while (!rest.empty()) {
    const std::string_view digits = rest.substr(0, rest.find_first_not_of("0123456789"));
    if (digits.empty()) return Wrong(text, "is not a number with a unit: write for example 90s, 15m or 24h");
    rest.remove_prefix(digits.size());
    if (rest.empty())
      return Wrong(text, "has no unit: write for example {}{}s", text.substr(0, text.size() - digits.size()), digits);
    const std::string_view name = rest.substr(0, rest.find_first_of("0123456789"));
    rest.remove_prefix(name.size());

    if (name == ".") return Wrong(text, "has a fraction: write whole numbers, for example 1m30s or 500ms");
    if (name == "d") return Wrong(text, "is in days, which are not a unit here: write hours, for example 24h");
    const size_t unit = UnitIndex(name);
    if (unit == kUnits.size()) return Wrong(text, "has the unknown unit '{}': use h, m, s, ms, us or ns", name);
    if (unit < next_unit)
      return Wrong(text, "has its units out of order or twice: write the largest first, for example 1h30m");
    next_unit = unit + 1;

    int64_t count = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), count);
    int64_t part = 0;
    int64_t sum = 0;
    if (error != std::errc() || __builtin_mul_overflow(count, kUnits[unit].length.count(), &part) ||
        __builtin_add_overflow(total.count(), part, &sum)) {
      return Wrong(text, "is too long");
    }
    total = nanoseconds(sum);
  }
  return total;
}

std::string FormatDuration(nanoseconds duration) {
  if (duration == nanoseconds(0)) return "0s";
  std::string text = duration < nanoseconds(0) ? "-" : "";
  // Through unsigned, so that the most negative value has a magnitude.
  uint64_t rest = static_cast<uint64_t>(duration.count());
  if (duration < nanoseconds(0)) rest = ~rest + 1;
  for (const Unit& unit : kUnits) {
    const auto length = static_cast<uint64_t>(unit.length.count());
    if (rest >= length) text += fmt::format("{}{}", rest / length, unit.name);
    rest %= length;
  }
  return text;
}

}  // namespace lanyard
