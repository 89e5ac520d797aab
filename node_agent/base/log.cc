#include "node_agent/base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "node_agent/base/printable.h"

namespace lanyard {
namespace {

// What callers choose (paths, names) may be long, and journald breaks a line at 48 KiB: the rest would look like a line
// of its own. JSON writes a byte in up to six.
constexpr size_t kLongestText = 8000;

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      break;
  }
  return spdlog::level::err;
}

struct Logger {
  std::shared_ptr<spdlog::logger> out =
      std::make_shared<spdlog::logger>("lanyard", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  LogFormat format = LogFormat::kText;

  Logger() { SetPattern(); }
  void SetPattern() {
    // %v is a JSON string literal in the JSON format; LogLine makes it one.
    const char* pattern = format == LogFormat::kJson ? R"({"time":"%Y-%m-%dT%H:%M:%S.%fZ","level":"%l","message":%v})"
                                                     : "%Y-%m-%dT%H:%M:%S.%fZ %l %v";
    out->set_pattern(pattern, spdlog::pattern_time_type::utc);
    out->flush_on(spdlog::level::debug);
  }
};

Logger& TheLogger() {  // set up once before threads start; spdlog's own sink is thread-safe
  static Logger logger;
  return logger;
}

}  // namespace

std::optional<LogLevel> ParseLogLevel(std::string_view name) {
  if (name == "debug") return LogLevel::kDebug;
  if (name == "info") return LogLevel::kInfo;
  if (name == "warn") return LogLevel::kWarn;
  if (name == "error") return LogLevel::kError;
  return std::nullopt;
}

std::string_view LogLevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarn:
      return "warn";
    case LogLevel::kError:
      break;
  }
  return "error";
}

std::optional<LogFormat> ParseLogFormat(std::string_view name) {
  if (name == "text") return LogFormat::kText;
  if (name == "json") return LogFormat::kJson;
  return std::nullopt;
}

void StartLogging(LogLevel level, LogFormat format) {
  TheLogger().format = format;
  TheLogger().SetPattern();
  SetLogLevel(level);
}

void SetLogLevel(LogLevel level) {
  TheLogger().out->set_level(ToSpdlog(level));
}

LogLevel CurrentLogLevel() {
  for (const LogLevel level : {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarn}) {
    if (LogEnabled(level)) return level;
  }
  return LogLevel::kError;
}

bool LogEnabled(LogLevel level) {
  return TheLogger().out->should_log(ToSpdlog(level));
}

void LogLine(LogLevel level, std::string_view text) {
  Logger& logger = TheLogger();
  std::string cut;
  if (text.size() > kLongestText) {
    cut = fmt::format("{} …", Beginning(text, kLongestText));
    text = cut;
  }
  if (logger.format == LogFormat::kJson) {
    logger.out->log(ToSpdlog(level),
                    nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  } else {
    logger.out->log(ToSpdlog(level), Printable(text));
  }
}

}  // namespace lanyard
