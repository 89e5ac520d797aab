#include "deploy/demo/mtls/identity_stream.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <cstdlib>
#include <iostream>
#include <vector>

namespace lanyard::demo {
namespace {

// Bundles of federated trust domains come beside one's own; an SVID of another domain is judged by that domain's.
Result<BundleSet> ParseBundles(const X509SVIDResponse& message, const X509SVID& own) {
  BundleSet bundles;
  for (const auto& [name, der] : message.federated_bundles()) {
    ASSIGN_OR_RETURN(TrustDomain domain, TrustDomain::Parse(name));
    ASSIGN_OR_RETURN(std::vector<Certificate> authorities, Certificate::ListFromDer(der));
    ASSIGN_OR_RETURN(Bundle bundle, Bundle::Create(domain, std::move(authorities)));
    bundles.Put(std::move(bundle));
  }
  ASSIGN_OR_RETURN(TrustDomain domain, TrustDomain::Parse(own.spiffe_id()));
  ASSIGN_OR_RETURN(std::vector<Certificate> authorities, Certificate::ListFromDer(own.bundle()));
  ASSIGN_OR_RETURN(Bundle bundle, Bundle::Create(domain, std::move(authorities)));
  bundles.Put(std::move(bundle));
  return bundles;
}

}  // namespace

Result<Identity> ParseIdentity(const X509SVIDResponse& message, std::size_t version) {
  if (message.svids().empty()) return Error(StatusCode::kInternal, "the Workload API sent a message without an SVID");
  const X509SVID& own = message.svids(0);  // Workload API §5.3: the first is the default
  ASSIGN_OR_RETURN(std::vector<Certificate> chain, Certificate::ListFromDer(own.x509_svid()));
  ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::FromPkcs8Der(own.x509_svid_key()));
  ASSIGN_OR_RETURN(X509Svid svid, X509Svid::Create(std::move(chain), std::move(key)));
  ASSIGN_OR_RETURN(BundleSet bundles, ParseBundles(message, own));
  return Identity{std::move(svid), std::make_shared<const BundleSet>(std::move(bundles)), version};
}

IdentityStream::IdentityStream(const std::string& socket)
    : stub_(SpiffeWorkloadAPI::NewStub(grpc::CreateChannel(socket, grpc::InsecureChannelCredentials()))) {
  call_.AddMetadata("workload.spiffe.io", "true");
  reader_ = std::thread([this] { Read(); });
}

IdentityStream::~IdentityStream() {
  call_.TryCancel();
  reader_.join();
}

void IdentityStream::Read() {
  std::unique_ptr<grpc::ClientReader<X509SVIDResponse>> stream = stub_->FetchX509SVID(&call_, X509SVIDRequest());
  Status broken;
  X509SVIDResponse message;
  for (std::size_t version = 1; broken.ok() && stream->Read(&message); ++version) {
    Result<Identity> identity = ParseIdentity(message, version);
    if (!identity.ok()) {
      broken = Annotate(identity.status(), "read the identity that the Workload API sent");
      call_.TryCancel();
      break;
    }
    const std::lock_guard lock(mutex_);
    newest_ = std::make_shared<const Identity>(std::move(identity).value());
    changed_.notify_all();
  }
  const grpc::Status end = stream->Finish();
  const std::lock_guard lock(mutex_);
  if (!broken.ok()) {
    end_ = broken;
  } else if (end.ok()) {
    end_ = Error(StatusCode::kUnavailable, "the Workload API closed the stream");
  } else {
    end_ = Error(static_cast<StatusCode>(end.error_code()), "fetch the identity: {}", end.error_message());
  }
  changed_.notify_all();
}

Result<Identity> IdentityStream::Next(std::size_t version, std::chrono::seconds timeout) {
  std::unique_lock lock(mutex_);
  const auto newer = [this, version] { return newest_ != nullptr && newest_->version > version; };
  changed_.wait_for(lock, timeout, [&] { return newer() || !end_.ok(); });
  if (!end_.ok()) return end_;
  if (!newer()) return Error(StatusCode::kDeadlineExceeded, "no new identity came within {} s", timeout.count());
  return *newest_;
}

std::string SocketOrDefault(const std::string& given) {
  if (!given.empty()) return given;
  const char* from_environment =
      std::getenv("SPIFFE_ENDPOINT_SOCKET");  // NOLINT(concurrency-mt-unsafe): before any thread
  return from_environment != nullptr && *from_environment != '\0' ? from_environment
                                                                  : "unix:///run/lanyard/workload.sock";
}

int Report(const Status& status) {
  std::cerr << "error: " << Message(status) << " (" << CodeName(status.code()) << ")" << std::endl;
  switch (status.code()) {
    case StatusCode::kPermissionDenied:
      return 4;
    case StatusCode::kUnavailable:
      return 3;
    default:
      return 1;
  }
}

std::string Describe(const X509Svid& svid) {
  const auto left =
      std::chrono::duration_cast<std::chrono::seconds>(svid.not_after() - std::chrono::system_clock::now());
  return fmt::format("{}, serial {}, valid for {} s", svid.id().str(), svid.serial_hex(), left.count());
}

}  // namespace lanyard::demo
