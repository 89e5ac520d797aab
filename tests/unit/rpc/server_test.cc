#include "node_agent/rpc/server.h"

#include "tests/unit/rpc/echo.pb.h"
#include "tests/unit/rpc/fixture.h"

namespace lanyard {
namespace {

using std::chrono::seconds;
using test::Words;

constexpr char kOnce[] = "/lanyard.test.Echo/Once";
constexpr char kMany[] = "/lanyard.test.Echo/Many";

class Once : public OneRequestHandler<Words> {
 public:
  using OneRequestHandler::OneRequestHandler;

 private:
  void OnRequest(Words request) override {
    std::string answer = request.text();
    for (std::string_view value : call().Metadata("x-say")) answer += fmt::format("+{}", value);
    request.set_text(answer + fmt::format(" from {}", call().connection()->peer.process->pid()));
    call().Reply(SerializeShared(request));
  }
};

// Streams "0", "1", … up to `last`, each when the one before has left, then stays open.
struct StreamState {
  int alive = 0;
  int sent = 0;
  int last = 2;
  size_t size = 0;
  Call* call = nullptr;
};
class Many : public OneRequestHandler<Words> {
 public:
  Many(Call& call, StreamState& state) : OneRequestHandler(call), state_(state) {
    ++state_.alive;
    state_.call = &call;
  }
  ~Many() override {
    --state_.alive;
    state_.call = nullptr;
  }

 private:
  void OnRequest(Words) override { Next(); }
  void Next() {
    if (state_.sent > state_.last) return;
    Words words;
    words.set_text(std::to_string(state_.sent++) + std::string(state_.size, '.'));
    call().Send(SerializeShared(words), [this] { Next(); });
    EXPECT_TRUE(call().sending());
  }
  StreamState& state_;
};

class ServerTest : public RpcTest {
 protected:
  Methods EchoMethods() {
    return {{kOnce, [](Call& call) { return std::make_unique<Once>(call); }},
            {kMany, [this](Call& call) { return std::make_unique<Many>(call, stream_); }}};
  }
  grpc::Status Say(const std::string& text, std::multimap<std::string, std::string> metadata = {}) {
    Words request;
    request.set_text(text);
    return Unary(kOnce, request, said_, std::move(metadata));
  }
  struct Reader {
    std::shared_ptr<grpc::Channel> channel;
    std::unique_ptr<grpc::ClientContext> context = std::make_unique<grpc::ClientContext>();
    std::unique_ptr<grpc::ClientReader<Words>> stream;
  };
  Reader Open() {
    Reader reader{.channel = NewChannel(), .stream = nullptr};
    reader.context->set_deadline(std::chrono::system_clock::now() + seconds(30));
    grpc::internal::RpcMethod method(kMany, grpc::internal::RpcMethod::SERVER_STREAMING, reader.channel);
    reader.stream.reset(grpc::internal::ClientReaderFactory<Words>::Create(reader.channel.get(), method,
                                                                           reader.context.get(), Words()));
    return reader;
  }

  Words said_;
  StreamState stream_;
};

TEST_F(ServerTest, AnswersAUnaryCall) {
  Serve(EchoMethods());
  const grpc::Status status = Say("hello");
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(said_.text(), fmt::format("hello from {}", getpid()));
  EXPECT_EQ(server_->stats().calls, 1u);
}

TEST_F(ServerTest, ShowsEveryValueOfAMetadataKey) {
  Serve(EchoMethods());
  ASSERT_TRUE(Say("a", {{"x-say", "b"}, {"x-say", "c"}, {"x-other", "d"}}).ok());
  EXPECT_TRUE(said_.text().starts_with("a+b+c from") || said_.text().starts_with("a+c+b from")) << said_.text();
}

TEST_F(ServerTest, StreamsInOrderAndEndsWithTheStatusGiven) {
  Serve(EchoMethods());
  auto [texts, status] = WhileServing([this] {
    Reader reader = Open();
    std::vector<std::string> read;
    Words words;
    while (reader.stream->Read(&words)) {
      read.push_back(words.text());
      if (read.size() == 3) loop_.Post([this] { stream_.call->Finish(Error(StatusCode::kAborted, "enough")); });
    }
    return std::make_pair(read, reader.stream->Finish());
  });
  EXPECT_EQ(texts, (std::vector<std::string>{"0", "1", "2"}));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::ABORTED);
  EXPECT_EQ(status.error_message(), "enough");
  EXPECT_TRUE(RunUntil(loop_, [&] { return server_->stats().live_calls == 0; }));
  EXPECT_EQ(stream_.alive, 0);
}

TEST_F(ServerTest, DestroysTheHandlerWhenTheClientCancels) {
  Serve(EchoMethods());
  Reader reader = WhileServing([this] {
    Reader opened = Open();
    Words words;
    EXPECT_TRUE(opened.stream->Read(&words));
    return opened;
  });
  EXPECT_EQ(stream_.alive, 1);
  reader.context->TryCancel();
  EXPECT_TRUE(RunUntil(loop_, [&] { return stream_.alive == 0 && server_->stats().live_calls == 0; }));
}

TEST_F(ServerTest, QueuesNothingForAClientThatDoesNotRead) {
  stream_.last = 100000;
  stream_.size = 10000;
  Serve(EchoMethods());
  Reader reader = WhileServing([this] { return Open(); });
  // What fits between the two (the client's HTTP/2 window grows to 4 MB, the socket holds some) is sent, and then
  // nothing.
  int before = -1;
  while (before != stream_.sent) {
    before = stream_.sent;
    RunUntil(
        loop_, [] { return false; }, seconds(1));
  }
  EXPECT_LT(stream_.sent, 2000);
  EXPECT_TRUE(stream_.call->sending());
  reader.context->TryCancel();
  EXPECT_TRUE(RunUntil(loop_, [&] { return stream_.alive == 0; }));
}

TEST_F(ServerTest, AnUnknownMethodIsUnimplemented) {
  Serve(EchoMethods());
  Words request, response;
  const grpc::Status status = Unary("/lanyard.test.Echo/Nothing", request, response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(status.error_message(), "unknown method /lanyard.test.Echo/Nothing");
}

TEST_F(ServerTest, ACallAboveALimitIsUnavailableAndReachesNoHandler) {
  Serve(EchoMethods(), {}, {.connections = 100, .connections_per_second = 100, .calls_per_second = 1, .streams = 2});
  EXPECT_TRUE(Say("one").ok());
  EXPECT_TRUE(Say("two").ok());
  said_.Clear();
  const grpc::Status refused = Say("three");
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(refused.error_message(), fmt::format("too many: uid {} has reached its limit of 1 calls a second "
                                                 "(limits.per_caller.calls_per_second)",
                                                 getuid()));
  EXPECT_EQ(said_.text(), "");
  EXPECT_EQ(refused_, (std::vector<std::string>{fmt::format("{}: {}", kOnce, refused.error_message())}));
  clock_.Advance(seconds(1));
  EXPECT_TRUE(Say("four").ok());
}

TEST_F(ServerTest, AStreamThatIsOpenCountsUntilItIsOver) {
  Serve(EchoMethods(), {}, {.calls_per_second = 1000, .streams = 1});
  Reader first = WhileServing([&] {
    Reader reader = Open();
    Words words;
    EXPECT_TRUE(reader.stream->Read(&words));
    return reader;
  });
  EXPECT_EQ(Say("no").error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(server_->stats().refused[static_cast<size_t>(CallerLimit::kStreams)], 1u);
  first.context->TryCancel();
  ASSERT_TRUE(RunUntil(loop_, [&] { return server_->stats().live_calls == 0; }));
  clock_.Advance(seconds(1));
  EXPECT_TRUE(Say("yes").ok());
}

TEST_F(ServerTest, WhoGoesOnCallingAboveItsLimitLosesItsConnection) {
  Serve(EchoMethods(), {}, {.connections = 10, .calls_per_second = 1, .streams = 1});
  const int refused = WhileServing([&] {
    auto channel = NewChannel();
    grpc::internal::RpcMethod method(kOnce, grpc::internal::RpcMethod::NORMAL_RPC, channel);
    int count = 0;
    for (int i = 0; i < 2000; ++i) {
      grpc::ClientContext context;
      Words request, answer;
      const grpc::Status status = grpc::internal::BlockingUnaryCall(channel.get(), method, &context, request, &answer);
      if (status.error_message().find("too many") == std::string::npos && !status.ok()) break;
      ++count;
    }
    return count;
  });
  EXPECT_GE(refused, 500);
  EXPECT_LT(refused, 600);
  EXPECT_EQ(server_->stats().connections.ended_limit, 1u);
}

TEST_F(ServerTest, WhoIsNotAdmittedIsToldSoUntilItLosesItsConnectionForGoingOn) {
  Serve(EchoMethods(),
        {.admit = [](const PeerProcess&) { return Error(StatusCode::kPermissionDenied, "operators only"); }},
        {.connections = 10, .calls_per_second = 1, .streams = 1});
  const int told = WhileServing([&] {
    auto channel = NewChannel();
    grpc::internal::RpcMethod method(kOnce, grpc::internal::RpcMethod::NORMAL_RPC, channel);
    int count = 0;
    for (; count < 2000; ++count) {
      grpc::ClientContext context;
      Words request, answer;
      const grpc::Status status = grpc::internal::BlockingUnaryCall(channel.get(), method, &context, request, &answer);
      if (status.error_code() != grpc::StatusCode::PERMISSION_DENIED || status.error_message() != "operators only")
        break;
    }
    return count;
  });
  EXPECT_GE(told, 500);
  EXPECT_LT(told, 600);
  EXPECT_EQ(server_->stats().connections.ended_limit, 1u);
}

TEST_F(ServerTest, RefusesAMessageAboveTheLimit) {
  Serve(EchoMethods());
  EXPECT_TRUE(Say(std::string(16000, 'x')).ok());
  const grpc::Status status = Say(std::string(40000, 'x'));
  EXPECT_TRUE(status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED ||
              status.error_code() == grpc::StatusCode::INVALID_ARGUMENT)
      << status.error_code() << " " << status.error_message();
  EXPECT_NE(status.error_message().find("16384"), std::string::npos) << status.error_message();
  EXPECT_TRUE(Say("still there").ok());
}

TEST_F(ServerTest, RefusesMetadataAboveTheLimit) {
  Serve(EchoMethods());
  const grpc::Status status = Say("x", {{"x-say", std::string(20000, 'y')}});
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << status.error_message();
  EXPECT_EQ(server_->stats().calls, 0u) << "it never became a call";
  EXPECT_TRUE(Say("still there").ok());
}

TEST_F(ServerTest, BytesThatAreNoMessageAreInvalid) {
  Serve(EchoMethods());
  const grpc::Status status = WhileServing([this] {
    auto channel = NewChannel();
    grpc::ClientContext context;
    grpc::Slice slice(
        std::string("\x0a\x7f"
                    "short"));
    grpc::ByteBuffer request(&slice, 1), response;
    grpc::internal::RpcMethod method(kOnce, grpc::internal::RpcMethod::NORMAL_RPC, channel);
    return grpc::internal::BlockingUnaryCall<grpc::ByteBuffer, grpc::ByteBuffer, grpc::ByteBuffer, grpc::ByteBuffer>(
        channel.get(), method, &context, request, &response);
  });
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "request is not a lanyard.test.Words message");
}

class ClientStreamTest : public ServerTest {
 protected:
  // A unary method called with `count` messages, or none.
  grpc::Status SendMany(int count) {
    return WhileServing([this, count] {
      auto channel = NewChannel();
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + seconds(15));
      grpc::internal::RpcMethod method(kMany, grpc::internal::RpcMethod::BIDI_STREAMING, channel);
      std::unique_ptr<grpc::ClientReaderWriter<Words, Words>> stream(
          grpc::internal::ClientReaderWriterFactory<Words, Words>::Create(channel.get(), method, &context));
      for (int i = 0; i < count; ++i) stream->Write(Words());
      if (count == 0) stream->WritesDone();
      Words words;
      while (stream->Read(&words)) {
      }
      return stream->Finish();
    });
  }
};

TEST_F(ClientStreamTest, ASecondRequestMessageEndsTheCall) {
  Serve(EchoMethods());
  const grpc::Status status = SendMany(2);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_TRUE(status.error_message().starts_with("more than one request message")) << status.error_message();
  EXPECT_TRUE(RunUntil(loop_, [&] { return stream_.alive == 0; }));
}

TEST_F(ClientStreamTest, NoRequestMessageEndsTheCall) {
  Serve(EchoMethods());
  const grpc::Status status = SendMany(0);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_TRUE(status.error_message().starts_with("no request message")) << status.error_message();
}

TEST_F(ServerTest, ClosesAConnectionThatSendsGarbage) {
  Serve(EchoMethods());
  UniqueFd client = ConnectTo(path());
  const std::string garbage(200, 'G');
  ASSERT_EQ(send(client.get(), garbage.data(), garbage.size(), MSG_NOSIGNAL), 200);
  EXPECT_TRUE(RunUntil(loop_, [&] { return Ended(client.get()); }));
  clock_.Advance(seconds(2));
  EXPECT_EQ(server_->stats().connections.open, 0u);
  EXPECT_TRUE(Say("still there").ok());
}

TEST_F(ServerTest, EndsHalfOpenConnectionsAfterAMinute) {
  Serve(EchoMethods());
  UniqueFd nothing = ConnectTo(path());
  UniqueFd half = ConnectTo(path());
  ASSERT_EQ(send(half.get(), "PRI * HT", 8, MSG_NOSIGNAL), 8);
  ASSERT_TRUE(RunUntil(loop_, [&] { return server_->stats().connections.open == 2; }));
  clock_.Advance(seconds(58));
  EXPECT_FALSE(Ended(nothing.get()));
  clock_.Advance(seconds(5));
  EXPECT_TRUE(RunUntil(loop_, [&] { return Ended(nothing.get()) && Ended(half.get()); }));
  // gRPC notices the end and gives the numbers back.
  EXPECT_TRUE(RunUntil(loop_, [&] {
    clock_.Advance(seconds(1));
    return server_->stats().connections.open == 0;
  }));
}

TEST_F(ServerTest, TellsAPeerThatIsNotAdmittedWhyOnEachCall) {
  Serve(EchoMethods(), {.admit = [](const PeerProcess& peer) {
          return Error(StatusCode::kPermissionDenied, "uid {} is no operator", peer.uid);
        }});
  const grpc::Status status = Say("hello");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(status.error_message(), fmt::format("uid {} is no operator", geteuid()));
}

TEST_F(ServerTest, TwoCallsOnOneConnectionSeeTheSameConnection) {
  std::vector<uint64_t> ids;
  Methods methods;
  methods[kOnce] = [&](Call& call) {
    ids.push_back(call.connection()->id);
    return std::make_unique<Once>(call);
  };
  Serve(std::move(methods));
  WhileServing([this] {
    auto channel = NewChannel();
    grpc::internal::RpcMethod method(kOnce, grpc::internal::RpcMethod::NORMAL_RPC, channel);
    Words response;
    for (int i = 0; i < 2; ++i) {
      grpc::ClientContext context;
      EXPECT_TRUE(grpc::internal::BlockingUnaryCall(channel.get(), method, &context, Words(), &response).ok());
    }
    return 0;
  });
  Say("from another connection");
  EXPECT_EQ(ids, (std::vector<uint64_t>{1, 1, 2}));
}

TEST_F(ServerTest, ShutdownEndsStreamsAsUnavailableAndThenReports) {
  Serve(EchoMethods());
  bool done = false;
  const grpc::Status status = WhileServing([&] {
    Reader reader = Open();
    Words words;
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(reader.stream->Read(&words));
    loop_.Post([&] { server_->Shutdown(clock_.MonoNow() + seconds(5), [&done] { done = true; }); });
    EXPECT_FALSE(reader.stream->Read(&words));
    return reader.stream->Finish();
  });
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(status.error_message(), "agent is shutting down");
  EXPECT_TRUE(RunUntil(loop_, [&] {
    clock_.Advance(std::chrono::nanoseconds(1));
    return done;
  }));
  EXPECT_FALSE(ConnectTo(path()));
}

TEST_F(ServerTest, ShutdownDoesNotWaitForeverForAClientThatDoesNotRead) {
  stream_.last = 100000;
  stream_.size = 10000;
  Serve(EchoMethods());
  Reader reader = WhileServing([this] { return Open(); });
  RunUntil(
      loop_, [&] { return false; }, seconds(1));
  bool done = false;
  server_->Shutdown(clock_.MonoNow() + seconds(5), [&] { done = true; });
  clock_.Advance(seconds(4));
  EXPECT_FALSE(done);
  clock_.Advance(seconds(1));
  EXPECT_TRUE(done);
  server_.reset();
  EXPECT_EQ(stream_.alive, 0);
}

TEST_F(ServerTest, MayBeDestroyedInTheMiddleOfItsCalls) {
  stream_.last = 1000000;
  for (int round = 0; round < 5; ++round) {
    Serve(EchoMethods());
    std::vector<Reader> readers = WhileServing([this] {
      std::vector<Reader> opened;
      for (int i = 0; i < 4; ++i) opened.push_back(Open());
      Words words;
      for (Reader& reader : opened) EXPECT_TRUE(reader.stream->Read(&words));
      return opened;
    });
    server_.reset();
    EXPECT_EQ(stream_.alive, 0);
    Words words;
    for (Reader& reader : readers) {
      while (reader.stream->Read(&words)) {
      }
      EXPECT_FALSE(reader.stream->Finish().ok());
    }
  }
}

}  // namespace
}  // namespace lanyard
