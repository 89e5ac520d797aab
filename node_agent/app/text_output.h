// How the command line prints: times, tables, JSON.
//
// Thread: any.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "node_agent/app/cli.h"
#include "node_agent/base/printable.h"
#include "node_agent/base/utc.h"

namespace lanyard {

// "in 59m", "3h ago": to the two largest units.
std::string FormatDistance(std::chrono::system_clock::time_point time, std::chrono::system_clock::time_point now);

// One value on one line.
void PrintJsonLine(const Console& console, const nlohmann::json& value);
// One value, indented.
void PrintJson(const Console& console, const nlohmann::json& value);

// Rows with their columns aligned, two spaces apart; the first row is the heading.
void PrintTable(const Console& console, const std::vector<std::vector<std::string>>& rows);

std::string Join(const std::vector<std::string>& parts, std::string_view separator);
// "1 authority", "2 authorities"
std::string Count(std::size_t count, std::string_view one, std::string_view many);

}  // namespace lanyard
