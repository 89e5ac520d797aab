#include "node_agent/rpc/reflection.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <map>
#include <memory>
#include <set>
#include <string_view>

#include "node_agent/rpc/proto/reflection_v1.pb.h"
#include "node_agent/rpc/proto/reflection_v1alpha.pb.h"

namespace lanyard {
namespace {

using google::protobuf::DescriptorPool;
using google::protobuf::FileDescriptor;

constexpr int kMostRequests = 64;  // of one call; a tool that shows every service asks a few for each

// What may be described: the services' files and all that they import, each as a serialized FileDescriptorProto.
struct Described {
  std::vector<std::string> services;
  std::map<const FileDescriptor*, std::string> files;

  void AddFile(const FileDescriptor* file) {
    if (files.contains(file)) return;
    google::protobuf::FileDescriptorProto proto;
    file->CopyTo(&proto);
    file->CopyJsonNameTo(&proto);  // by which tools print messages; CopyTo leaves them out
    files.emplace(file, proto.SerializeAsString());
    for (int i = 0; i < file->dependency_count(); ++i) AddFile(file->dependency(i));
  }

  const FileDescriptor* Allowed(const FileDescriptor* file) const { return files.contains(file) ? file : nullptr; }

  const FileDescriptor* FileByName(const std::string& name) const {
    return Allowed(DescriptorPool::generated_pool()->FindFileByName(name));
  }

  const FileDescriptor* FileOfSymbol(std::string_view symbol) const {
    if (symbol.starts_with('.')) symbol.remove_prefix(1);
    return Allowed(DescriptorPool::generated_pool()->FindFileContainingSymbol(std::string(symbol)));
  }
};

// `file` and all that it imports.
template <class Response>
void FillFiles(const Described& described, const FileDescriptor* file, std::set<const FileDescriptor*>& done,
               Response& response) {
  if (!done.insert(file).second) return;
  response.mutable_file_descriptor_response()->add_file_descriptor_proto(described.files.at(file));
  for (int i = 0; i < file->dependency_count(); ++i) FillFiles(described, file->dependency(i), done, response);
}

template <class Response>
void FillNotFound(std::string_view what, Response& response) {
  response.mutable_error_response()->set_error_code(static_cast<int>(StatusCode::kNotFound));
  response.mutable_error_response()->set_error_message(fmt::format("no such {} is served here", what));
}

template <class Request, class Response>
class Reflector : public CallHandler {
 public:
  Reflector(Call& call, std::shared_ptr<const Described> described) : call_(call), described_(std::move(described)) {}

  void OnMessage(grpc::ByteBuffer bytes) override {
    if (++requests_ > kMostRequests) {
      return call_.Finish(Error(StatusCode::kResourceExhausted,
                                "more than {} requests in one reflection call; open another call for the rest",
                                kMostRequests));
    }
    Request request;
    if (Status parsed = ParseMessage(bytes, request); !parsed.ok()) return call_.Finish(parsed);
    Response response;
    response.set_valid_host(request.host());
    *response.mutable_original_request() = request;
    Answer(request, response);
    call_.Send(SerializeShared(response));
  }

  void OnHalfClose() override { call_.Finish(OkStatus()); }

 private:
  void Answer(const Request& request, Response& response) const {
    switch (request.message_request_case()) {
      case Request::kFileByFilename:
        return AnswerFile(described_->FileByName(request.file_by_filename()), "file", response);
      case Request::kFileContainingSymbol:
        return AnswerFile(described_->FileOfSymbol(request.file_containing_symbol()), "symbol", response);
      case Request::kFileContainingExtension:  // proto3: there are none
        return FillNotFound("extension", response);
      case Request::kAllExtensionNumbersOfType:
        if (described_->FileOfSymbol(request.all_extension_numbers_of_type()) == nullptr)
          return FillNotFound("type", response);
        response.mutable_all_extension_numbers_response()->set_base_type_name(request.all_extension_numbers_of_type());
        return;
      case Request::kListServices:
        for (const std::string& name : described_->services)
          response.mutable_list_services_response()->add_service()->set_name(name);
        return;
      case Request::MESSAGE_REQUEST_NOT_SET:
        break;
    }
    response.mutable_error_response()->set_error_code(static_cast<int>(StatusCode::kInvalidArgument));
    response.mutable_error_response()->set_error_message("the request asks for nothing");
  }

  void AnswerFile(const FileDescriptor* file, std::string_view what, Response& response) const {
    if (file == nullptr) return FillNotFound(what, response);
    std::set<const FileDescriptor*> done;
    FillFiles(*described_, file, done, response);
  }

  Call& call_;
  std::shared_ptr<const Described> described_;
  int requests_ = 0;
};

template <class Request, class Response>
HandlerFactory MakeReflector(std::shared_ptr<const Described> described) {
  return [described = std::move(described)](Call& call) {
    return std::make_unique<Reflector<Request, Response>>(call, described);
  };
}

}  // namespace

Status AddReflection(Methods& methods, std::vector<std::string> services) {
  namespace v1 = grpc::reflection::v1;
  namespace v1alpha = grpc::reflection::v1alpha;
  services.push_back("grpc.reflection.v1.ServerReflection");
  services.push_back("grpc.reflection.v1alpha.ServerReflection");
  // Names the messages, so that the linker keeps the descriptors of both versions.
  v1::ServerReflectionRequest::descriptor();
  v1alpha::ServerReflectionRequest::descriptor();

  auto described = std::make_shared<Described>();
  for (const std::string& name : services) {
    const auto* service = DescriptorPool::generated_pool()->FindServiceByName(name);
    if (service == nullptr)
      return Error(StatusCode::kNotFound, "describe service {}: its descriptor is not part of this program", name);
    described->AddFile(service->file());
  }
  described->services = std::move(services);
  methods["/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"] =
      MakeReflector<v1::ServerReflectionRequest, v1::ServerReflectionResponse>(described);
  methods["/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"] =
      MakeReflector<v1alpha::ServerReflectionRequest, v1alpha::ServerReflectionResponse>(described);
  return OkStatus();
}

}  // namespace lanyard
