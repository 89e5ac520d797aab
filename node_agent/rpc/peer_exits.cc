#include "node_agent/rpc/peer_exits.h"

#include <algorithm>

namespace lanyard {

Status PeerExits::Add(const std::shared_ptr<const ProcessRef>& process, int fd) {
  const ProcessRef* key = process.get();
  auto [entry, fresh] = processes_.try_emplace(key);
  if (fresh) {
    auto watch = WatchProcessExit(loop_, process, [this, key] {
      const auto found = processes_.find(key);
      if (found != processes_.end()) on_exit_(*key, found->second.fds);
    });
    if (!watch.ok()) {
      processes_.erase(entry);
      return watch.status();
    }
    entry->second.watch = *std::move(watch);
  }
  entry->second.fds.push_back(fd);
  return OkStatus();
}

void PeerExits::Remove(const ProcessRef& process, int fd) {
  const auto found = processes_.find(&process);
  if (found == processes_.end()) return;
  std::vector<int>& fds = found->second.fds;
  if (const auto known = std::find(fds.begin(), fds.end(), fd); known != fds.end()) fds.erase(known);
  if (fds.empty()) processes_.erase(found);
}

}  // namespace lanyard
