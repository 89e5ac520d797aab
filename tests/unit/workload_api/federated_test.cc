// What the X.509 streams show of other trust domains.
#include "tests/support/openssl_cli.h"
#include "tests/unit/workload_api/workload_fixture.h"
#include "workload_api/proto/workloadapi.pb.h"

namespace lanyard {
namespace {

constexpr char kPartner[] = "spiffe://partner.example";
constexpr char kOther[] = "spiffe://other.example";
constexpr char kTwoFederate[] = R"(entries:
  - spiffe_id: spiffe://example.org/one
    selectors: ["unix:uid:1000"]
    federates_with: [spiffe://partner.example]
  - spiffe_id: spiffe://example.org/two
    selectors: ["unix:uid:1000"]
    federates_with: [spiffe://partner.example, spiffe://other.example]
  - spiffe_id: spiffe://example.org/somebody-else
    selectors: ["unix:uid:7"]
    federates_with: [spiffe://third.example]
)";

class FederatedTest : public WorkloadServiceTest {
 protected:
  FederatedTest() {
    SetRegistry(kTwoFederate);
    for (const char* name : {"partner", "other", "third"}) Put(name, {name});
    foreign_->SetFiles({{TrustDomain::Parse("partner.example").value(), files_.Path("partner")},
                        {TrustDomain::Parse("other.example").value(), files_.Path("other")},
                        {TrustDomain::Parse("third.example").value(), files_.Path("third")}});
    Settle();
  }

  // Made by the openssl program: OpensslCli::MakeCertificate has the commands.
  std::string Authority(const std::string& name) {
    if (!std::filesystem::exists(openssl_.Path(name + ".der"))) {
      openssl_.MakeCertificate(name, "", "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n",
                               "/O=" + name);
      openssl_.Run("x509 -in " + name + ".crt -outform DER -out " + name + ".der");
    }
    return openssl_.Read(name + ".der");
  }
  void Put(const std::string& file, const std::vector<std::string>& authorities) {
    std::string keys;
    for (const std::string& name : authorities) {
      Authority(name);
      keys += (keys.empty() ? "" : ",") + std::string(R"({"kty":"EC","use":"x509-svid","x5c":[")") +
              openssl_.Run("base64 -A -in " + name + ".der") + R"("]})";
    }
    files_.Write(file + ".new", "{\"keys\":[" + keys + "]}");
    std::filesystem::rename(files_.Path(file + ".new"), files_.Path(file));
  }
  // The watcher sees it, the file is read, the streams are told.
  void SettleFiles() {
    for (int i = 0; i < 3; ++i) loop_.RunOnce(0);
    clock_.Advance(seconds(2));
    Settle();
  }
  static std::map<std::string, std::string> Federated(OpenCall& stream) {
    const auto response = stream.call.Last<X509SVIDResponse>();
    return {response.federated_bundles().begin(), response.federated_bundles().end()};
  }
  static std::map<std::string, std::string> Bundles(OpenCall& stream) {
    const auto response = stream.call.Last<X509BundlesResponse>();
    return {response.bundles().begin(), response.bundles().end()};
  }
  using Map = std::map<std::string, std::string>;

  testing::OpensslCli openssl_;
  TempDir files_;
};

TEST_F(FederatedTest, ACallerGetsTheBundlesThatItsEntriesFederateWithAndNoOthers) {
  auto svids = Open("FetchX509SVID");
  auto bundles = Open("FetchX509Bundles");
  Settle();
  EXPECT_EQ(Federated(*svids), (Map{{kPartner, Authority("partner")}, {kOther, Authority("other")}}));
  EXPECT_EQ(Bundles(*bundles), (Map{{"spiffe://example.org", source_.bundle()->X509Der()},
                                    {kPartner, Authority("partner")},
                                    {kOther, Authority("other")}}));
  EXPECT_EQ(svids->call.Last<X509SVIDResponse>().svids(0).bundle(), source_.bundle()->X509Der())
      << "the own bundle stays the own one";
}

TEST_F(FederatedTest, WithoutFederatesWithThereIsNoForeignBundle) {
  SetRegistry(kOneEntry);
  auto svids = Open("FetchX509SVID");
  auto bundles = Open("FetchX509Bundles");
  Settle();
  EXPECT_EQ(Federated(*svids), Map{});
  EXPECT_EQ(Bundles(*bundles), (Map{{"spiffe://example.org", source_.bundle()->X509Der()}}));
}

TEST_F(FederatedTest, AChangeIsPushedToTheStreamsThatItConcernsAndToNoOthers) {
  auto svids = Open("FetchX509SVID");
  auto bundles = Open("FetchX509Bundles");
  Settle();
  selector_ = "unix:uid:7";
  auto unconcerned = Open("FetchX509SVID");
  Settle();
  for (OpenCall* stream : {svids.get(), bundles.get(), unconcerned.get()}) stream->call.Deliver();
  Put("partner", {"partner", "partner-next"});
  SettleFiles();
  EXPECT_EQ(Federated(*svids).at(kPartner), Authority("partner") + Authority("partner-next"));
  EXPECT_EQ(Bundles(*bundles).at(kPartner), Authority("partner") + Authority("partner-next"));
  EXPECT_EQ(svids->call.messages.size(), 2u);
  EXPECT_EQ(bundles->call.messages.size(), 2u);
  EXPECT_EQ(unconcerned->call.messages.size(), 1u);
}

TEST_F(FederatedTest, OtherBytesWithTheSameAuthoritiesDisturbNobody) {
  auto svids = Open("FetchX509SVID");
  auto bundles = Open("FetchX509Bundles");
  Settle();
  svids->call.Deliver();
  bundles->call.Deliver();
  std::ifstream in(files_.Path("partner"));
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  files_.Write("partner", text.substr(0, text.size() - 1) + ",\"spiffe_sequence\":9}");
  SettleFiles();
  EXPECT_EQ(foreign_->bundles()->Find(TrustDomain::Parse("partner.example").value())->sequence_number(), 9u);
  EXPECT_EQ(svids->call.messages.size(), 1u);
  EXPECT_EQ(bundles->call.messages.size(), 1u);
}

TEST_F(FederatedTest, ATrustDomainThatTakesItsKeysBackIsLeftOut) {
  auto svids = Open("FetchX509SVID");
  auto bundles = Open("FetchX509Bundles");
  Settle();
  svids->call.Deliver();
  bundles->call.Deliver();
  Put("partner", {});
  SettleFiles();
  EXPECT_EQ(Federated(*svids), (Map{{kOther, Authority("other")}}));
  EXPECT_EQ(Bundles(*bundles),
            (Map{{"spiffe://example.org", source_.bundle()->X509Der()}, {kOther, Authority("other")}}));
}

TEST_F(FederatedTest, ATrustDomainWithoutAFileIsLeftOutAndTheRestIsServed) {
  foreign_->SetFiles({{TrustDomain::Parse("other.example").value(), files_.Path("other")}});
  Settle();
  auto svids = Open("FetchX509SVID");
  Settle();
  EXPECT_EQ(svids->call.Last<X509SVIDResponse>().svids_size(), 2);
  EXPECT_EQ(Federated(*svids), (Map{{kOther, Authority("other")}}));
}

TEST_F(FederatedTest, ABrokenFileChangesNothingForAnybody) {
  auto svids = Open("FetchX509SVID");
  Settle();
  svids->call.Deliver();
  files_.Write("partner", "garbage");
  SettleFiles();
  EXPECT_EQ(foreign_->counts().stale, 1u);
  EXPECT_EQ(svids->call.messages.size(), 1u);
  auto later = Open("FetchX509SVID");
  Settle();
  EXPECT_EQ(Federated(*later).at(kPartner), Authority("partner"));
}

TEST_F(FederatedTest, AnEntryThatFederatesNoMoreTakesTheBundleOffTheStream) {
  auto svids = Open("FetchX509SVID");
  auto bundles = Open("FetchX509Bundles");
  Settle();
  svids->call.Deliver();
  bundles->call.Deliver();
  SetRegistry("entries:\n  - {spiffe_id: \"spiffe://example.org/one\", selectors: [\"unix:uid:1000\"]}\n");
  EXPECT_EQ(Federated(*svids), Map{});
  EXPECT_EQ(Bundles(*bundles), (Map{{"spiffe://example.org", source_.bundle()->X509Der()}}));
}

// The attack that a mistake in the key of shared responses would be: a stream of bundles must never be given the bytes
// of a stream of SVIDs, which hold private keys, whatever numbers their versions happen to have.
TEST_F(FederatedTest, StreamsOfBothKindsNeverShareTheirBytes) {
  std::vector<std::unique_ptr<OpenCall>> svids, bundles;
  for (int i = 0; i < 5; ++i) {
    svids.push_back(Open("FetchX509SVID"));
    bundles.push_back(Open("FetchX509Bundles"));
  }
  Settle();
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(svids[i]->call.messages, svids[0]->call.messages);
    EXPECT_EQ(bundles[i]->call.messages, bundles[0]->call.messages);
    EXPECT_EQ(Bundles(*bundles[i]).size(), 3u);
    EXPECT_EQ(svids[i]->call.Last<X509SVIDResponse>().svids_size(), 2);
  }
}

// The attack on the key of shared responses that a key without counts would allow: the version of another entry's SVID,
// and the number of SVIDs, taken for versions of foreign bundles.
TEST_F(FederatedTest, ANewBundleNeverBringsACallerTheSvidsOfAnother) {
  foreign_ = ForeignBundles::Open(loop_, clock_, {}).value();
  foreign_->OnChange([this](const std::vector<TrustDomain>&) { hub_->NotifyBundles(); });
  BuildServices();
  SetRegistry(R"(entries:
  - {spiffe_id: "spiffe://example.org/one", selectors: ["unix:uid:1000"], federates_with: [other.example]}
  - {spiffe_id: "spiffe://example.org/two", selectors: ["unix:path:/two"]}
)");
  selector_ = "unix:uid:7";
  more_selectors_ = {"unix:path:/two"};
  auto first = Open("FetchX509SVID");
  Settle();
  ASSERT_EQ(svids_->Peek(registry_->registry()->items()[1].entry)->version, 1u);
  selector_ = "unix:uid:1000";
  auto both = Open("FetchX509SVID");
  RunUntilIdle(loop_);
  ASSERT_EQ(both->call.Last<X509SVIDResponse>().svids_size(), 2);
  foreign_->SetFiles({{TrustDomain::Parse("partner.example").value(), files_.Path("partner")},
                      {TrustDomain::Parse("other.example").value(), files_.Path("other")}});
  RunUntilIdle(loop_);
  ASSERT_EQ(foreign_->Version(TrustDomain::Parse("other.example").value(), SvidKind::kX509), 2u)
      << "as many as the SVIDs of both";
  more_selectors_ = {};
  auto one = Open("FetchX509SVID");
  RunUntilIdle(loop_);
  const auto response = one->call.Last<X509SVIDResponse>();
  ASSERT_EQ(response.svids_size(), 1);
  EXPECT_EQ(response.svids(0).spiffe_id(), "spiffe://example.org/one");
}

}  // namespace
}  // namespace lanyard
