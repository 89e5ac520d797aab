// An agent that a test plays, and the command line against it.
//
// Thread: the test's, and gRPC's for what the agent answers.
#pragma once

#include <gmock/gmock.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <sys/stat.h>

#include <atomic>
#include <mutex>
#include <nlohmann/json.hpp>
#include <sstream>

#include "node_agent/admin/proto/admin.grpc.pb.h"
#include "node_agent/app/cli.h"
#include "pki/issuer.h"
#include "pki/root.h"
#include "tests/support/temp_dir.h"
#include "workload_api/proto/workloadapi.grpc.pb.h"

namespace lanyard {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

struct FetchAuthority {
  TrustDomain trust_domain;
  SelfSignedCa root;

  static FetchAuthority Make(const char* name) {
    const auto now = std::chrono::system_clock::now();
    TrustDomain trust_domain = *TrustDomain::Parse(name);
    SelfSignedCa root =
        *MakeRootCa(trust_domain, KeyType::kEcP256, now - std::chrono::hours(1), now + std::chrono::hours(24));
    return {std::move(trust_domain), std::move(root)};
  }

  X509SVID Issue(const char* path, std::chrono::seconds ttl = std::chrono::hours(1)) const {
    const auto now = std::chrono::system_clock::now();
    const Issuer issuer = *Issuer::Create({root.certificate}, root.key);
    const X509Svid svid = *issuer.IssueLeaf({.id = *SpiffeId::FromTrustDomainAndPath(trust_domain, path),
                                             .key_type = KeyType::kEcP256,
                                             .dns_names = {},
                                             .not_before = now - std::chrono::minutes(30),
                                             .not_after = now + ttl});
    X509SVID message;
    message.set_spiffe_id(svid.id().str());
    message.set_x509_svid(svid.ChainDer());
    const SecretBytes key = *svid.key().ToPkcs8Der();
    message.set_x509_svid_key(key.data(), key.size());
    message.set_bundle(root.certificate.der());
    return message;
  }

  Crl SignCrl(uint64_t number, const std::vector<std::string>& serials = {}) const {
    const auto now = std::chrono::system_clock::now();
    CrlContent content{.number = number,
                       .this_update = now - std::chrono::minutes(1),
                       .next_update = now + std::chrono::hours(1),
                       .revoked = {}};
    for (const std::string& serial : serials) content.revoked.push_back({serial, now, now + std::chrono::hours(1)});
    return *Crl::Sign(content, root.certificate, root.key);
  }
};

class FakeWorkloadApi final : public SpiffeWorkloadAPI::Service {
 public:
  grpc::Status FetchX509SVID(grpc::ServerContext* context, const X509SVIDRequest*,
                             grpc::ServerWriter<X509SVIDResponse>* writer) override {
    const auto header = context->client_metadata().find("workload.spiffe.io");
    has_header = header != context->client_metadata().end() && header->second == "true";
    ++calls;
    if (!status.ok()) return status;
    const std::lock_guard lock(mutex);
    if (updates.empty()) writer->Write(svids);
    for (const Crl& list : updates) {
      svids.clear_crl();
      svids.add_crl(list.der());
      writer->Write(svids);
    }
    return end;  // of the stream, so that a watch has to come back
  }
  grpc::Status FetchX509Bundles(grpc::ServerContext* context, const X509BundlesRequest*,
                                grpc::ServerWriter<X509BundlesResponse>* writer) override {
    const auto header = context->client_metadata().find("workload.spiffe.io");
    has_header = header != context->client_metadata().end() && header->second == "true";
    if (!status.ok()) return status;
    writer->Write(bundles);
    return grpc::Status::OK;
  }

  grpc::Status FetchJWTSVID(grpc::ServerContext*, const JWTSVIDRequest* request, JWTSVIDResponse* response) override {
    const std::lock_guard lock(mutex);
    jwt_request = *request;
    if (status.ok()) *response = jwt_svids;
    return status;
  }
  grpc::Status ValidateJWTSVID(grpc::ServerContext*, const ValidateJWTSVIDRequest* request,
                               ValidateJWTSVIDResponse* response) override {
    const std::lock_guard lock(mutex);
    ++calls;
    validate_request = *request;
    if (status.ok()) *response = validated;
    return status;
  }
  grpc::Status FetchWITSVID(grpc::ServerContext*, const WITSVIDRequest* request,
                            grpc::ServerWriter<WITSVIDResponse>* writer) override {
    const std::lock_guard lock(mutex);
    wit_request = *request;
    if (status.ok()) writer->Write(wit_svids);
    return status;
  }
  grpc::Status FetchJWTBundles(grpc::ServerContext*, const JWTBundlesRequest*,
                               grpc::ServerWriter<JWTBundlesResponse>* writer) override {
    const std::lock_guard lock(mutex);
    for (const JWTBundlesResponse& update : jwt_bundles) writer->Write(update);
    return jwt_end;
  }
  grpc::Status FetchWITBundles(grpc::ServerContext*, const WITBundlesRequest*,
                               grpc::ServerWriter<WITBundlesResponse>* writer) override {
    const std::lock_guard lock(mutex);
    if (wit_end.ok()) writer->Write(wit_bundles);
    return wit_end;
  }

  grpc::Status status;  // instead of an update
  grpc::Status end;     // after one
  std::mutex mutex;     // guards what changes after a first call
  X509SVIDResponse svids;
  std::vector<Crl> updates;  // each in one message, where there are any
  X509BundlesResponse bundles;
  // What is asked about tokens, and answered; like an agent that does not serve their bundles unless a test says so.
  JWTSVIDRequest jwt_request;
  JWTSVIDResponse jwt_svids;
  ValidateJWTSVIDRequest validate_request;
  ValidateJWTSVIDResponse validated;
  WITSVIDRequest wit_request;
  WITSVIDResponse wit_svids;
  std::vector<JWTBundlesResponse> jwt_bundles;
  WITBundlesResponse wit_bundles;
  grpc::Status jwt_end{grpc::StatusCode::UNIMPLEMENTED, "not served"}, wit_end = jwt_end;
  std::atomic<bool> has_header{false};
  std::atomic<int> calls{0};
};

class FakeAdmin final : public admin::v1::Admin::Service {
 public:
  grpc::Status GetHealth(grpc::ServerContext*, const admin::v1::GetHealthRequest*,
                         admin::v1::GetHealthResponse* response) override {
    const std::lock_guard lock(mutex);
    *response = health;
    return grpc::Status::OK;
  }
  grpc::Status ListEntries(grpc::ServerContext*, const admin::v1::ListEntriesRequest*,
                           admin::v1::ListEntriesResponse* response) override {
    *response = entries;
    return grpc::Status::OK;
  }
  grpc::Status RotateCa(grpc::ServerContext*, const admin::v1::RotateCaRequest*,
                        admin::v1::RotateCaResponse*) override {
    return grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, "the issuer is given\x1b[2J");
  }
  void SetHealth(admin::v1::HealthStatus status) {
    const std::lock_guard lock(mutex);
    health.set_status(status);
  }

  std::mutex mutex;  // guards health where it changes after a first call
  admin::v1::GetHealthResponse health;
  admin::v1::ListEntriesResponse entries;
};

struct Ran {
  int code;
  std::string out, err;
};

class FetchTest : public testing::Test {
 protected:
  FetchTest() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + socket_, grpc::InsecureServerCredentials());
    builder.RegisterService(&api_);
    builder.RegisterService(&admin_);
    server_ = builder.BuildAndStart();
    *api_.svids.add_svids() = authority_.Issue("/agent");
    (*api_.bundles.mutable_bundles())["spiffe://example.org"] = authority_.root.certificate.der();
  }
  ~FetchTest() override { server_->Shutdown(); }

  Ran Lanyard(std::vector<std::string> arguments, const char* option = "--socket") {
    arguments.insert(arguments.end(), {option, "unix://" + socket_});
    std::istringstream in(input_);
    std::ostringstream out, err;
    const int code = RunCommandLine(std::move(arguments), Console{out, err, in});
    return {code, out.str(), err.str()};
  }

  std::string input_;  // on standard input
  TempDir dir_;
  const std::string socket_ = dir_.Path("odd name%.sock");
  FetchAuthority authority_ = FetchAuthority::Make("example.org");
  FakeWorkloadApi api_;
  FakeAdmin admin_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace lanyard
