// The agent's log: lines on stderr, as text or as JSON.
//
// Only the outermost layer of an operation logs, once. Nothing secret is passed here: no key, no token. Values that
// came from outside (paths, names, IDs) are escaped and a long text is cut, so that a caller cannot forge a line.
//
// Thread: any. StartLogging is called once at start-up; until then lines go to stderr as text at level info.
#pragma once

#include <fmt/format.h>

#include <optional>
#include <string>
#include <string_view>

namespace lanyard {

enum class LogLevel { kDebug, kInfo, kWarn, kError };
enum class LogFormat { kText, kJson };

std::optional<LogLevel> ParseLogLevel(std::string_view name);  // "debug", "info", "warn", "error"
std::string_view LogLevelName(LogLevel level);
std::optional<LogFormat> ParseLogFormat(std::string_view name);  // "text", "json"

void StartLogging(LogLevel level, LogFormat format);
void SetLogLevel(LogLevel level);
LogLevel CurrentLogLevel();
bool LogEnabled(LogLevel level);
void LogLine(LogLevel level, std::string_view text);

}  // namespace lanyard

// The arguments are only formatted when the level is on.
#define LANYARD_LOG_AT(level, ...)                                                           \
  do {                                                                                       \
    if (::lanyard::LogEnabled(level)) ::lanyard::LogLine(level, ::fmt::format(__VA_ARGS__)); \
  } while (false)
#define LANYARD_LOG_DEBUG(...) LANYARD_LOG_AT(::lanyard::LogLevel::kDebug, __VA_ARGS__)
#define LANYARD_LOG_INFO(...) LANYARD_LOG_AT(::lanyard::LogLevel::kInfo, __VA_ARGS__)
#define LANYARD_LOG_WARN(...) LANYARD_LOG_AT(::lanyard::LogLevel::kWarn, __VA_ARGS__)
#define LANYARD_LOG_ERROR(...) LANYARD_LOG_AT(::lanyard::LogLevel::kError, __VA_ARGS__)
