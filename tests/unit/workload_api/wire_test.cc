// What goes over the wire, by name, number and type; anything more or less would be another API.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include "workload_api/proto/workloadapi.pb.h"
#include "workload_api/workload_service.h"

namespace lanyard {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptor;
using google::protobuf::ServiceDescriptor;
using testing::UnorderedElementsAre;
using testing::UnorderedElementsAreArray;

std::string TypeOf(const FieldDescriptor& field) {
  if (field.is_map()) {
    const Descriptor& pair = *field.message_type();
    return fmt::format("map<{},{}>", pair.map_key()->type_name(), pair.map_value()->type_name());
  }
  const std::string type =
      field.message_type() != nullptr ? field.message_type()->full_name() : std::string(field.type_name());
  return field.is_repeated() ? "repeated " + type : type;
}

std::vector<std::string> FieldsOf(const std::string& message) {
  const Descriptor* descriptor = DescriptorPool::generated_pool()->FindMessageTypeByName(message);
  if (descriptor == nullptr) return {"there is no message " + message};
  std::vector<std::string> fields;
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const FieldDescriptor& field = *descriptor->field(i);
    fields.push_back(fmt::format("{}={} {}", field.name(), field.number(), TypeOf(field)));
  }
  return fields;
}

const ServiceDescriptor& Service() {
  return *X509SVIDRequest::descriptor()->file()->FindServiceByName("SpiffeWorkloadAPI");
}

TEST(WireTest, ServesTheMethodsOfTheStandardAndNoOthers) {
  std::vector<std::string> methods;
  for (int i = 0; i < Service().method_count(); ++i) {
    const auto& method = *Service().method(i);
    EXPECT_FALSE(method.client_streaming()) << method.name();
    methods.push_back(fmt::format("{} {} {}{}", method.name(), method.input_type()->full_name(),
                                  method.server_streaming() ? "stream " : "", method.output_type()->full_name()));
  }
  EXPECT_EQ(Service().full_name(), "SpiffeWorkloadAPI");
  EXPECT_THAT(methods, UnorderedElementsAre("FetchX509SVID X509SVIDRequest stream X509SVIDResponse",
                                            "FetchX509Bundles X509BundlesRequest stream X509BundlesResponse",
                                            "FetchJWTSVID JWTSVIDRequest JWTSVIDResponse",
                                            "FetchJWTBundles JWTBundlesRequest stream JWTBundlesResponse",
                                            "ValidateJWTSVID ValidateJWTSVIDRequest ValidateJWTSVIDResponse",
                                            "FetchWITSVID WITSVIDRequest stream WITSVIDResponse",
                                            "FetchWITBundles WITBundlesRequest stream WITBundlesResponse"));
}

TEST(WireTest, FieldsHaveTheNumbersAndTypesOfTheStandard) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> standard = {
      {"X509SVIDRequest", {}},
      {"X509SVIDResponse",
       {"svids=1 repeated X509SVID", "crl=2 repeated bytes", "federated_bundles=3 map<string,bytes>"}},
      {"X509SVID",
       {"spiffe_id=1 string", "x509_svid=2 bytes", "x509_svid_key=3 bytes", "bundle=4 bytes", "hint=5 string"}},
      {"X509BundlesRequest", {}},
      {"X509BundlesResponse", {"crl=1 repeated bytes", "bundles=2 map<string,bytes>"}},
      {"JWTSVIDRequest", {"audience=1 repeated string", "spiffe_id=2 string"}},
      {"JWTSVIDResponse", {"svids=1 repeated JWTSVID"}},
      {"JWTSVID", {"spiffe_id=1 string", "svid=2 string", "hint=3 string"}},
      {"JWTBundlesRequest", {}},
      {"JWTBundlesResponse", {"bundles=1 map<string,bytes>"}},
      {"ValidateJWTSVIDRequest", {"audience=1 string", "svid=2 string"}},
      {"ValidateJWTSVIDResponse", {"spiffe_id=1 string", "claims=2 google.protobuf.Struct"}},
      {"WITSVIDRequest", {"spiffe_id=1 string"}},
      {"WITSVIDResponse", {"svids=1 repeated WITSVID"}},
      {"WITSVID", {"spiffe_id=1 string", "wit_svid=2 string", "wit_svid_key=3 string", "hint=4 string"}},
      {"WITBundlesRequest", {}},
      {"WITBundlesResponse", {"bundles=1 map<string,string>"}},
  };
  for (const auto& [message, fields] : standard)
    EXPECT_THAT(FieldsOf(message), UnorderedElementsAreArray(fields)) << message;
  EXPECT_EQ(static_cast<size_t>(X509SVIDRequest::descriptor()->file()->message_type_count()), standard.size());
}

}  // namespace
}  // namespace lanyard
