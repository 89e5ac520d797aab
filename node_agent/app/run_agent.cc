#include "node_agent/app/run_agent.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "node_agent/app/agent.h"
#include "node_agent/app/config_file.h"
#include "node_agent/base/log.h"
#include "node_agent/base/service_manager.h"
#include "node_agent/base/signals.h"

namespace lanyard {
namespace {

// No core dump and no debugger of the same uid sees the keys in our memory.
void ProtectProcess() {
  prctl(PR_SET_DUMPABLE, 0);
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGHUP, SIG_IGN);  // until it is watched
}

// Hashing and name lookups may hang in their threads; signing shares the pool and must find one free. Before the pool's
// first use.
void SizeThreadPool() {
  setenv("UV_THREADPOOL_SIZE", "8", /*overwrite=*/0);  // NOLINT(concurrency-mt-unsafe): the only thread
}

}  // namespace

int RunAgent(const std::string& config_path) {
  ProtectProcess();
  SizeThreadPool();
  EventLoop loop;
  std::unique_ptr<Clock> clock = MakeSystemClock(loop);  // outlives the manager, whose watchdog has an alarm on it
  auto manager = ServiceManager::FromEnvironment();
  if (!manager.ok()) {
    LANYARD_LOG_ERROR("cannot start: {}", Message(manager.status()));
    return 1;
  }
  Result<Config> config = LoadConfigFile(config_path);
  for (const std::string& line : ErrorLines(config.status())) LANYARD_LOG_ERROR("configuration: {}", line);
  if (!config.ok()) return 1;
  StartLogging(config->log.level, config->log.format);

  auto agent = Agent::Start(config_path, *std::move(config), **manager, loop, *clock);
  if (!agent.ok()) {
    LANYARD_LOG_ERROR("cannot start: {}", Message(agent.status()));
    return 1;
  }
  auto signals = WatchSignals(loop, {SIGTERM, SIGINT, SIGHUP}, [&](int signal) {
    if (signal == SIGHUP) return (*agent)->Reload();
    (*agent)->Drain();
  });
  if (!signals.ok()) {
    LANYARD_LOG_ERROR("cannot start: {}", Message(signals.status()));
    return 1;
  }
  (*manager)->StartWatchdog(*clock);
  (*manager)->Ready("ready");
  loop.Run();
  signals->reset();
  signal(SIGHUP, SIG_IGN);
  if (!(*agent)->all_written()) _exit(1);  // whoever writes may be stuck in the kernel; do not wait for it
  agent->reset();
  LANYARD_LOG_INFO("stopped");
  // A pool thread may hang on a file system that a caller controls; the loop's destructor would wait for it.
  if (loop.HasPendingWork()) _exit(0);
  return 0;
}

}  // namespace lanyard
