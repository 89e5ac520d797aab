// The registry in force, kept up to date with its files.
//
// The store watches the configured paths and reads them again on a pool thread when something may have changed, or when
// Reload() asks for it. A broken file keeps its last good state and is named in problems() until it is repaired.
// Readers hold the snapshot that they took.
//
// Lifetime: destroying the store ends its callbacks; a load in the pool then ends unheard. Thread: loop.
#pragma once

#include <absl/functional/any_invocable.h>

#include <memory>
#include <string>
#include <vector>

#include "node_agent/base/clock.h"
#include "node_agent/base/dir_watcher.h"
#include "node_agent/base/event_loop.h"
#include "node_agent/registry/loader.h"

namespace lanyard {

class RegistryStore {
 public:
  // Loads the registry (blocks: start-up) and watches it. Any error in it is fatal here: one error a line.
  static Result<std::unique_ptr<RegistryStore>> Open(EventLoop& loop, Clock& clock, RegistryOptions options);
  ~RegistryStore();

  // Never null.
  std::shared_ptr<const Registry> registry() const;

  // Called on the loop when entries were added, removed, changed or reordered, after registry() shows them. Not called
  // when a load found the same. One listener; it may not destroy the store.
  void OnChange(absl::AnyInvocable<void()> on_change);

  // Reads the files again (SIGHUP). `done`, if any, is called on the loop with what that load said: OK, or one error a
  // line.
  void Reload(absl::AnyInvocable<void(Status)> done = nullptr);

  // From now on the registry is what lies at `paths`; reads it, and `done` as for Reload(). When other paths cannot be
  // watched nothing changes, and `done` gets the error.
  void SetPaths(std::vector<std::string> paths, absl::AnyInvocable<void(Status)> done = nullptr);

  // What is wrong now, for `lanyard health`: broken files, and a watch that could not be set, on these paths or on
  // those that SetPaths() was given last. Empty: all is well.
  std::vector<std::string> problems() const;
  // Number of loads that found an error since start-up, for a metric.
  uint64_t failed_loads() const;
  // When the files were last read without an error.
  MonoTime loaded_at() const;

 private:
  struct State;
  explicit RegistryStore(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
};

}  // namespace lanyard
