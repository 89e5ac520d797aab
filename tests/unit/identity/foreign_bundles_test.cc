#include "node_agent/identity/foreign_bundles.h"

#include "tests/support/openssl_cli.h"
#include "tests/unit/identity/identity_fixture.h"

namespace lanyard::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
namespace fs = std::filesystem;

constexpr char kCaExtensions[] =
    "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n";

// The authorities are made by openssl: see OpensslCli::MakeCertificate for the commands.
struct ForeignBundlesTest : ::testing::Test {
  OpensslCli openssl;
  TempDir temp;
  World world;
  TrustDomain partner = TrustDomain::Parse("partner.example").value();
  TrustDomain other = TrustDomain::Parse("other.example").value();
  std::unique_ptr<ForeignBundles> foreign;
  std::vector<std::vector<std::string>> told;

  // An entry of a bundle document: `openssl x509 -outform DER | openssl base64 -A`.
  std::string Authority(const std::string& name) {
    if (!fs::exists(openssl.Path(name + ".crt"))) openssl.MakeCertificate(name, "", kCaExtensions, "/O=" + name);
    openssl.Run("x509 -in " + name + ".crt -outform DER -out " + name + ".der");
    return R"({"kty":"EC","use":"x509-svid","x5c":[")" + openssl.Run("base64 -A -in " + name + ".der") + R"("]})";
  }
  std::string Document(const std::vector<std::string>& names, const std::string& more = "") {
    std::string keys;
    for (const std::string& name : names) keys += (keys.empty() ? "" : ",") + Authority(name);
    return "{\"keys\":[" + keys + "]" + more + "}";
  }
  // As a deployment tool does: a new file in place of the old one.
  std::string Put(const std::string& name, const std::string& text, mode_t mode = 0644) {
    temp.Write(name + ".new", text, mode);
    fs::rename(temp.Path(name + ".new"), temp.Path(name));
    return temp.Path(name);
  }
  void Open(std::vector<ForeignBundleFile> files) {
    foreign = ForeignBundles::Open(world.loop, world.clock, std::move(files)).value();
    foreign->OnChange([this](const std::vector<TrustDomain>& changed) {
      std::vector<std::string> names;
      for (const TrustDomain& trust_domain : changed) names.push_back(trust_domain.name());
      told.push_back(std::move(names));
    });
  }
  // Lets the watcher see what was done and the read that follows finish.
  void Settle() {
    for (int i = 0; i < 3; ++i) world.loop.RunOnce(0);
    world.Pass(2s, 100ms);
  }
  // The subjects of the authorities that are believed for it; nothing when there is no bundle.
  std::optional<std::vector<std::string>> Believed(const TrustDomain& trust_domain) {
    const auto set = foreign->bundles();
    const Bundle* bundle = set->Find(trust_domain);
    if (bundle == nullptr) return std::nullopt;
    std::vector<std::string> names;
    for (const Certificate& authority : bundle->x509_authorities()) {
      openssl.Write("asked.pem", authority.ToPem());
      std::string subject = openssl.Run("x509 -in asked.pem -noout -subject -nameopt sep_multiline");
      subject = subject.substr(subject.find("O=") + 2);
      names.push_back(subject.substr(0, subject.find('\n')));
    }
    return names;
  }
};

using Names = std::vector<std::string>;

TEST_F(ForeignBundlesTest, ReadsTheDocumentsAtTheStart) {
  Open({{partner, Put("p.json", Document({"one", "two"}))}, {other, Put("o.json", Document({"three"}))}});
  EXPECT_EQ(Believed(partner), (Names{"one", "two"}));
  EXPECT_EQ(Believed(other), (Names{"three"}));
  EXPECT_THAT(foreign->problems(), IsEmpty());
  EXPECT_EQ(foreign->counts().good, 2u);
  EXPECT_EQ(foreign->DigestOf(partner).size(), 64u);
  EXPECT_NE(foreign->DigestOf(partner), foreign->DigestOf(other));
}

TEST_F(ForeignBundlesTest, AnotherFileInPlaceOfTheOldOneIsTakenAndTold) {
  Open({{partner, Put("p.json", Document({"one"}))}, {other, Put("o.json", Document({"three"}))}});
  const auto before = foreign->bundles();
  const uint64_t version = foreign->Version(partner, SvidKind::kX509);
  const uint64_t others = foreign->Version(other, SvidKind::kX509);
  Put("p.json", Document({"one", "two"}));
  Settle();
  EXPECT_EQ(Believed(partner), (Names{"one", "two"}));
  EXPECT_THAT(told, ElementsAre(ElementsAre("partner.example")));
  EXPECT_NE(foreign->Version(partner, SvidKind::kX509), version);
  EXPECT_EQ(foreign->Version(other, SvidKind::kX509), others);
  EXPECT_THAT(before->Find(partner)->x509_authorities(), SizeIs(1)) << "who holds the old set still has it";
}

// kubelet: new files in a new directory, then one rename of `..data`.
TEST_F(ForeignBundlesTest, TheSwapOfAConfigMapIsNoticed) {
  temp.MakeDir("map", 0700);
  temp.MakeDir("map/..1", 0700);
  temp.Write("map/..1/p.json", Document({"one"}));
  temp.Link("..1", "map/..data");
  temp.Link("..data/p.json", "map/p.json");
  Open({{partner, temp.Path("map/p.json")}});
  EXPECT_EQ(Believed(partner), (Names{"one"}));
  temp.MakeDir("map/..2", 0700);
  temp.Write("map/..2/p.json", Document({"two"}));
  temp.Link("..2", "map/..data_tmp");
  fs::rename(temp.Path("map/..data_tmp"), temp.Path("map/..data"));
  fs::remove_all(temp.Path("map/..1"));
  Settle();
  EXPECT_EQ(Believed(partner), (Names{"two"}));
  EXPECT_THAT(foreign->problems(), IsEmpty());
}

TEST_F(ForeignBundlesTest, ABrokenDocumentKeepsTheLastGoodOneAndIsNamedUntilItIsRepaired) {
  const std::string good = Document({"one"});
  const std::string path = Put("p.json", good);
  Open({{partner, path}});
  const std::string leaf_at = good.substr(0, good.size() / 2);
  for (const std::string& bad :
       {std::string("garbage"), std::string(), std::string("[]"), std::string("{}"), std::string("null"),
        std::string(R"({"keys":null})"), leaf_at, "{\"keys\":[]," + std::string(1 << 20, ' ') + "\"a\":1}"}) {
    Put("p.json", bad);
    Settle();
    EXPECT_EQ(Believed(partner), (Names{"one"})) << bad.substr(0, 40);
    ASSERT_THAT(foreign->problems(), SizeIs(1)) << bad.substr(0, 40);
    EXPECT_EQ(foreign->problems()[0].level, HealthLevel::kDegraded);
    EXPECT_THAT(foreign->problems()[0].text, HasSubstr(path));
    EXPECT_EQ(foreign->counts().stale, 1u);
  }
  EXPECT_GE(foreign->counts().failed_reads, 8u);
  Put("p.json", good);
  Settle();
  EXPECT_THAT(foreign->problems(), IsEmpty());
  EXPECT_THAT(told, IsEmpty()) << "nothing else was ever believed";
}

TEST_F(ForeignBundlesTest, AFileThatVanishesKeepsWhatItSaid) {
  Open({{partner, Put("p.json", Document({"one"}))}});
  fs::remove(temp.Path("p.json"));
  Settle();
  EXPECT_EQ(Believed(partner), (Names{"one"}));
  ASSERT_THAT(foreign->problems(), SizeIs(1));
  EXPECT_THAT(foreign->problems()[0].text, HasSubstr("the last good one stays in force"));
  Put("p.json", Document({"two"}));
  Settle();
  EXPECT_EQ(Believed(partner), (Names{"two"}));
}

TEST_F(ForeignBundlesTest, OnlyADocumentWithoutKeysTakesBackWhatWasBelieved) {
  Open({{partner, Put("p.json", Document({"one"}))}});
  Put("p.json", R"({"keys":[]})");
  Settle();
  EXPECT_EQ(Believed(partner), Names{});
  EXPECT_EQ(foreign->Version(partner, SvidKind::kX509), 0u);
  EXPECT_THAT(foreign->problems(), IsEmpty()) << "it is what the partner says";
  EXPECT_THAT(told, ElementsAre(ElementsAre("partner.example")));
  Put("p.json", "garbage");
  Settle();
  EXPECT_EQ(Believed(partner), Names{}) << "the last good one is the empty one";
}

TEST_F(ForeignBundlesTest, WithoutAGoodDocumentATrustDomainIsNotInTheSetAndThatIsBroken) {
  Open({{partner, temp.Path("p.json")}, {other, Put("o.json", "{")}});
  EXPECT_EQ(Believed(partner), std::nullopt);
  EXPECT_EQ(Believed(other), std::nullopt);
  EXPECT_EQ(foreign->Version(partner, SvidKind::kX509), 0u);
  EXPECT_EQ(foreign->DigestOf(partner), "");
  ASSERT_THAT(foreign->problems(), SizeIs(2));
  for (const HealthReport& problem : foreign->problems()) EXPECT_EQ(problem.level, HealthLevel::kBroken);
  EXPECT_EQ(foreign->counts().missing, 2u);
  Put("p.json", Document({"one"}));
  Settle();
  EXPECT_EQ(Believed(partner), (Names{"one"}));
  EXPECT_THAT(foreign->problems(), SizeIs(1));
}

// The attack: whoever may write the file decides who is believed.
TEST_F(ForeignBundlesTest, AFileThatOthersMayWriteIsNotBelieved) {
  Open({{partner, Put("p.json", Document({"one"}))}, {other, Put("o.json", Document({"three"}), 0666)}});
  EXPECT_EQ(Believed(other), std::nullopt);
  Put("p.json", Document({"evil"}), 0666);
  Settle();
  EXPECT_EQ(Believed(partner), (Names{"one"}));
  ASSERT_THAT(foreign->problems(), SizeIs(2));
  EXPECT_THAT(foreign->problems()[1].text, HasSubstr("can be changed by other users"));
}

TEST_F(ForeignBundlesTest, LooksAgainWhenNoEventAnnouncesTheEndOfTheTrouble) {
  temp.MakeDir("far", 0700);
  temp.MakeDir("far/below", 0700);
  temp.MakeDir("far/below/it", 0700);
  temp.Write("far/below/it/p.json", Document({"one"}));
  ASSERT_EQ(chmod(temp.Path("far").c_str(), 0777), 0);
  Open({{partner, temp.Path("far/below/it/p.json")}});
  EXPECT_EQ(Believed(partner), std::nullopt);
  ASSERT_EQ(chmod(temp.Path("far").c_str(), 0700), 0);
  world.Pass(6s);
  EXPECT_EQ(Believed(partner), (Names{"one"}));
}

TEST_F(ForeignBundlesTest, OtherBytesWithTheSameAuthoritiesKeepTheVersion) {
  Open({{partner, Put("p.json", Document({"one"}, ",\"spiffe_sequence\":7"))}});
  const uint64_t version = foreign->Version(partner, SvidKind::kX509);
  EXPECT_NE(version, 0u);
  Put("p.json", Document({"one"}, ",\"spiffe_sequence\":8"));
  Settle();
  EXPECT_EQ(foreign->Version(partner, SvidKind::kX509), version);
  EXPECT_EQ(foreign->bundles()->Find(partner)->sequence_number(), 8u);
}

TEST_F(ForeignBundlesTest, AFilesWordCountsWhateverItsSequenceNumber) {
  Open({{partner, Put("p.json", Document({"one"}, ",\"spiffe_sequence\":7"))}});
  Put("p.json", Document({"two"}, ",\"spiffe_sequence\":6"));
  Settle();
  EXPECT_EQ(Believed(partner), (Names{"two"}));
}

TEST_F(ForeignBundlesTest, ATrustDomainThatIsConfiguredNoMoreIsDroppedAtOnce) {
  const ForeignBundleFile first{partner, Put("p.json", Document({"one"}))};
  const ForeignBundleFile second{other, Put("o.json", Document({"three"}))};
  Open({first, second});
  foreign->SetFiles({second});
  EXPECT_EQ(Believed(partner), std::nullopt);
  EXPECT_EQ(foreign->Version(partner, SvidKind::kX509), 0u);
  EXPECT_THAT(told, ElementsAre(ElementsAre("partner.example")));
  Settle();
  EXPECT_EQ(Believed(other), (Names{"three"}));
  foreign->SetFiles({});
  Settle();
  EXPECT_THAT(foreign->bundles()->all(), IsEmpty());
  foreign->SetFiles({first, second});
  Settle();
  EXPECT_EQ(Believed(partner), (Names{"one"}));
  Put("p.json", Document({"two"}));
  Settle();
  EXPECT_EQ(Believed(partner), (Names{"two"})) << "it is watched again";
}

TEST_F(ForeignBundlesTest, AnotherPlaceThatCannotBeReadKeepsWhatTheOldOneSaid) {
  Open({{partner, Put("p.json", Document({"one"}))}});
  foreign->SetFiles({{partner, temp.Path("elsewhere.json")}});
  Settle();
  EXPECT_EQ(Believed(partner), (Names{"one"}));
  EXPECT_EQ(foreign->counts().stale, 1u);
  Put("p.json", Document({"two"}));
  Settle();
  EXPECT_EQ(Believed(partner), (Names{"one"})) << "the old place says nothing any more";
  Put("elsewhere.json", Document({"three"}));
  Settle();
  EXPECT_EQ(Believed(partner), (Names{"three"}));
}

TEST_F(ForeignBundlesTest, WhatWasBeingReadFromAReplacedPlaceIsNotTaken) {
  Open({{partner, Put("p.json", Document({"one"}))}});
  Put("p.json", Document({"two"}));
  foreign->SetFiles({{partner, temp.Path("p.json")}});                 // begins to read "two"
  foreign->SetFiles({{partner, Put("q.json", Document({"three"}))}});  // before that is done
  Settle();
  EXPECT_EQ(Believed(partner), (Names{"three"}));
  EXPECT_THAT(told, SizeIs(1));
}

TEST_F(ForeignBundlesTest, MayBeDestroyedWhileReading) {
  Open({{partner, Put("p.json", Document({"one"}))}});
  foreign->SetFiles({{partner, temp.Path("p.json")}});
  foreign.reset();
  world.Settle();
}

}  // namespace
}  // namespace lanyard::testing
