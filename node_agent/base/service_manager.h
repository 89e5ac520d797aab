// What the agent and systemd tell each other: readiness, the watchdog, and sockets that systemd listens on for us.
//
// Without systemd (no NOTIFY_SOCKET, no LISTEN_FDS) everything here does nothing and reports nothing. Sockets and
// watchdog are removed from the environment once they are taken, so that no child takes itself for the service;
// NOTIFY_SOCKET stays, since systemd listens to the main process only.
//
// The watchdog is fed by the loop: when the loop hangs for WATCHDOG_USEC, systemd kills and restarts the agent.
//
// Lifetime: borrows the clock. Thread: loop (FromEnvironment: before any other thread is started, since it changes the
// environment).
#pragma once

#include <chrono>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "node_agent/base/clock.h"
#include "node_agent/base/fd.h"
#include "node_agent/base/status.h"

namespace lanyard {

class ServiceManager {
 public:
  // Takes what systemd left in the environment of this process. An error when sockets were passed that are not there or
  // that cannot be told apart: serving without them would leave clients waiting in a queue that nobody reads.
  static Result<std::unique_ptr<ServiceManager>> FromEnvironment();

  ServiceManager(const ServiceManager&) = delete;
  ServiceManager& operator=(const ServiceManager&) = delete;

  // READY=1, with a sentence for `systemctl status`. Also ends a reload.
  void Ready(std::string_view status = {});
  // RELOADING=1; Ready() must follow.
  void Reloading();
  // STOPPING=1.
  void Stopping();
  // The sentence alone.
  void SayStatus(std::string_view status);

  // Feeds the watchdog at half of its time, from now on, if systemd wants it.
  void StartWatchdog(Clock& clock);
  // How long the loop may hang; nothing when systemd does not watch.
  std::optional<std::chrono::microseconds> watchdog() const { return watchdog_; }

  // The listening socket that systemd passed under `name` (FileDescriptorName=), once; nothing if it passed none.
  std::optional<UniqueFd> TakeSocket(std::string_view name);
  // OK when all that were passed and not taken yet have one of these names. Otherwise an error that names the others:
  // nobody would serve their clients.
  Status CheckNames(std::initializer_list<std::string_view> known) const;

 private:
  ServiceManager() = default;
  void FeedWatchdog(Clock& clock);

  std::optional<std::chrono::microseconds> watchdog_;
  std::map<std::string, UniqueFd, std::less<>> sockets_;
  std::unique_ptr<Clock::Alarm> alarm_;
};

}  // namespace lanyard
