// What the sources of one client share. Private to this library.
//
// Thread: any.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "workload_api/client/jwt_feed.h"
#include "workload_api/client/workload_client.h"
#include "workload_api/client/x509_feed.h"

namespace lanyard {

struct WorkloadClient::State {
  std::string endpoint;  // as it was written
  std::shared_ptr<grpc::Channel> channel;

  // A feed runs from the first source that wants it to the last; `mutex` guards which one that is.
  std::mutex mutex;
  std::weak_ptr<const X509Feed> x509;
  std::weak_ptr<const JwtFeed> jwt;

  // Outlives the feeds: what one has seen, the next one goes by.
  const std::shared_ptr<SeenRevocation> revocation = std::make_shared<SeenRevocation>();

  // The running feed, or a new one, made of the channel and `more`. ResourceExhausted when there is no thread for it.
  template <class Feed, class... More>
  Result<std::shared_ptr<const Feed>> Join(std::weak_ptr<const Feed>& running, const More&... more) {
    const std::lock_guard lock(mutex);
    std::shared_ptr<const Feed> feed = running.lock();
    if (feed == nullptr) {
      try {
        feed = std::make_shared<const Feed>(channel, more...);
      } catch (const std::exception& error) {
        return Error(StatusCode::kResourceExhausted, "follow the Workload API at {}: {}", endpoint, error.what());
      }
      running = feed;
    }
    return feed;
  }
};

}  // namespace lanyard
