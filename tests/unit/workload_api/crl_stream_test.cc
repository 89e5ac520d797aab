// The revocation lists in the answers of the X.509 profile.
#include "pki/crl.h"
#include "tests/unit/workload_api/workload_fixture.h"
#include "workload_api/proto/workloadapi.pb.h"

namespace lanyard {
namespace {

class CrlStreamTest : public WorkloadServiceTest {
 protected:
  template <class Response>
  static std::vector<std::string> RevokedIn(const Response& response) {
    std::vector<std::string> serials;
    for (const std::string& der : response.crl()) {
      const Crl crl = Crl::FromDer(der).value();
      for (const CrlFields::Entry& entry : crl.fields().entries) serials.push_back(entry.serial_hex);
    }
    return serials;
  }
  void Revoke(const std::string& serial) {
    const std::vector<Issuer> issuers = source_.issuers();
    std::string authority;
    for (const char c : issuers[0].certificate().subject_key_id())
      authority += fmt::format("{:02x}", static_cast<unsigned char>(c));
    crls_->Revoke({.authority = authority,
                   .serial = serial,
                   .not_after = clock_.WallNow() + seconds(60),
                   .revoked_at = clock_.WallNow()},
                  [](const Status& status) { EXPECT_TRUE(status.ok()) << status; });
    Settle();
  }
  // So long after the last list that the next is signed at once.
  void LetASecondPass() {
    clock_.Advance(seconds(1));
    Settle();
  }
};

TEST_F(CrlStreamTest, EveryAnswerHasExactlyOneListOfTheAuthority) {
  auto svids = Open("FetchX509SVID");
  auto bundles = Open("FetchX509Bundles");
  Settle();
  const auto svid_response = svids->call.Last<X509SVIDResponse>();
  const auto bundle_response = bundles->call.Last<X509BundlesResponse>();
  ASSERT_EQ(svid_response.crl_size(), 1);
  ASSERT_EQ(bundle_response.crl_size(), 1);
  EXPECT_EQ(svid_response.crl(0), bundle_response.crl(0));
  const Crl list = Crl::FromDer(svid_response.crl(0)).value();
  EXPECT_TRUE(list.CheckSignedBy(source_.bundle()->x509_authorities().at(0)).ok());
  EXPECT_TRUE(list.fields().entries.empty());
}

TEST_F(CrlStreamTest, ANewListIsPushedOnOpenStreamsAndNothingElseChanges) {
  auto svids = Open("FetchX509SVID");
  auto bundles = Open("FetchX509Bundles");
  LetASecondPass();
  const auto before = svids->call.Last<X509SVIDResponse>();
  svids->call.Deliver();
  bundles->call.Deliver();

  Revoke("0a0b");

  ASSERT_EQ(svids->call.messages.size(), 2u);
  ASSERT_EQ(bundles->call.messages.size(), 2u);
  auto after = svids->call.Last<X509SVIDResponse>();
  EXPECT_EQ(RevokedIn(after), std::vector<std::string>{"0a0b"});
  EXPECT_EQ(RevokedIn(bundles->call.Last<X509BundlesResponse>()), std::vector<std::string>{"0a0b"});
  *after.mutable_crl() = before.crl();
  EXPECT_EQ(after.SerializeAsString(), before.SerializeAsString());
}

TEST_F(CrlStreamTest, ManyStreamsAreSentTheSameMessage) {
  std::vector<std::unique_ptr<OpenCall>> streams;
  for (int i = 0; i < 20; ++i) streams.push_back(Open("FetchX509SVID"));
  LetASecondPass();
  for (const auto& stream : streams) stream->call.Deliver();
  Revoke("01");
  for (const auto& stream : streams) {
    ASSERT_EQ(stream->call.messages.size(), 2u);
    EXPECT_EQ(stream->call.messages, streams.front()->call.messages);
  }
}

TEST_F(CrlStreamTest, ABundleIsNeverSentWithoutTheListsThatGoWithIt) {
  auto svids = Open("FetchX509SVID");
  auto bundles = Open("FetchX509Bundles");
  LetASecondPass();
  svids->call.Deliver();
  bundles->call.Deliver();
  state_.silent = true;  // so that no list can be signed
  source_.NewRoot();
  Settle();
  EXPECT_EQ(svids->call.messages.size(), 1u);
  EXPECT_EQ(bundles->call.messages.size(), 1u);

  state_.Answer();
  Settle();

  ASSERT_EQ(svids->call.messages.size(), 2u);
  ASSERT_EQ(bundles->call.messages.size(), 2u);
  const auto response = bundles->call.Last<X509BundlesResponse>();
  EXPECT_EQ(response.bundles().at("spiffe://example.org"), source_.bundle()->X509Der());
  ASSERT_EQ(response.crl_size(), 1);
  EXPECT_TRUE(Crl::FromDer(response.crl(0))->CheckSignedBy(source_.bundle()->x509_authorities().at(0)).ok());
}

TEST_F(CrlStreamTest, TheFirstMessageWaitsForTheFirstList) {
  state_.silent = true;
  StartCrls();
  BindCrls();
  auto svids = Open("FetchX509SVID");
  auto bundles = Open("FetchX509Bundles");
  Settle();
  EXPECT_TRUE(svids->call.messages.empty());
  EXPECT_TRUE(bundles->call.messages.empty());
  EXPECT_FALSE(svids->call.status);

  state_.Answer();
  Settle();
  EXPECT_EQ(svids->call.Last<X509SVIDResponse>().crl_size(), 1);
  EXPECT_EQ(bundles->call.Last<X509BundlesResponse>().crl_size(), 1);
}

TEST_F(CrlStreamTest, IsUnavailableWhenNoListCouldBeSigned) {
  state_.broken_in_reserve = Error(StatusCode::kUnavailable, "the disk is on fire");
  StartCrls();
  BindCrls();
  for (const char* method : {"FetchX509SVID", "FetchX509Bundles"}) {
    auto stream = Open(method);
    Settle();
    ASSERT_TRUE(stream->call.status) << method;
    EXPECT_EQ(stream->call.status->code(), StatusCode::kUnavailable);
    EXPECT_NE(Message(*stream->call.status).find("the disk is on fire"), std::string_view::npos);
    EXPECT_TRUE(stream->call.messages.empty());
  }
}

}  // namespace
}  // namespace lanyard
