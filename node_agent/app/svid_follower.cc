#include "node_agent/app/svid_follower.h"

#include <sys/eventfd.h>

#include <chrono>
#include <utility>

#include "workload_api/client/endpoint.h"
#include "workload_api/client/workload_channel.h"

namespace lanyard {

Result<std::unique_ptr<SvidFollower>> SvidFollower::Start(const std::string& path) {
  UniqueFd ready(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!ready) return ErrnoStatus(errno, "make an eventfd");
  return std::unique_ptr<SvidFollower>(new SvidFollower(path, std::move(ready)));
}

SvidFollower::SvidFollower(const std::string& path, UniqueFd ready)
    : ready_(std::move(ready)),
      stub_(SpiffeWorkloadAPI::NewStub(MakeAgentChannel(ChannelTarget(path)))),
      stream_({.open = [this](grpc::ClientContext& call) { return stub_->FetchX509SVID(&call, X509SVIDRequest()); },
               .take = [this](X509SVIDResponse& answer) { return Take(answer); },
               .ended = [this](const Status& why) { Tell(why); }}) {}

std::vector<SvidFollower::Event> SvidFollower::events() {
  eventfd_t ignored = 0;
  IGNORE_ERROR(eventfd_read(ready_.get(), &ignored), "what counts is in events_");
  const std::lock_guard lock(mutex_);
  return std::exchange(events_, {});
}

Status SvidFollower::Take(X509SVIDResponse& answer) {
  Result<FetchedSvids> fetched = CheckSvids(answer, std::chrono::system_clock::now());
  WipeKeys(answer);
  if (!fetched.ok()) return fetched.status();
  Tell(*std::move(fetched));
  return OkStatus();
}

void SvidFollower::Tell(Event event) {
  const std::lock_guard lock(mutex_);
  events_.push_back(std::move(event));
  eventfd_write(ready_.get(), 1);
}

}  // namespace lanyard
