#include "node_agent/registry/registry_store.h"

#include <algorithm>

#include "node_agent/base/log.h"

namespace lanyard {
namespace {

bool SameEntries(const Registry& a, const Registry& b) {  // pointers say it: equal content keeps its pointer
  return std::equal(a.items().begin(), a.items().end(), b.items().begin(), b.items().end(),
                    [](const Registry::Item& x, const Registry::Item& y) { return x.entry == y.entry; });
}

}  // namespace

struct RegistryStore::State {
  State(EventLoop& the_loop, Clock& the_clock, RegistryOptions the_options)
      : loop(the_loop), clock(the_clock), options(std::make_shared<const RegistryOptions>(std::move(the_options))) {}

  EventLoop& loop;
  Clock& clock;
  std::shared_ptr<const RegistryOptions> options;  // shared with a load in the pool
  std::shared_ptr<const LoadedRegistry> loaded;
  std::unique_ptr<DirWatcher> watcher;
  Status refused_paths;  // why those that were set last are not in force
  absl::AnyInvocable<void()> on_change;
  uint64_t failed_loads = 0;
  MonoTime loaded_at;
  bool loading = false;
  bool load_again = false;                                // something changed while loading
  std::vector<absl::AnyInvocable<void(Status)>> waiting;  // for a load that has not begun

  static Status Watch(const std::shared_ptr<State>& self, const std::vector<std::string>& paths) {
    ASSIGN_OR_RETURN(self->watcher, WatchPaths(self->loop, self->clock, paths, [weak = std::weak_ptr<State>(self)] {
                       if (const std::shared_ptr<State> state = weak.lock()) StartLoad(state);
                     }));
    return OkStatus();
  }

  static void StartLoad(const std::shared_ptr<State>& self) {
    if (self->loading) {
      self->load_again = true;
      return;
    }
    self->loading = true;
    self->loop.ComputeInPool(
        [options = self->options, previous = self->loaded] { return LoadRegistry(*options, previous.get()); },
        [weak = std::weak_ptr<State>(self), answers = std::exchange(self->waiting, {})](LoadedRegistry result) mutable {
          if (const std::shared_ptr<State> state = weak.lock())
            FinishLoad(state, std::move(result), std::move(answers));
        });
  }

  static void FinishLoad(const std::shared_ptr<State>& self, LoadedRegistry loaded,
                         std::vector<absl::AnyInvocable<void(Status)>> answers) {
    const std::shared_ptr<const LoadedRegistry> before =
        std::exchange(self->loaded, std::make_shared<const LoadedRegistry>(std::move(loaded)));
    const LoadedRegistry& now = *self->loaded;
    if (now.ok()) {
      self->loaded_at = self->clock.MonoNow();
    } else {
      ++self->failed_loads;
    }
    self->LogNews(*before, now);
    self->loading = false;
    if (std::exchange(self->load_again, false)) StartLoad(self);
    if (!SameEntries(*before->registry, *now.registry) && self->on_change) self->on_change();
    const Status status = now.status();
    for (auto& answer : answers) answer(status);
  }

  // Says each thing once, not at every load while it lasts.
  static void LogNews(const LoadedRegistry& before, const LoadedRegistry& now) {
    const auto fresh = [](const std::vector<std::string>& lines, const std::string& line) {
      return std::find(lines.begin(), lines.end(), line) == lines.end();
    };
    for (const std::string& error : now.errors) {
      if (fresh(before.errors, error))
        LANYARD_LOG_ERROR("load registry: {}; what was good before stays in force", error);
    }
    for (const std::string& warning : now.warnings) {
      if (fresh(before.warnings, warning)) LANYARD_LOG_WARN("registry: {}", warning);
    }
    for (const std::string& file : before.broken) {
      if (fresh(now.broken, file)) LANYARD_LOG_INFO("registry: {} is good again", file);
    }
    if (!SameEntries(*before.registry, *now.registry))
      LANYARD_LOG_INFO("registry: {} entries in force", now.registry->size());
  }
};

Result<std::unique_ptr<RegistryStore>> RegistryStore::Open(EventLoop& loop, Clock& clock, RegistryOptions options) {
  auto state = std::make_shared<State>(loop, clock, std::move(options));
  // The watch first: what changes during the load brings another.
  RETURN_IF_ERROR(State::Watch(state, state->options->paths));
  state->loaded = std::make_shared<const LoadedRegistry>(LoadRegistry(*state->options, nullptr));
  RETURN_IF_ERROR(state->loaded->status());
  state->loaded_at = clock.MonoNow();
  for (const std::string& warning : state->loaded->warnings) LANYARD_LOG_WARN("registry: {}", warning);
  return std::unique_ptr<RegistryStore>(new RegistryStore(std::move(state)));
}

RegistryStore::~RegistryStore() = default;

std::shared_ptr<const Registry> RegistryStore::registry() const {
  return state_->loaded->registry;
}

void RegistryStore::OnChange(absl::AnyInvocable<void()> on_change) {
  state_->on_change = std::move(on_change);
}

void RegistryStore::Reload(absl::AnyInvocable<void(Status)> done) {
  if (done) state_->waiting.push_back(std::move(done));
  State::StartLoad(state_);
}

void RegistryStore::SetPaths(std::vector<std::string> paths, absl::AnyInvocable<void(Status)> done) {
  const Status watched = State::Watch(state_, paths);
  // The watch that is there goes on, which is enough for the same paths.
  state_->refused_paths = paths == state_->options->paths ? OkStatus() : watched;
  if (!state_->refused_paths.ok()) {
    if (done) state_->loop.Post([done = std::move(done), watched]() mutable { done(watched); });
    return;
  }
  RegistryOptions options = *state_->options;
  options.paths = std::move(paths);
  state_->options = std::make_shared<const RegistryOptions>(std::move(options));
  Reload(std::move(done));
}

std::vector<std::string> RegistryStore::problems() const {
  std::vector<std::string> problems = state_->loaded->errors;
  if (!state_->refused_paths.ok()) {
    problems.push_back(
        fmt::format("registry: other paths are configured, and not in force: {}", Message(state_->refused_paths)));
  }
  if (const Status watch = state_->watcher->health(); !watch.ok()) {
    problems.push_back(fmt::format("registry: changes may go unnoticed until SIGHUP: {}", Message(watch)));
  }
  return problems;
}

uint64_t RegistryStore::failed_loads() const {
  return state_->failed_loads;
}

MonoTime RegistryStore::loaded_at() const {
  return state_->loaded_at;
}

}  // namespace lanyard
