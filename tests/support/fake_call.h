// A Call that a test looks into: what was sent, and how it ended. The peer is this test process itself.
//
// Thread: the test's.
#pragma once

#include <google/protobuf/message_lite.h>
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "node_agent/rpc/call.h"

namespace lanyard {

inline std::string Flatten(const grpc::ByteBuffer& bytes) {
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(bytes.Dump(&slices).ok());
  std::string flat;
  for (const grpc::Slice& slice : slices) flat.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return flat;
}

class FakeCall : public Call {
 public:
  explicit FakeCall(std::string method) : method_(std::move(method)) {
    auto connection = std::make_shared<Connection>();
    connection->peer = PeerProcess{.process = ProcessRef::Open(getpid()).value(), .uid = geteuid(), .gid = getegid()};
    connection_ = std::move(connection);
  }

  const ConnectionPtr& connection() const override { return connection_; }
  std::string_view method() const override { return method_; }
  std::vector<std::string_view> Metadata(std::string_view key) const override {
    std::vector<std::string_view> values;
    const auto [first, last] = metadata.equal_range(std::string(key));
    for (auto value = first; value != last; ++value) values.push_back(value->second);
    return values;
  }

  bool sending() const override { return sending_; }
  void Send(grpc::ByteBuffer message, absl::AnyInvocable<void()> sent) override {
    EXPECT_FALSE(sending_) << "a second message while one is on its way";
    EXPECT_FALSE(status) << "a message after the end";
    messages.push_back(Flatten(message));
    sent_ = std::move(sent);
    sending_ = true;
  }
  void Reply(grpc::ByteBuffer message) override {
    Send(std::move(message), nullptr);
    Finish(OkStatus());
  }
  void Finish(const Status& end) override {
    EXPECT_FALSE(status) << "finished twice";
    status = end;
  }

  // The peer has taken the message.
  void Deliver() {
    ASSERT_TRUE(sending_);
    sending_ = false;
    if (auto sent = std::move(sent_)) sent();
  }

  template <class Response>
  Response Last() const {
    Response response;
    EXPECT_FALSE(messages.empty());
    if (!messages.empty()) {
      EXPECT_TRUE(response.ParseFromString(messages.back()));
    }
    return response;
  }

  std::multimap<std::string, std::string> metadata;
  std::vector<std::string> messages;
  std::optional<Status> status;

 private:
  std::string method_;
  ConnectionPtr connection_;
  bool sending_ = false;
  absl::AnyInvocable<void()> sent_;
};

}  // namespace lanyard
