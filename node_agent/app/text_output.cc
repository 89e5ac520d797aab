#include "node_agent/app/text_output.h"

#include <fmt/format.h>

#include <algorithm>

namespace lanyard {
namespace {

// Bytes that are not the continuation of a UTF-8 character: close enough to columns for names and paths.
size_t Width(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

}  // namespace

std::string FormatDistance(std::chrono::system_clock::time_point time, std::chrono::system_clock::time_point now) {
  struct Unit {
    std::string_view name;
    long seconds;
  };
  constexpr Unit kUnits[] = {{"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}};
  long rest = std::chrono::duration_cast<std::chrono::seconds>(time > now ? time - now : now - time).count();
  std::string text;
  int written = 0;
  for (const Unit& unit : kUnits) {
    const bool began = written > 0;
    if (rest >= unit.seconds) text += fmt::format("{}{}", rest / unit.seconds, unit.name);
    if (rest >= unit.seconds || began) ++written;
    rest %= unit.seconds;
    if (written == 2) break;
  }
  if (text.empty()) return "now";
  return time > now ? "in " + text : text + " ago";
}

void PrintJsonLine(const Console& console, const nlohmann::json& value) {
  console.out << value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n' << std::flush;
}

void PrintJson(const Console& console, const nlohmann::json& value) {
  console.out << value.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
}

void PrintTable(const Console& console, const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Width(row[i]));
  }
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] - Width(row[i]) + 2, ' ');
    }
    console.out << line << '\n';
  }
}

std::string Join(const std::vector<std::string>& parts, std::string_view separator) {
  return fmt::format("{}", fmt::join(parts, separator));
}

std::string Count(std::size_t count, std::string_view one, std::string_view many) {
  return fmt::format("{} {}", count, count == 1 ? one : many);
}

}  // namespace lanyard
