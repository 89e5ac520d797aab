// A Workload API that a test plays: says what it is told to say, on every stream that is open, and can be away.
//
// Thread: the test's; streams run on gRPC's.
#pragma once

#include <gmock/gmock.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_context.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "pki/crl.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/pki/pki_testing.h"
#include "workload_api/client/client.h"
#include "workload_api/proto/workloadapi.grpc.pb.h"

namespace lanyard::testing {

using std::chrono::milliseconds;
inline constexpr std::chrono::seconds kPatience{20};

inline X509SVID SvidMessage(const X509Svid& svid, const Bundle& bundle, const std::string& hint = "") {
  X509SVID message;
  message.set_spiffe_id(svid.id().str());
  message.set_x509_svid(svid.ChainDer());
  const SecretBytes key = Get(svid.key().ToPkcs8Der());
  message.set_x509_svid_key(key.data(), key.size());
  message.set_bundle(bundle.X509Der());
  message.set_hint(hint);
  return message;
}

class WorkloadApiPeer final : public SpiffeWorkloadAPI::Service {
 public:
  // What streams are sent: a message, or the status that they end with.
  struct Said {
    X509SVIDResponse svids;
    X509BundlesResponse bundles;
    JWTBundlesResponse jwt_bundles;
    grpc::Status svid_status, bundle_status, jwt_status;
  };

  WorkloadApiPeer() { Start(); }
  ~WorkloadApiPeer() override { Stop(); }

  std::string endpoint() const { return "unix://" + directory_.Path("w.sock"); }
  void Start() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + directory_.Path("w.sock"), grpc::InsecureServerCredentials());
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  void Stop() {
    if (server_ == nullptr) return;
    server_->Shutdown(std::chrono::system_clock::now());
    server_.reset();
  }

  // Changes what is said, on the streams that are open as well.
  template <class Change>
  void Say(Change change) {
    const std::lock_guard lock(mutex_);
    change(said_);
    ++version_;
    changed_.notify_all();
  }
  // These identities, with the bundles and revocation lists.
  void Say(const std::vector<X509SVID>& svids, const std::vector<Bundle>& bundles, const std::vector<Crl>& crls = {}) {
    Say([&](Said& said) {
      said = Said();
      for (const X509SVID& svid : svids) *said.svids.add_svids() = svid;
      for (const Bundle& bundle : bundles)
        (*said.bundles.mutable_bundles())[bundle.trust_domain().id()] = bundle.X509Der();
      for (const Crl& crl : crls) {
        said.svids.add_crl(crl.der());
        said.bundles.add_crl(crl.der());
      }
    });
  }
  void Refuse(const grpc::Status& status) {
    Say([&](Said& said) { said.svid_status = said.bundle_status = said.jwt_status = status; });
  }

  int calls() const {
    const std::lock_guard lock(mutex_);
    return calls_;
  }
  std::size_t connections() const {
    const std::lock_guard lock(mutex_);
    return peers_.size();
  }

  using JwtAnswer = std::function<grpc::Status(const JWTSVIDRequest&, JWTSVIDResponse&)>;
  void AnswerJwt(JwtAnswer answer) {
    const std::lock_guard lock(mutex_);
    jwt_answer_ = std::move(answer);
  }

 private:
  grpc::Status FetchX509SVID(grpc::ServerContext* call, const X509SVIDRequest*,
                             grpc::ServerWriter<X509SVIDResponse>* writer) override {
    return Stream(call, *writer, &Said::svids, &Said::svid_status);
  }
  grpc::Status FetchX509Bundles(grpc::ServerContext* call, const X509BundlesRequest*,
                                grpc::ServerWriter<X509BundlesResponse>* writer) override {
    return Stream(call, *writer, &Said::bundles, &Said::bundle_status);
  }
  grpc::Status FetchJWTBundles(grpc::ServerContext* call, const JWTBundlesRequest*,
                               grpc::ServerWriter<JWTBundlesResponse>* writer) override {
    return Stream(call, *writer, &Said::jwt_bundles, &Said::jwt_status);
  }
  grpc::Status FetchJWTSVID(grpc::ServerContext*, const JWTSVIDRequest* request, JWTSVIDResponse* response) override {
    const std::lock_guard lock(mutex_);
    return jwt_answer_(*request, *response);
  }

  template <class Response>
  grpc::Status Stream(grpc::ServerContext* call, grpc::ServerWriter<Response>& writer, Response Said::*message,
                      grpc::Status Said::*status) {
    const auto header = call->client_metadata().find("workload.spiffe.io");
    if (header == call->client_metadata().end() || header->second != "true")
      return {grpc::StatusCode::INVALID_ARGUMENT, "security header missing from request"};
    std::unique_lock lock(mutex_);
    ++calls_;
    peers_.insert(call->peer());
    for (int told = -1; !call->IsCancelled();) {
      if (told != version_) {
        told = version_;
        if (!(said_.*status).ok()) return said_.*status;
        writer.Write(said_.*message);
      }
      changed_.wait_for(lock, milliseconds(10));
    }
    return grpc::Status::CANCELLED;
  }

  const lanyard::TempDir directory_;
  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  Said said_;
  JwtAnswer jwt_answer_;
  int version_ = 0, calls_ = 0;
  std::set<std::string> peers_;
  std::unique_ptr<grpc::Server> server_;
};

// A source with what a Workload API has told it.
struct Workload {
  Workload(const X509Svid& svid, const std::vector<Bundle>& bundles, const std::vector<Crl>& crls = {}) {
    for (const Bundle& bundle : bundles) {
      if (bundle.trust_domain() == svid.id().trust_domain()) api.Say({SvidMessage(svid, bundle)}, bundles, crls);
    }
    source = Get(X509Source::Create(Get(WorkloadClient::Create(api.endpoint()))));
    const Status ready = source->WaitReady(kPatience);
    EXPECT_TRUE(ready.ok()) << ready;
  }

  WorkloadApiPeer api;
  std::shared_ptr<X509Source> source;
};

}  // namespace lanyard::testing
