// A container engine whose answers are a test's.
#pragma once

#include <unistd.h>

#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/scripted_server.h"

namespace lanyard {

using Json = nlohmann::json;

inline const std::string kDigest = "sha256:" + std::string(64, 'd');

// Ids of nobody's containers, different in each run.
inline std::string Id(char digit) {
  const std::string pid = fmt::format("{:x}", getpid());
  return std::string(64 - pid.size(), digit) + pid;
}

// What an honest engine says of a container.
inline Json Container(const std::string& id) {
  return {
      {"Id", id},
      {"State", {{"Running", true}}},
      {"Image", kDigest},
      {"Mounts", Json::array()},
      {"Config", {{"Labels", {{"team", "refunds"}}}, {"Env", {"MODE=fast", "TOKEN=hunter2"}}, {"Image", "agent:v1"}}}};
}

class ScriptedEngine {
 public:
  explicit ScriptedEngine(const std::string& path)
      : server_(path, [this](const std::string& request) { return Answer(request); }) {}

  void Say(ScriptedAnswer answer) {
    const std::lock_guard lock(mutex_);
    answers_ = {std::move(answer)};
  }
  void Say(const Json& container) { Say(HttpOk(container.dump())); }
  // One after the other, the last again and again.
  void SayInTurn(std::vector<ScriptedAnswer> answers) {
    const std::lock_guard lock(mutex_);
    answers_ = std::move(answers);
  }
  std::vector<std::string> requests() const { return server_.requests(); }

 private:
  ScriptedAnswer Answer(const std::string& /*request*/) {
    const std::lock_guard lock(mutex_);
    ScriptedAnswer answer = answers_.front();
    if (answers_.size() > 1) answers_.erase(answers_.begin());
    return answer;
  }

  std::mutex mutex_;  // guards answers_
  std::vector<ScriptedAnswer> answers_{{"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"}};
  ScriptedServer server_;
};

inline const ScriptedAnswer kUnknown{
    "HTTP/1.1 404 Not Found\r\nContent-Length: 22\r\n\r\n{\"message\":\"no such\"}\r\n"};
inline const ScriptedAnswer kSilent{"", ScriptedAnswer::Then::kSilence};

}  // namespace lanyard
