// What a client of the Unix sockets sends as a message, before anybody knows who it is: every request of every service
// is parsed as protobuf alone would parse it, however it is cut into slices; health and reflection answer each message
// with something that fits it or end the call with a reason, and reflection describes nothing but what is served. Who
// asks for an identity by its SPIFFE ID asks for one, or for all.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/message.h>

#include <optional>
#include <set>
#include <vector>

#include "node_agent/admin/proto/admin.pb.h"
#include "node_agent/rpc/health.h"
#include "node_agent/rpc/proto/health_v1.pb.h"
#include "node_agent/rpc/proto/reflection_v1.pb.h"
#include "node_agent/rpc/proto/reflection_v1alpha.pb.h"
#include "node_agent/rpc/reflection.h"
#include "tests/fuzz/fuzzing.h"
#include "workload_api/asked_identity.h"
#include "workload_api/proto/workloadapi.pb.h"

namespace lanyard {
namespace {

using google::protobuf::Message;

std::string Flatten(const grpc::ByteBuffer& bytes) {
  std::vector<grpc::Slice> slices;
  Require(bytes.Dump(&slices).ok());
  std::string flat;
  for (const grpc::Slice& slice : slices) flat.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return flat;
}

// In three pieces, as a message comes that is larger than a frame.
grpc::ByteBuffer Cut(std::string_view bytes) {
  const size_t a = bytes.size() / 3, b = bytes.size() / 2;
  const auto piece = [&](size_t begin, size_t end) { return grpc::Slice(bytes.data() + begin, end - begin); };
  const grpc::Slice slices[] = {piece(0, a), piece(a, b), piece(b, bytes.size())};
  return {slices, 3};
}

// A call whose client takes every message as soon as it may.
class OneCall : public Call {
 public:
  const ConnectionPtr& connection() const override { return connection_; }
  std::string_view method() const override { return "/a/b"; }
  std::vector<std::string_view> Metadata(std::string_view) const override { return {}; }
  bool sending() const override { return sending_; }
  void Send(grpc::ByteBuffer message, absl::AnyInvocable<void()> sent) override {
    Require(!sending_ && !status);
    messages.push_back(Flatten(message));
    sending_ = true;
    sent_ = std::move(sent);
  }
  void Reply(grpc::ByteBuffer message) override {
    Send(message, nullptr);
    Finish(OkStatus());
  }
  void Finish(const Status& end) override {
    Require(!status);
    status = end;
  }
  void Deliver() {
    if (!sending_) return;
    sending_ = false;
    if (auto sent = std::move(sent_)) sent();
  }

  std::vector<std::string> messages;
  std::optional<Status> status;

 private:
  ConnectionPtr connection_ = std::make_shared<Connection>();
  bool sending_ = false;
  absl::AnyInvocable<void()> sent_;
};

// The requests of all services, by way of their descriptors.
std::vector<const Message*> AllRequests() {
  std::vector<const Message*> requests;
  for (const auto* file : {X509SVIDRequest::descriptor()->file(), admin::v1::GetHealthRequest::descriptor()->file(),
                           grpc::health::v1::HealthCheckRequest::descriptor()->file(),
                           grpc::reflection::v1::ServerReflectionRequest::descriptor()->file(),
                           grpc::reflection::v1alpha::ServerReflectionRequest::descriptor()->file()}) {
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m)
        requests.push_back(google::protobuf::MessageFactory::generated_factory()->GetPrototype(
            file->service(s)->method(m)->input_type()));
    }
  }
  Require(requests.size() >= 18);
  return requests;
}

void CheckParsing(std::string_view bytes) {
  static const std::vector<const Message*> requests = AllRequests();
  for (const Message* prototype : requests) {
    const std::unique_ptr<Message> ours(prototype->New()), theirs(prototype->New()), again(prototype->New());
    grpc::ByteBuffer cut = Cut(bytes);
    const Status parsed = ParseMessage(cut, *ours);
    Require(parsed.ok() == theirs->ParseFromString(std::string(bytes)));
    if (!parsed.ok()) {
      RequireTold(parsed, StatusCode::kInvalidArgument);
      continue;
    }
    Require(ours->SerializeAsString() == theirs->SerializeAsString());
    grpc::ByteBuffer written = SerializeShared(*ours);
    Require(Flatten(written) == ours->SerializeAsString());
    Require(ParseMessage(written, *again).ok() && again->SerializeAsString() == ours->SerializeAsString());
  }
}

void CheckHealth(const Methods& methods, std::string_view bytes) {
  grpc::health::v1::HealthCheckRequest request;
  const bool good = request.ParseFromString(std::string(bytes));
  for (const char* name : {"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"}) {
    OneCall call;
    const auto handler = methods.at(name)(call);
    handler->OnMessage(Cut(bytes));
    call.Deliver();
    if (!good) {
      Require(call.messages.empty());
      RequireTold(Present(call.status), StatusCode::kInvalidArgument);
      continue;
    }
    const bool known = request.service().empty() || request.service() == "SpiffeWorkloadAPI";
    const bool watch = std::string_view(name).ends_with("Watch");
    Require(call.messages.size() == (known || watch ? 1u : 0u));
    if (call.messages.empty()) {
      RequireTold(Present(call.status), StatusCode::kNotFound);
      continue;
    }
    grpc::health::v1::HealthCheckResponse response;
    Require(response.ParseFromString(call.messages[0]));
    Require(response.status() == (known ? grpc::health::v1::HealthCheckResponse::SERVING
                                        : grpc::health::v1::HealthCheckResponse::SERVICE_UNKNOWN));
    if (call.status) continue;
    handler->OnMessage(Cut(bytes));  // a second request
    RequireTold(Present(call.status), StatusCode::kInvalidArgument);
  }
}

template <class Request, class Response>
void CheckReflection(const Methods& methods, const std::string& version, std::string_view bytes) {
  static const std::set<std::string> described = {
      "workload_api/proto/workloadapi.proto", "google/protobuf/struct.proto",
      "node_agent/rpc/proto/reflection_v1.proto", "node_agent/rpc/proto/reflection_v1alpha.proto"};
  OneCall call;
  const auto handler = methods.at("/grpc.reflection." + version + ".ServerReflection/ServerReflectionInfo")(call);
  handler->OnMessage(Cut(bytes));
  call.Deliver();
  Request request;
  if (!request.ParseFromString(std::string(bytes))) {
    Require(call.messages.empty());
    return RequireTold(Present(call.status), StatusCode::kInvalidArgument);
  }
  Response response;
  Require(!call.status && call.messages.size() == 1 && response.ParseFromString(call.messages[0]));
  Require(response.original_request().SerializeAsString() == request.SerializeAsString());
  Require(response.valid_host() == request.host());
  Require(response.message_response_case() != Response::MESSAGE_RESPONSE_NOT_SET);
  for (const std::string& file : response.file_descriptor_response().file_descriptor_proto()) {
    google::protobuf::FileDescriptorProto proto;
    Require(proto.ParseFromString(file) && described.contains(proto.name()));
  }
  handler->OnHalfClose();
  Require(Present(call.status).ok());
}

void CheckAskedIdentity(std::string_view bytes) {
  const auto asked = AskedIdentity::Parse(bytes);
  if (!asked.ok()) return RequireTold(asked.status(), StatusCode::kInvalidArgument);
  Require(bytes.empty() || SpiffeId::Parse(bytes).ok());
  const auto among_none = asked->Among({});
  Require(among_none.ok() == bytes.empty());
}

}  // namespace
}  // namespace lanyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lanyard;
  static HealthService health({"SpiffeWorkloadAPI"}, [](std::string_view) { return ServingStatus::kServing; });
  static const Methods methods = [] {
    Methods made;
    health.AddTo(made);
    Require(AddReflection(made, {"SpiffeWorkloadAPI"}).ok());
    return made;
  }();
  const std::string_view bytes = AsText(data, size);
  CheckParsing(bytes);
  CheckAskedIdentity(bytes);
  CheckHealth(methods, bytes);
  CheckReflection<grpc::reflection::v1::ServerReflectionRequest, grpc::reflection::v1::ServerReflectionResponse>(
      methods, "v1", bytes);
  CheckReflection<grpc::reflection::v1alpha::ServerReflectionRequest,
                  grpc::reflection::v1alpha::ServerReflectionResponse>(methods, "v1alpha", bytes);
  return 0;
}
