#include "node_agent/app/svid_follower.h"

#include <sys/eventfd.h>

#include <utility>

#include "node_agent/app/rpc_client.h"
#include "node_agent/base/thread_name.h"
#include "pki/secret_bytes.h"
#include "workload_api/client/backoff.h"
#include "workload_api/client/workload_channel.h"
#include "workload_api/proto/workloadapi.grpc.pb.h"

namespace lanyard {

Result<std::unique_ptr<SvidFollower>> SvidFollower::Start(std::string path) {
  UniqueFd ready(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!ready) return ErrnoStatus(errno, "make an eventfd");
  return std::unique_ptr<SvidFollower>(new SvidFollower(std::move(path), std::move(ready)));
}

SvidFollower::SvidFollower(std::string path, UniqueFd ready)
    : path_(std::move(path)), ready_(std::move(ready)), thread_([this] {
        NameThisThread("follower");
        Run();
      }) {}

SvidFollower::~SvidFollower() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    if (call_ != nullptr) call_->TryCancel();
  }
  wake_.notify_all();
  thread_.join();
}

std::vector<SvidFollower::Event> SvidFollower::events() {
  eventfd_t ignored = 0;
  IGNORE_ERROR(eventfd_read(ready_.get(), &ignored), "what counts is in events_");
  const std::lock_guard lock(mutex_);
  return std::exchange(events_, {});
}

void SvidFollower::Tell(Event event) {
  const std::lock_guard lock(mutex_);
  if (stop_) return;
  events_.push_back(std::move(event));
  eventfd_write(ready_.get(), 1);
}

bool SvidFollower::stopped() {
  const std::lock_guard lock(mutex_);
  return stop_;
}

void SvidFollower::Run() {
  Backoff backoff;
  while (!stopped()) {
    came_ = false;
    Tell(FollowOnce());
    if (came_) backoff.Reset();
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, backoff.Next(), [this] { return stop_; });
  }
}

grpc::Status SvidFollower::FollowOnce() {
  SpiffeWorkloadAPI::Stub stub(Connect(path_));
  grpc::ClientContext context;
  PrepareCall(context);
  {
    const std::lock_guard lock(mutex_);
    if (stop_) return grpc::Status::CANCELLED;
    call_ = &context;
  }
  const auto reader = stub.FetchX509SVID(&context, X509SVIDRequest());
  X509SVIDResponse response;
  while (reader->Read(&response)) {
    came_ = true;
    Result<FetchedSvids> fetched = CheckSvids(response, std::chrono::system_clock::now());
    for (X509SVID& svid : *response.mutable_svids())
      WipeMemory(svid.mutable_x509_svid_key()->data(), svid.x509_svid_key().size());
    if (fetched.ok()) {
      Tell(*std::move(fetched));
    } else {
      Tell(fetched.status());
    }
  }
  const grpc::Status status = reader->Finish();
  const std::lock_guard lock(mutex_);
  call_ = nullptr;
  return status.ok() ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "the agent ended the stream") : status;
}

}  // namespace lanyard
