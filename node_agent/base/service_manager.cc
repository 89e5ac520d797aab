#include "node_agent/base/service_manager.h"

#include <systemd/sd-daemon.h>
#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "node_agent/base/log.h"

namespace lanyard {
namespace {

using std::chrono::microseconds;

void Notify(const std::string& lines) {
  const char* address = getenv("NOTIFY_SOCKET");       // NOLINT(concurrency-mt-unsafe): at the start, one thread
  if (address == nullptr || *address == '\0') return;  // empty: turned off by whoever started us
  if (const int sent = sd_notify(/*unset_environment=*/0, lines.c_str()); sent < 0)
    LANYARD_LOG_WARN("tell the service manager {}: {}", lines.substr(0, lines.find('\n')),
                     std::generic_category().message(-sent));
}

// A line break would begin another assignment.
std::string StatusLine(std::string_view text) {
  std::string line = fmt::format("STATUS={}", text);
  std::replace_if(
      line.begin(), line.end(), [](char c) { return c == '\n' || c == '\r' || c == '\0'; }, ' ');
  return line;
}

std::vector<std::string> TakeNames(char** names, int count) {
  std::vector<std::string> taken;
  for (int i = 0; i < count; ++i) {
    taken.emplace_back(names[i]);
    free(names[i]);
  }
  free(names);
  return taken;
}

}  // namespace

Result<std::unique_ptr<ServiceManager>> ServiceManager::FromEnvironment() {
  std::unique_ptr<ServiceManager> manager(new ServiceManager);
  uint64_t watchdog = 0;
  if (sd_watchdog_enabled(/*unset_environment=*/1, &watchdog) > 0) manager->watchdog_ = microseconds(watchdog);

  char** names = nullptr;
  const int count = sd_listen_fds_with_names(/*unset_environment=*/1, &names);  // makes them close on exec
  if (count < 0) {
    return ErrnoStatus(-count, "take the sockets that the service manager passed (LISTEN_FDS)");
  }
  const std::vector<std::string> taken = TakeNames(names, count);
  Status twice;
  for (int i = 0; i < count; ++i) {
    UniqueFd fd(SD_LISTEN_FDS_START + i);
    if (!manager->sockets_.try_emplace(taken[i], std::move(fd)).second) {
      twice = Error(StatusCode::kInvalidArgument,
                    "the service manager passed two sockets named \"{}\"; give each socket unit one ListenStream= and "
                    "a FileDescriptorName= of its own",
                    taken[i]);
    }
  }
  if (!twice.ok()) return twice;
  return manager;
}

void ServiceManager::Ready(std::string_view status) {
  Notify(status.empty() ? "READY=1" : "READY=1\n" + StatusLine(status));
}

void ServiceManager::Reloading() {
  // sd_notify(3): RELOADING=1 goes with the moment, in microseconds of CLOCK_MONOTONIC
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  Notify(fmt::format("RELOADING=1\nMONOTONIC_USEC={}", now.tv_sec * 1000000 + now.tv_nsec / 1000));
}

void ServiceManager::Stopping() {
  Notify("STOPPING=1");
}

void ServiceManager::SayStatus(std::string_view status) {
  Notify(StatusLine(status));
}

void ServiceManager::StartWatchdog(Clock& clock) {
  if (watchdog_) FeedWatchdog(clock);
}

void ServiceManager::FeedWatchdog(Clock& clock) {
  Notify("WATCHDOG=1");
  alarm_ = clock.CallAfter(*watchdog_ / 2, [this, &clock] { FeedWatchdog(clock); });
}

std::optional<UniqueFd> ServiceManager::TakeSocket(std::string_view name) {
  const auto found = sockets_.find(name);
  if (found == sockets_.end()) return std::nullopt;
  UniqueFd fd = std::move(found->second);
  sockets_.erase(found);
  return fd;
}

Status ServiceManager::CheckNames(std::initializer_list<std::string_view> known) const {
  std::string names;
  for (const auto& [name, fd] : sockets_) {
    if (std::find(known.begin(), known.end(), name) == known.end())
      names += fmt::format("{}\"{}\"", names.empty() ? "" : ", ", name);
  }
  if (names.empty()) return OkStatus();
  return Error(StatusCode::kInvalidArgument,
               "the service manager passed sockets that the agent does not know: {}; set FileDescriptorName=workload "
               "or FileDescriptorName=admin in the socket unit",
               names);
}

}  // namespace lanyard
