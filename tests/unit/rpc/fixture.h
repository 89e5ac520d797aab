// A server on a real socket in a directory of its own, with a fake clock; the test's thread is the loop.
#pragma once

#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/client_unary_call.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/support/sync_stream.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <future>
#include <string>

#include "node_agent/rpc/grpc_setup.h"
#include "node_agent/rpc/server.h"
#include "tests/support/fake_clock.h"
#include "tests/support/loop_driver.h"

namespace lanyard {

class TempDir {
 public:
  TempDir() {
    char name[] = "/tmp/lanyard-rpc-XXXXXX";
    path_ = mkdtemp(name);
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline UniqueFd ConnectTo(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) fd.reset();
  return fd;
}

// True once the other side has closed or shut down, everything that it sent before being skipped.
inline bool Ended(int fd) {
  char bytes[4096];
  for (;;) {
    const ssize_t got = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (got == 0) return true;
    if (got < 0) return errno != EAGAIN;
  }
}

// Before any gRPC call of this program.
inline const bool kPrepared = (PrepareProcessForGrpc(), true);

class RpcTest : public testing::Test {
 protected:
  RpcTest() : resources_(*PeerResources::Reserve()), engine_(*RpcEngine::Start(loop_, clock_)) {}
  ~RpcTest() override { server_.reset(); }

  std::string path() const { return dir_.path() + "/agent.sock"; }
  std::shared_ptr<grpc::Channel> NewChannel() const {
    grpc::ChannelArguments arguments;
    arguments.SetInt("grpc.use_local_subchannel_pool", 1);  // a connection of its own
    return grpc::CreateCustomChannel("unix:" + path(), grpc::InsecureChannelCredentials(), arguments);
  }

  // The clock stands still, and no rate comes back: without limits unless the test is about them.
  static constexpr CallerLimits kUnlimited{100000, 100000, 100000, 100000, 100000};

  void Serve(Methods methods, ListenerOptions listener = {}, const CallerLimits& limits = kUnlimited) {
    auto server = RpcServer::Start(loop_, clock_, resources_, *engine_,
                                   {.socket = {.path = path()},
                                    .listener = std::move(listener),
                                    .limits = limits,
                                    .on_refused =
                                        [this](const Call& call, const Status& why) {
                                          refused_.push_back(fmt::format("{}: {}", call.method(), Message(why)));
                                        }},
                                   std::move(methods));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  // Runs `client` on a thread of its own while the loop turns.
  template <class Client>
  auto WhileServing(Client client) {
    auto result = std::async(std::launch::async, std::move(client));
    EXPECT_TRUE(RunUntil(
        loop_, [&] { return result.wait_for(std::chrono::seconds(0)) == std::future_status::ready; },
        std::chrono::seconds(60)));
    return result.get();
  }

  template <class Request, class Response>
  grpc::Status Unary(const char* name, const Request& request, Response& response,
                     std::multimap<std::string, std::string> metadata = {}) {
    return WhileServing([&] {
      auto channel = NewChannel();
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(15));
      for (const auto& [key, value] : metadata) context.AddMetadata(key, value);
      grpc::internal::RpcMethod method(name, grpc::internal::RpcMethod::NORMAL_RPC, channel);
      return grpc::internal::BlockingUnaryCall(channel.get(), method, &context, request, &response);
    });
  }

  TempDir dir_;
  EventLoop loop_;
  FakeClock clock_;
  PeerResources resources_;
  std::unique_ptr<RpcEngine> engine_;
  std::unique_ptr<RpcServer> server_;
  std::vector<std::string> refused_;  // calls above the limits
};

}  // namespace lanyard
