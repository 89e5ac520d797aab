#include "node_agent/rpc/reflection.h"

#include <google/protobuf/descriptor.pb.h>

#include "node_agent/rpc/proto/reflection_v1.pb.h"
#include "node_agent/rpc/proto/reflection_v1alpha.pb.h"
#include "tests/unit/rpc/echo.pb.h"
#include "tests/unit/rpc/fixture.h"

namespace lanyard {
namespace {

namespace v1 = grpc::reflection::v1;
namespace v1alpha = grpc::reflection::v1alpha;

class ReflectionTest : public RpcTest {
 protected:
  ReflectionTest() {
    test::Words::descriptor();
    Methods methods;
    const Status added = AddReflection(methods, {"lanyard.test.Echo"});
    EXPECT_TRUE(added.ok()) << added;
    Serve(std::move(methods));
  }

  template <class Response>
  struct Conversation {
    std::vector<Response> responses;
    grpc::Status end;
  };

  // All requests on one stream.
  template <class Request, class Response>
  Conversation<Response> Talk(const char* name, std::vector<Request> requests) {
    return WhileServing([this, name, requests = std::move(requests)] {
      auto channel = NewChannel();
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(15));
      grpc::internal::RpcMethod method(name, grpc::internal::RpcMethod::BIDI_STREAMING, channel);
      std::unique_ptr<grpc::ClientReaderWriter<Request, Response>> stream(
          grpc::internal::ClientReaderWriterFactory<Request, Response>::Create(channel.get(), method, &context));
      for (const Request& request : requests) stream->Write(request);  // before any answer is read
      stream->WritesDone();
      Conversation<Response> conversation;
      Response response;
      while (stream->Read(&response)) conversation.responses.push_back(response);
      conversation.end = stream->Finish();
      return conversation;
    });
  }
  // The same, an answer each.
  template <class Request, class Response>
  std::vector<Response> Ask(const char* name, std::vector<Request> requests) {
    Conversation<Response> conversation = Talk<Request, Response>(name, std::move(requests));
    EXPECT_TRUE(conversation.end.ok()) << conversation.end.error_message();
    return std::move(conversation.responses);
  }
  std::vector<v1::ServerReflectionResponse> AskV1(std::vector<v1::ServerReflectionRequest> requests) {
    return Ask<v1::ServerReflectionRequest, v1::ServerReflectionResponse>(kV1, std::move(requests));
  }

  static constexpr char kV1[] = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
};

TEST_F(ReflectionTest, ListsTheServicesInBothVersions) {
  v1::ServerReflectionRequest request;
  request.set_list_services("");
  auto answers = AskV1({request});
  ASSERT_EQ(answers.size(), 1u);
  ASSERT_EQ(answers[0].list_services_response().service_size(), 3);
  EXPECT_EQ(answers[0].list_services_response().service(0).name(), "lanyard.test.Echo");

  v1alpha::ServerReflectionRequest old_request;
  old_request.set_list_services("");
  auto old_answers = Ask<v1alpha::ServerReflectionRequest, v1alpha::ServerReflectionResponse>(
      "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", {old_request});
  ASSERT_EQ(old_answers.size(), 1u);
  EXPECT_EQ(old_answers[0].list_services_response().service_size(), 3);
}

TEST_F(ReflectionTest, GivesTheFileOfASymbolAndOfAName) {
  v1::ServerReflectionRequest by_symbol, by_method, by_name;
  by_symbol.set_file_containing_symbol("lanyard.test.Echo");
  by_method.set_file_containing_symbol(".lanyard.test.Echo.Once");
  by_name.set_file_by_filename("tests/unit/rpc/echo.proto");
  auto answers = AskV1({by_symbol, by_method, by_name});
  ASSERT_EQ(answers.size(), 3u);
  for (const auto& answer : answers) {
    ASSERT_EQ(answer.file_descriptor_response().file_descriptor_proto_size(), 1) << answer.ShortDebugString();
    google::protobuf::FileDescriptorProto file;
    ASSERT_TRUE(file.ParseFromString(answer.file_descriptor_response().file_descriptor_proto(0)));
    EXPECT_EQ(file.package(), "lanyard.test");
  }
}

TEST_F(ReflectionTest, DescribesNothingButItsServicesFiles) {
  v1::ServerReflectionRequest unknown, linked_in, file, nothing;
  unknown.set_file_containing_symbol("no.such.Thing");
  linked_in.set_file_containing_symbol("google.protobuf.FileDescriptorProto");
  file.set_file_by_filename("google/protobuf/descriptor.proto");
  auto answers = AskV1({unknown, linked_in, file, nothing});
  ASSERT_EQ(answers.size(), 4u);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(answers[i].error_response().error_code(), 5) << answers[i].ShortDebugString();
  EXPECT_EQ(answers[3].error_response().error_code(), 3);
}

TEST_F(ReflectionTest, OneCallAnswers64RequestsAndThenEndsWithWhatToDo) {
  v1::ServerReflectionRequest request;
  request.set_file_containing_symbol("lanyard.test.Echo");
  EXPECT_EQ(AskV1(std::vector(64, request)).size(), 64u);

  const auto talk = Talk<v1::ServerReflectionRequest, v1::ServerReflectionResponse>(kV1, std::vector(65, request));

  EXPECT_EQ(talk.responses.size(), 64u);
  EXPECT_EQ(talk.end.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(talk.end.error_message(), "more than 64 requests in one reflection call; open another call for the rest");
}

TEST_F(ReflectionTest, AServiceWithoutADescriptorIsAnErrorAtStart) {
  Methods methods;
  EXPECT_EQ(AddReflection(methods, {"no.such.Service"}).code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace lanyard
