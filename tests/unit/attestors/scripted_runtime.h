// A container runtime that says over the CRI what a test tells it to say: a real gRPC server on a Unix socket.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "attestors/proto/cri.grpc.pb.h"

namespace lanyard {

class ScriptedRuntime {
 public:
  using ContainerReply = std::function<grpc::Status(const ::runtime::v1::ContainerStatusRequest&,
                                                    ::runtime::v1::ContainerStatusResponse&, grpc::ServerContext&)>;
  using ImageReply = std::function<grpc::Status(const ::runtime::v1::ImageStatusRequest&,
                                                ::runtime::v1::ImageStatusResponse&, grpc::ServerContext&)>;

  ScriptedRuntime(const std::string& socket, ContainerReply on_container, ImageReply on_image = NoImage)
      : containers_(*this, std::move(on_container)), images_(*this, std::move(on_image)) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + socket, grpc::InsecureServerCredentials());
    builder.SetMaxSendMessageSize(-1);
    builder.RegisterService(&containers_);
    builder.RegisterService(&images_);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) std::abort();
  }
  ~ScriptedRuntime() { server_->Shutdown(std::chrono::system_clock::now()); }

  // What was asked so far: "container ID", "container ID verbose", "image REF".
  std::vector<std::string> asked() const {
    std::lock_guard lock(mutex_);
    return asked_;
  }

  static grpc::Status NoImage(const ::runtime::v1::ImageStatusRequest&, ::runtime::v1::ImageStatusResponse&,
                              grpc::ServerContext&) {
    return grpc::Status::OK;
  }

 private:
  class Containers : public ::runtime::v1::RuntimeService::Service {
   public:
    Containers(ScriptedRuntime& runtime, ContainerReply reply) : runtime_(runtime), reply_(std::move(reply)) {}
    grpc::Status ContainerStatus(grpc::ServerContext* context, const ::runtime::v1::ContainerStatusRequest* request,
                                 ::runtime::v1::ContainerStatusResponse* response) override {
      runtime_.Note("container " + request->container_id() + (request->verbose() ? " verbose" : ""));
      return reply_(*request, *response, *context);
    }

   private:
    ScriptedRuntime& runtime_;
    ContainerReply reply_;
  };
  class Images : public ::runtime::v1::ImageService::Service {
   public:
    Images(ScriptedRuntime& runtime, ImageReply reply) : runtime_(runtime), reply_(std::move(reply)) {}
    grpc::Status ImageStatus(grpc::ServerContext* context, const ::runtime::v1::ImageStatusRequest* request,
                             ::runtime::v1::ImageStatusResponse* response) override {
      runtime_.Note("image " + request->image().image());
      return reply_(*request, *response, *context);
    }

   private:
    ScriptedRuntime& runtime_;
    ImageReply reply_;
  };

  void Note(const std::string& what) {
    std::lock_guard lock(mutex_);
    asked_.push_back(what);
  }

  mutable std::mutex mutex_;  // guards asked_
  std::vector<std::string> asked_;
  Containers containers_;
  Images images_;
  std::unique_ptr<grpc::Server> server_;
};

// Waits in a handler until the test lets go or the caller has gone. Goes when all who waited have gone.
class Gate {
 public:
  Gate() = default;
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  ~Gate() {
    Open();
    while (waiting_ > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  void Open() { open_ = true; }
  grpc::Status Wait(const grpc::ServerContext& context) {
    ++waiting_;
    while (!open_ && !context.IsCancelled()) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    --waiting_;
    return grpc::Status::OK;
  }

 private:
  std::atomic<bool> open_{false};
  std::atomic<int> waiting_{0};
};

}  // namespace lanyard
