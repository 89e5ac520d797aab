#include "workload_api/client/jwt_source.h"

#include <thread>

#include "pki/jwk_set.h"
#include "pki/token_signer.h"
#include "tests/unit/workload_api/client/workload_api_peer.h"

namespace lanyard::testing {
namespace {

class JwtSourceTest : public ::testing::Test {
 protected:
  JwtSourceTest() {
    api_.AnswerJwt([this](const JWTSVIDRequest& request, JWTSVIDResponse& response) {
      const std::string id = request.spiffe_id().empty() ? "spiffe://example.org/agent" : request.spiffe_id();
      JWTSVID& svid = *response.add_svids();
      svid.set_spiffe_id(id);
      svid.set_svid(Token(id, {request.audience().begin(), request.audience().end()}));
      return grpc::Status::OK;
    });
    SayKeys({Get(JwtAuthority::Create(key_.public_key()))});
  }

  std::string Token(const std::string& id, const std::vector<std::string>& audiences) const {
    const auto signer = Get(TokenSigner::Create(key_));
    return Get(JwtSvid::Issue(signer, {.id = Id(id),
                                       .audiences = audiences,
                                       .issued_at = Now(),
                                       .expires = Now() + minutes(5),
                                       .issuer = ""}))
        .token();
  }
  void SayKeys(const std::vector<JwtAuthority>& keys) {
    api_.Say([&](WorkloadApiPeer::Said& said) {
      said.jwt_status = grpc::Status::OK;
      (*said.jwt_bundles.mutable_bundles())["spiffe://example.org"] = WriteJwkSet(keys);
    });
  }

  const PrivateKey key_ = Get(PrivateKey::Generate(KeyType::kEcP256));
  WorkloadApiPeer api_;
  const std::shared_ptr<JwtSource> source_ = Get(JwtSource::Create(Get(WorkloadClient::Create(api_.endpoint()))));
};

TEST_F(JwtSourceTest, FetchesATokenThatItValidatesItself) {
  ASSERT_TRUE(source_->WaitReady(kPatience).ok());
  const JwtSvid svid = Get(source_->Fetch({"reports", "billing"}));
  EXPECT_EQ(svid.id().str(), "spiffe://example.org/agent");
  EXPECT_EQ(Get(source_->Validate(svid.token(), "billing")).id(), svid.id());
  EXPECT_THAT(source_->Validate(svid.token(), "others"),
              FailsWith(StatusCode::kUnauthenticated, "for other audiences"));
  EXPECT_THAT(source_->Validate("no.token.this", "billing"), FailsWith(StatusCode::kInvalidArgument, ""));
}

TEST_F(JwtSourceTest, FetchesTheIdentityThatIsAskedFor) {
  const SpiffeId tool = Id("spiffe://example.org/tool");
  EXPECT_EQ(Get(source_->Fetch({"a"}, {.id = tool})).id(), tool);
}

TEST_F(JwtSourceTest, ATokenOfAKeyThatLeftTheBundleDoesNotCountAnyMore) {
  ASSERT_TRUE(source_->WaitReady(kPatience).ok());
  const std::string token = Token("spiffe://example.org/agent", {"a"});
  EXPECT_TRUE(source_->Validate(token, "a").ok());
  SayKeys({Get(JwtAuthority::Create(Get(PrivateKey::Generate(KeyType::kEcP256)).public_key()))});
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (source_->Validate(token, "a").ok() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  EXPECT_THAT(source_->Validate(token, "a"), FailsWith(StatusCode::kUnauthenticated, ""));
}

TEST_F(JwtSourceTest, ARefusalIsPassedOn) {
  api_.AnswerJwt([](const JWTSVIDRequest&, JWTSVIDResponse&) {
    return grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "no identity issued");
  });
  EXPECT_THAT(source_->Fetch({"a"}), FailsWith(StatusCode::kPermissionDenied, "fetch a JWT-SVID: no identity issued"));
}

TEST_F(JwtSourceTest, AnAnswerThatIsNotWhatWasAskedForIsNotUsed) {
  api_.AnswerJwt([this](const JWTSVIDRequest&, JWTSVIDResponse& response) {
    JWTSVID& svid = *response.add_svids();
    svid.set_spiffe_id("spiffe://example.org/agent");
    svid.set_svid(Token("spiffe://example.org/agent", {"somebody-else"}));
    return grpc::Status::OK;
  });
  EXPECT_THAT(source_->Fetch({"a"}), Refused("not for \"a\""));
  EXPECT_THAT(source_->Fetch({"somebody-else"}, {.id = Id("spiffe://example.org/tool")}),
              Refused("the answer is one of"));
}

TEST_F(JwtSourceTest, WithoutBundlesNothingIsValidated) {
  api_.Say(
      [](WorkloadApiPeer::Said& said) { said.jwt_status = grpc::Status(grpc::StatusCode::UNAVAILABLE, "no key yet"); });
  const auto source = Get(JwtSource::Create(Get(WorkloadClient::Create(api_.endpoint()))));
  EXPECT_THAT(source->WaitReady(milliseconds(300)), FailsWith(StatusCode::kUnavailable, "no JWT bundles"));
  EXPECT_THAT(source->Validate("x", "a"), FailsWith(StatusCode::kUnavailable, "no JWT bundles"));
  source->Close();
  EXPECT_THAT(source->Validate("x", "a"), FailsWith(StatusCode::kFailedPrecondition, "closed"));
  EXPECT_THAT(source->Fetch({"a"}), FailsWith(StatusCode::kFailedPrecondition, "closed"));
  EXPECT_THAT(source->WaitReady(kPatience), FailsWith(StatusCode::kFailedPrecondition, "closed"));
}

}  // namespace
}  // namespace lanyard::testing
