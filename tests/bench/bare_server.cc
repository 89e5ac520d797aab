// The floor under a Workload API over gRPC: answers FetchX509SVID, FetchJWTSVID and ValidateJWTSVID with bytes made
// beforehand, to whoever asks.
//
//   bare_server SOCKET IDENTITIES    a line on standard input: one SVID more, pushed to every stream; its end ends the
//   server
//
// The same library, asynchronous API and channel arguments as the agent, and nothing else: no attestation, no registry,
// no record, one thread. What it costs is what no agent on this library can go below; what an agent costs above it is
// its own.
#include <grpcpp/alarm.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include <absl/synchronization/mutex.h>
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "pki/issuer.h"
#include "pki/jwt_svid.h"
#include "pki/root.h"
#include "pki/token_signer.h"
#include "workload_api/proto/workloadapi.pb.h"

namespace lanyard::bench {
namespace {

constexpr int kRequested = 64;  // calls asked for beforehand

grpc::ByteBuffer Serialized(const google::protobuf::Message& message) {
  const grpc::Slice slice(message.SerializeAsString());
  return {&slice, 1};
}

class Messages {
 public:
  grpc::ByteBuffer X509Svids(int identities) {
    const auto now = std::chrono::system_clock::now();
    ::X509SVIDResponse response;
    for (int i = 0; i < identities; ++i) {
      const SpiffeId id = SpiffeId::Parse(fmt::format("spiffe://example.org/agent-{}", i)).value();
      const X509Svid svid = issuer_.IssueLeaf({id, KeyType::kEcP256, {}, now, now + kTtl}).value();
      auto& one = *response.add_svids();
      one.set_spiffe_id(id.str());
      one.set_x509_svid(svid.ChainDer());
      const SecretBytes key = svid.key().ToPkcs8Der().value();
      one.set_x509_svid_key(std::string(key.expose()));
      one.set_bundle(root_.certificate.der());
    }
    return Serialized(response);
  }

  grpc::ByteBuffer FetchedJwt() {
    ::JWTSVIDResponse response;
    auto& one = *response.add_svids();
    one.set_spiffe_id(jwt_.id().str());
    one.set_svid(jwt_.token());
    return Serialized(response);
  }

  grpc::ByteBuffer Validation() {
    ::ValidateJWTSVIDResponse response;
    response.set_spiffe_id(jwt_.id().str());
    auto& claims = *response.mutable_claims()->mutable_fields();
    claims["sub"].set_string_value(jwt_.id().str());
    claims["aud"].mutable_list_value()->add_values()->set_string_value(jwt_.audiences().front());
    claims["exp"].set_number_value(static_cast<double>(std::chrono::system_clock::to_time_t(jwt_.expires())));
    claims["jti"].set_string_value(jwt_.token_id());
    return Serialized(response);
  }

 private:
  static constexpr std::chrono::hours kTtl{1};

  static SelfSignedCa MakeRoot() {
    const auto now = std::chrono::system_clock::now();
    return MakeRootCa(TrustDomain::Parse("example.org").value(), KeyType::kEcP256, now, now + 24 * kTtl).value();
  }

  const SelfSignedCa root_ = MakeRoot();
  const Issuer issuer_ = Issuer::Create({root_.certificate}, root_.key).value();

  static JwtSvid MakeJwt(const PrivateKey& key) {
    const auto now = std::chrono::system_clock::now();
    return JwtSvid::Issue(TokenSigner::Create(key).value(), {SpiffeId::Parse("spiffe://example.org/agent-0").value(),
                                                             {"https://ledger.example.org/0000000000.000000000"},
                                                             now,
                                                             now + kTtl,
                                                             ""})
        .value();
  }

  const JwtSvid jwt_ = MakeJwt(root_.key);
};

class Server;

struct Call {
  explicit Call(Server& owner) : server(owner), stream(&context) {}

  struct Tag {
    Call* call;
    enum { kMatched, kDone, kWritten } event;
  };

  Server& server;
  grpc::GenericServerContext context;
  grpc::GenericServerAsyncReaderWriter stream;
  bool writing = false, done = false;
  Tag matched{this, Tag::kMatched}, over{this, Tag::kDone}, written{this, Tag::kWritten};
};

class Server {
 public:
  Server(const std::string& path, int identities, std::string_view without)
      : identities_(identities), message_(messages_.X509Svids(identities)) {
    grpc::ServerBuilder builder;
    builder.RegisterAsyncGenericService(&service_);
    queue_ = builder.AddCompletionQueue();
    builder.AddListeningPort("unix:" + path, grpc::InsecureServerCredentials());
    using Arguments = std::initializer_list<std::pair<const char*, int>>;
    const auto set = [&](const Arguments& arguments) {
      for (const auto& [name, value] : arguments) builder.AddChannelArgument(name, value);
    };
    set({{"grpc.max_receive_message_length", 16384}, {"grpc.max_metadata_size", 8192}});
    set({{"grpc.per_message_compression", 0}, {"grpc.http2.bdp_probe", 0}});
    if (without != "tables") {
      set({{"grpc.http2.hpack_table_size.decoder", 0}, {"grpc.http2.hpack_table_size.encoder", 0}});
      set({{"grpc.enable_channelz", 0}});
    }
    if (without != "chunks") {
      set({{"grpc.experimental.tcp_read_chunk_size", 256}});
      set({{"grpc.experimental.tcp_min_read_chunk_size", 256}, {"grpc.experimental.tcp_max_read_chunk_size", 1024}});
    }
    server_ = builder.BuildAndStart();
    for (int i = 0; i < kRequested; ++i) Request();
  }

  [[noreturn]] void Run() {
    std::thread([this] {
      std::string line;
      while (std::getline(std::cin, line)) push_.Set(queue_.get(), gpr_now(GPR_CLOCK_MONOTONIC), nullptr);
      std::_Exit(0);
    }).detach();
    void* raw = nullptr;
    for (bool ok = false; queue_->Next(&raw, &ok);) {
      raw == nullptr ? Push() : OnEvent(*static_cast<Call::Tag*>(raw), ok);
    }
    std::_Exit(1);
  }

 private:
  void Request() {
    auto* call = new Call(*this);
    call->context.AsyncNotifyWhenDone(&call->over);
    service_.RequestCall(&call->context, &call->stream, queue_.get(), queue_.get(), &call->matched);
  }

  void OnEvent(const Call::Tag& tag, bool ok) {
    Call* call = tag.call;
    if (tag.event == Call::Tag::kMatched) {
      if (!ok) return;
      calls_.insert(call);
      Answer(*call);
      Request();
      return;
    }
    if (tag.event == Call::Tag::kWritten) call->writing = false;
    if (tag.event == Call::Tag::kDone) call->done = true;
    if (!call->done || call->writing) return;
    calls_.erase(call);
    delete call;
  }

  void Answer(Call& call) {
    const auto unary = unary_.find(call.context.method());
    if (unary == unary_.end()) return Write(call);
    call.writing = true;
    call.stream.WriteAndFinish(unary->second, {}, grpc::Status::OK, &call.written);
  }

  void Write(Call& call) {
    if (call.writing || call.done) return;
    call.writing = true;
    call.stream.Write(message_, &call.written);
  }

  void Push() {
    message_ = messages_.X509Svids(++identities_);
    for (Call* call : calls_) Write(*call);
  }

  Messages messages_;
  int identities_;
  grpc::ByteBuffer message_;
  const std::unordered_map<std::string, grpc::ByteBuffer> unary_{
      {"/SpiffeWorkloadAPI/FetchJWTSVID", messages_.FetchedJwt()},
      {"/SpiffeWorkloadAPI/ValidateJWTSVID", messages_.Validation()}};
  grpc::AsyncGenericService service_;
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::unique_ptr<grpc::Server> server_;
  grpc::Alarm push_;
  std::unordered_set<Call*> calls_;
};

}  // namespace
}  // namespace lanyard::bench

int main(int argc, char** argv) {
  const std::string_view without = argc > 3 ? argv[3] : "";
  // As the agent does: before any call of gRPC, and so before there is another thread.
  if (without != "experiment") setenv("GRPC_EXPERIMENTS", "-tcp_read_chunks", 1);  // NOLINT(concurrency-mt-unsafe)
  if (without != "graph") absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  if (argc < 3) {
    fmt::print(stderr, "usage: bare_server SOCKET IDENTITIES [RECIPE]\n");
    return 2;
  }
  lanyard::bench::Server(argv[1], std::atoi(argv[2]), without).Run();
}
