// Calls of several accounts that begin in turn (engine.cc).
#include <atomic>
#include <vector>

#include "tests/unit/rpc/echo.pb.h"
#include "tests/unit/rpc/fixture.h"

namespace lanyard {
namespace {

using test::Words;

constexpr char kHold[] = "/lanyard.test.Turns/Hold";
constexpr char kEcho[] = "/lanyard.test.Turns/Echo";
constexpr size_t kAtOnce = 4;

// Answers when the test says so.
class Held : public OneRequestHandler<Words> {
 public:
  Held(Call& incoming, std::vector<Held*>& all) : OneRequestHandler(incoming), all_(all) { all_.push_back(this); }
  ~Held() override { std::erase(all_, this); }
  void Answer() { call().Reply(SerializeShared(Words())); }

 private:
  void OnRequest(Words) override {}
  std::vector<Held*>& all_;
};

class Echo : public OneRequestHandler<Words> {
 public:
  using OneRequestHandler::OneRequestHandler;

 private:
  void OnRequest(Words request) override { call().Reply(SerializeShared(request)); }
};

class TurnsTest : public RpcTest {
 protected:
  TurnsTest() {
    Serve({{kHold, [this](Call& call) { return std::make_unique<Held>(call, held_); }},
           {kEcho, [](Call& call) { return std::make_unique<Echo>(call); }}},
          {.account_of = [this](const PeerProcess&) { return AccountName{.own = account_, .wider = account_}; }});
  }
  ~TurnsTest() override {
    for (auto& context : contexts_) context->TryCancel();
    RunUntil(loop_, [this] { return over_ == flood_.size(); });
    server_.reset();  // its handlers know held_
  }

  // `count` calls on a connection of the account's own, one after the other.
  void Flood(const std::string& account, size_t count) {
    account_ = account;
    channel_ = NewChannel();
    for (size_t i = 0; i < count; ++i) {
      contexts_.push_back(std::make_unique<grpc::ClientContext>());
      flood_.push_back(std::async(std::launch::async, [this, context = contexts_.back().get()] {
        const Words request;
        Words response;
        grpc::internal::RpcMethod method(kHold, grpc::internal::RpcMethod::NORMAL_RPC, channel_);
        grpc::internal::BlockingUnaryCall(channel_.get(), method, context, request, &response);
        ++over_;
      }));
    }
  }

  std::string account_;
  std::vector<Held*> held_;
  std::atomic<size_t> over_ = 0;
  std::shared_ptr<grpc::Channel> channel_;
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts_;
  std::vector<std::future<void>> flood_;
};

TEST_F(TurnsTest, OfOneAccountAFewAreBegunUntilTheyAreAnsweredAndAnotherAccountPasses) {
  Flood("flood", 12);
  ASSERT_TRUE(RunUntil(loop_, [&] { return held_.size() == kAtOnce; }));
  account_ = "other";
  Words request, response;
  request.set_text("hello");
  EXPECT_TRUE(Unary(kEcho, request, response).ok());
  EXPECT_EQ(response.text(), "hello");
  EXPECT_EQ(held_.size(), kAtOnce);
  held_.front()->Answer();
  ASSERT_TRUE(RunUntil(loop_, [&] { return over_ == 1 && held_.size() == kAtOnce; })) << "the next one begins";
}

TEST_F(TurnsTest, ACallThatIsCancelledGivesItsTurnToTheNext) {
  Flood("flood", 12);
  ASSERT_TRUE(RunUntil(loop_, [&] { return held_.size() == kAtOnce; }));
  for (auto& context : contexts_) context->TryCancel();
  ASSERT_TRUE(RunUntil(loop_, [&] { return over_ == 12 && held_.empty(); }));
  Flood("flood", 1);
  ASSERT_TRUE(RunUntil(loop_, [&] { return held_.size() == 1; }));
}

}  // namespace
}  // namespace lanyard
