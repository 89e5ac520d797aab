#include "attestors/cri_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <atomic>
#include <functional>
#include <optional>

#include "tests/support/fake_clock.h"
#include "tests/support/loop_driver.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/attestors/scripted_runtime.h"
#include "tests/unit/attestors/test_process.h"

namespace lanyard {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;

using Answer = Result<cri::ContainerStatusResponse>;

grpc::Status Running(const cri::ContainerStatusRequest& request, cri::ContainerStatusResponse& response,
                     grpc::ServerContext&) {
  response.mutable_status()->set_id(request.container_id());
  response.mutable_status()->set_state(cri::CONTAINER_RUNNING);
  return grpc::Status::OK;
}

// A Unix socket on which no gRPC is spoken.
class RawListener {
 public:
  explicit RawListener(
      const std::string& path, int backlog = 8, const std::function<void()>& before_listening = [] {})
      : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::copy(path.begin(), path.end(), address.sun_path);
    if (bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) std::abort();
    before_listening();
    if (listen(fd_.get(), backlog) != 0) std::abort();
  }
  UniqueFd Accept() const { return UniqueFd(accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC)); }

 private:
  UniqueFd fd_;
};

class CriClientTest : public testing::Test {
 protected:
  std::unique_ptr<CriClient::Ticket> Begin(const std::string& id, std::chrono::nanoseconds within = 20s) {
    cri::ContainerStatusRequest request;
    request.set_container_id(id);
    return client_->ContainerStatus(request, clock_.MonoNow() + within,
                                    [this](Answer answer) { answers_.push_back(std::move(answer)); });
  }
  Answer Ask(const std::string& id, std::chrono::nanoseconds within = 20s) {
    answers_.clear();
    const auto ticket = Begin(id, within);
    EXPECT_TRUE(answers_.empty());
    if (!RunUntil(loop_, [&] { return !answers_.empty(); })) return Error(StatusCode::kInternal, "no answer");
    return std::move(answers_[0]);
  }

  TempDir directory_;
  const std::string socket_ = directory_.Path("cri.sock");
  EventLoop loop_;
  FakeClock clock_;
  std::vector<Answer> answers_;
  std::optional<CriClient> client_{std::in_place, loop_, clock_, socket_};
};

TEST_F(CriClientTest, GivesTheRuntimesAnswer) {
  const ScriptedRuntime runtime(socket_, Running, [](auto&, auto& response, auto&) {
    response.mutable_image()->set_id("sha256:12");
    return grpc::Status::OK;
  });
  const Answer answer = Ask("abc");
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->status().id(), "abc");

  cri::ImageStatusRequest request;
  request.mutable_image()->set_image("busybox");
  std::optional<Result<cri::ImageStatusResponse>> image;
  const auto ticket = client_->ImageStatus(request, clock_.MonoNow() + 20s,
                                           [&](Result<cri::ImageStatusResponse> got) { image = std::move(got); });
  ASSERT_TRUE(RunUntil(loop_, [&] { return image.has_value(); }));
  ASSERT_TRUE(image->ok()) << image->status();
  EXPECT_EQ((*image)->image().id(), "sha256:12");
  EXPECT_EQ(runtime.asked(), (std::vector<std::string>{"container abc", "image busybox"}));
}

TEST_F(CriClientTest, OnlyTheRuntimesOwnWordMakesAContainerNotFound) {
  const Answer absent = Ask("abc");
  EXPECT_EQ(absent.status().code(), StatusCode::kUnavailable);
  EXPECT_THAT(Message(absent.status()), AllOf(HasSubstr("container runtime at " + socket_), HasSubstr("No such file"),
                                              HasSubstr("is the runtime running")));
  const ScriptedRuntime runtime(
      socket_, [](auto&, auto&, auto&) { return grpc::Status(grpc::StatusCode::NOT_FOUND, "no\ncontainer"); });
  const Answer unknown = Ask("abc");
  EXPECT_EQ(unknown.status().code(), StatusCode::kNotFound);
  EXPECT_THAT(Message(unknown.status()), HasSubstr("no\\x0acontainer"));
}

TEST_F(CriClientTest, WorksAgainAfterTheRuntimeWasRestarted) {
  std::optional<ScriptedRuntime> runtime(std::in_place, socket_, Running);
  ASSERT_TRUE(Ask("abc").ok());
  runtime.reset();
  EXPECT_EQ(Ask("abc").status().code(), StatusCode::kUnavailable);
  runtime.emplace(socket_, Running);
  const Answer answer = Ask("abc");
  EXPECT_TRUE(answer.ok()) << answer.status();
}

TEST_F(CriClientTest, ASilentRuntimeMissesTheDeadline) {
  const RawListener silent(socket_);
  const Answer answer = Ask("abc", 200ms);
  EXPECT_EQ(answer.status().code(), StatusCode::kDeadlineExceeded);
  EXPECT_THAT(Message(answer.status()), HasSubstr("no answer in time"));
}

TEST_F(CriClientTest, ASlowRuntimeMissesTheDeadlineAndTheNextAnswerIsItsOwn) {
  Gate gate;
  const ScriptedRuntime runtime(socket_, [&](auto& request, auto& response, auto& context) {
    if (request.container_id() == "slow") gate.Wait(context);
    return Running(request, response, context);
  });
  EXPECT_EQ(Ask("slow", 100ms).status().code(), StatusCode::kDeadlineExceeded);
  const Answer answer = Ask("fast");
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->status().id(), "fast");
}

TEST_F(CriClientTest, RefusesAnAnswerAboveItsLimit) {
  const ScriptedRuntime runtime(socket_, [&](auto& request, auto& response, auto& context) {
    (*response.mutable_info())["info"] = std::string(request.container_id() == "big" ? 50'000'000 : 4'000'000, 'x');
    return Running(request, response, context);
  });
  EXPECT_EQ(Ask("big").status().code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(Ask("fits").ok());
}

TEST_F(CriClientTest, RefusesGarbageAndConnectsAnewAfterIt) {
  {
    const RawListener listener(socket_);
    answers_.clear();
    const auto ticket = Begin("abc");
    loop_.RunOnce(0);
    const UniqueFd connection = listener.Accept();
    const std::string garbage = "HTTP/1.1 200 OK\r\n\r\n" + std::string(1000, 'x');
    ASSERT_GT(send(connection.get(), garbage.data(), garbage.size(), MSG_NOSIGNAL), 0);
    ASSERT_TRUE(RunUntil(loop_, [&] { return !answers_.empty(); }));
    EXPECT_EQ(answers_[0].status().code(), StatusCode::kUnavailable) << answers_[0].status();
  }
  std::filesystem::remove(socket_);
  const ScriptedRuntime runtime(socket_, Running);
  EXPECT_TRUE(Ask("abc").ok());
}

TEST_F(CriClientTest, ARuntimeThatHangsUpIsAnError) {
  const RawListener listener(socket_);
  const auto ticket = Begin("abc");
  loop_.RunOnce(0);
  listener.Accept().reset();
  ASSERT_TRUE(RunUntil(loop_, [&] { return !answers_.empty(); }));
  EXPECT_EQ(answers_[0].status().code(), StatusCode::kUnavailable) << answers_[0].status();
}

TEST_F(CriClientTest, ASocketThatOthersCouldReplaceIsNotConnectedTo) {
  const RawListener listener(socket_, 1);
  ASSERT_EQ(chmod(directory_.path().c_str(), 0777), 0);
  const Status refused = Ask("abc").status();
  EXPECT_EQ(refused.code(), StatusCode::kUnavailable);
  EXPECT_THAT(Message(refused), HasSubstr("can be changed by other users"));
}

TEST_F(CriClientTest, ARuntimeThatTakesNoMoreConnectionsIsAnErrorAtOnce) {
  const RawListener full(socket_, 0);
  std::vector<UniqueFd> others;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::copy(socket_.begin(), socket_.end(), address.sun_path);
  do {
    others.emplace_back(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  } while (connect(others.back().get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  EXPECT_THAT(Message(Ask("abc").status()), HasSubstr("too many connections wait to be accepted"));
}

TEST_F(CriClientTest, SaysWhenTheCriIsNotServedThere) {
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix:" + socket_, grpc::InsecureServerCredentials());
  const auto containers_without_cri = std::make_unique<cri::ImageService::Service>();
  builder.RegisterService(containers_without_cri.get());
  const auto server = builder.BuildAndStart();
  const Answer answer = Ask("abc");
  EXPECT_EQ(answer.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(answer.status()), HasSubstr("cri plugin"));
}

TEST_F(CriClientTest, BelievesNobodyButRootAndItsOwnUser) {
  LANYARD_NEEDS_ROOT();
  const TestProcess impostor([this] {
    new RawListener(socket_, 8, [] { Become(kNobody); });  // listens as long as the process lives
  });
  ASSERT_TRUE(impostor.ready());
  const Answer answer = Ask("abc");
  EXPECT_EQ(answer.status().code(), StatusCode::kUnavailable);
  EXPECT_THAT(Message(answer.status()), HasSubstr("uid 12345 answers there"));
}

TEST_F(CriClientTest, HasFewCallsUnderWayAndTheOthersInLine) {
  Gate gate;
  std::atomic<int> now{0}, most{0};
  const ScriptedRuntime runtime(socket_, [&](auto& request, auto& response, auto& context) {
    most = std::max(most.load(), ++now);
    gate.Wait(context);
    --now;
    return Running(request, response, context);
  });
  std::vector<std::unique_ptr<CriClient::Ticket>> tickets;
  for (int i = 0; i < 50; ++i) tickets.push_back(Begin(fmt::format("c{}", i)));
  ASSERT_TRUE(RunUntil(loop_, [&] { return now == static_cast<int>(CriClient::kMaxCalls); }));
  gate.Open();
  ASSERT_TRUE(RunUntil(loop_, [&] { return answers_.size() == 50; }));
  EXPECT_LE(most, static_cast<int>(CriClient::kMaxCalls));
  for (const Answer& answer : answers_) EXPECT_TRUE(answer.ok()) << answer.status();
}

TEST_F(CriClientTest, WhoWaitsInLineTooLongMissesItsDeadline) {
  Gate gate;
  const ScriptedRuntime runtime(socket_, [&](auto& request, auto& response, auto& context) {
    gate.Wait(context);
    return Running(request, response, context);
  });
  std::vector<std::unique_ptr<CriClient::Ticket>> tickets;
  for (size_t i = 0; i < CriClient::kMaxCalls; ++i) tickets.push_back(Begin("under way"));
  ASSERT_TRUE(RunUntil(loop_, [&] { return runtime.asked().size() == CriClient::kMaxCalls; }));
  tickets.push_back(Begin("in line", 1s));
  clock_.Advance(1s);
  gate.Open();
  ASSERT_TRUE(RunUntil(loop_, [&] { return answers_.size() == CriClient::kMaxCalls + 1; }));
  const auto late = std::count_if(answers_.begin(), answers_.end(), [](const Answer& answer) {
    return answer.status().code() == StatusCode::kDeadlineExceeded;
  });
  EXPECT_EQ(late, 1);
  EXPECT_EQ(runtime.asked().size(), CriClient::kMaxCalls);
}

TEST_F(CriClientTest, WhoLosesInterestMakesRoomAndIsNeverCalled) {
  Gate gate;
  const ScriptedRuntime runtime(socket_, [&](auto& request, auto& response, auto& context) {
    if (request.container_id() == "slow") gate.Wait(context);
    return Running(request, response, context);
  });
  std::vector<std::unique_ptr<CriClient::Ticket>> tickets;
  for (size_t i = 0; i < 2 * CriClient::kMaxCalls; ++i) tickets.push_back(Begin("slow"));
  ASSERT_TRUE(RunUntil(loop_, [&] { return runtime.asked().size() == CriClient::kMaxCalls; }));
  tickets.clear();
  const Answer answer = Ask("fast");
  EXPECT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answers_.size(), 1U);
}

TEST_F(CriClientTest, EndsWithCallsUnderWay) {
  Gate gate;
  const ScriptedRuntime runtime(socket_, [&](auto&, auto&, auto& context) { return gate.Wait(context); });
  const auto under_way = Begin("abc");
  ASSERT_TRUE(RunUntil(loop_, [&] { return !runtime.asked().empty(); }));
  std::vector<std::unique_ptr<CriClient::Ticket>> in_line;
  for (size_t i = 0; i < 2 * CriClient::kMaxCalls; ++i) in_line.push_back(Begin("def"));
  client_.reset();
  RunUntilIdle(loop_);
  EXPECT_TRUE(answers_.empty());
}

}  // namespace
}  // namespace lanyard
