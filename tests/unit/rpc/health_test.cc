#include "node_agent/rpc/health.h"

#include "node_agent/rpc/proto/health_v1.pb.h"
#include "tests/unit/rpc/fixture.h"

namespace lanyard {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

class HealthTest : public RpcTest {
 protected:
  HealthTest() {
    Methods methods;
    health_.AddTo(methods);
    Serve(std::move(methods));
  }
  ~HealthTest() override { server_.reset(); }

  std::pair<grpc::Status, HealthCheckResponse::ServingStatus> Check(const std::string& service) {
    HealthCheckRequest request;
    request.set_service(service);
    HealthCheckResponse response;
    grpc::Status status = Unary("/grpc.health.v1.Health/Check", request, response);
    return {status, response.status()};
  }

  ServingStatus now_ = ServingStatus::kServing;
  HealthService health_{{"SpiffeWorkloadAPI"}, [this](std::string_view) { return now_; }};
};

TEST_F(HealthTest, CheckTellsTheStateOfNow) {
  EXPECT_EQ(Check("").second, HealthCheckResponse::SERVING);
  now_ = ServingStatus::kNotServing;
  EXPECT_EQ(Check("").second, HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(Check("SpiffeWorkloadAPI").second, HealthCheckResponse::NOT_SERVING);
}

TEST_F(HealthTest, CheckOfAnUnknownServiceIsNotFound) {
  EXPECT_EQ(Check("Other").first.error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(HealthTest, WatchTellsTheStateThenItsChangesAndOfAnUnknownServiceThatItIs) {
  std::vector<int> states = WhileServing([this] {
    std::vector<int> read;
    auto channel = NewChannel();
    grpc::internal::RpcMethod method("/grpc.health.v1.Health/Watch", grpc::internal::RpcMethod::SERVER_STREAMING,
                                     channel);
    const auto open = [&](grpc::ClientContext& context, const char* service) {
      context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(15));
      HealthCheckRequest request;
      request.set_service(service);
      return std::unique_ptr<grpc::ClientReader<HealthCheckResponse>>(
          grpc::internal::ClientReaderFactory<HealthCheckResponse>::Create(channel.get(), method, &context, request));
    };
    grpc::ClientContext known, unknown;
    HealthCheckResponse response;
    auto stream = open(known, "");
    if (stream->Read(&response)) read.push_back(response.status());
    loop_.Post([this] {
      health_.Changed();  // nothing has
      now_ = ServingStatus::kNotServing;
      health_.Changed();
    });
    if (stream->Read(&response)) read.push_back(response.status());
    auto other = open(unknown, "Other");
    if (other->Read(&response)) read.push_back(response.status());
    known.TryCancel();
    unknown.TryCancel();
    stream->Finish();
    other->Finish();
    return read;
  });
  EXPECT_EQ(states, (std::vector<int>{HealthCheckResponse::SERVING, HealthCheckResponse::NOT_SERVING,
                                      HealthCheckResponse::SERVICE_UNKNOWN}));
}

}  // namespace
}  // namespace lanyard
