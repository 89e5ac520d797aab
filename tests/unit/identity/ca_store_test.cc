#include "node_agent/identity/ca_store.h"

#include "node_agent/identity/ca_schedule.h"
#include "tests/support/openssl_cli.h"
#include "tests/unit/identity/identity_fixture.h"

namespace lanyard::testing {
namespace {

const WallTime kStart{std::chrono::seconds(1767225600)};

struct CaStoreTest : ::testing::Test {
  TempDir temp;
  DataDirLock lock = DataDirLock::Acquire(temp.path()).value();
  CaStore store{lock, ExampleOrg()};

  CaState Take(CaStep step, const CaState& state, WallTime now) {
    return TakeStep(step, state, {.trust_domain = ExampleOrg(), .ttl = 600s}, now, std::nullopt).value();
  }
  // A CA in the middle of its life: one root of each phase, all on disk.
  CaState Populate() {
    CaState empty = store.Load().value();
    empty.longest_lifetime = 60s;
    CaState state = Take(CaStep::kMakeActive, empty, kStart);
    state = Take(CaStep::kMakeActive, state, kStart + 100s);
    state = Take(CaStep::kMakePrepared, state, kStart + 140s);
    EXPECT_TRUE(store.Replace(empty, state).ok());
    return state;
  }
  std::string FileOf(const CaState& state, AuthorityPhase phase) {
    for (const Authority& authority : state.authorities) {
      if (authority.phase == phase) return store.FileOf(authority.id);
    }
    return "";
  }
  std::string List() { return store.directory() + "/authorities.json"; }
  static void Overwrite(const std::string& path, std::string_view text) {
    std::ofstream(path, std::ios::trunc | std::ios::binary) << text;
  }
  static std::string Bytes(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  static mode_t Mode(const std::string& path) {
    struct stat info {};
    return stat(path.c_str(), &info) == 0 ? info.st_mode & 07777 : 0;
  }
};

void ExpectSame(const CaState& a, const CaState& b) {
  EXPECT_EQ(a.longest_lifetime, b.longest_lifetime);
  ASSERT_EQ(a.authorities.size(), b.authorities.size());
  for (std::size_t i = 0; i < a.authorities.size(); ++i) {
    EXPECT_EQ(a.authorities[i].id, b.authorities[i].id);
    EXPECT_EQ(a.authorities[i].phase, b.authorities[i].phase);
    EXPECT_EQ(a.authorities[i].created, b.authorities[i].created);
    EXPECT_EQ(a.authorities[i].keep_until, b.authorities[i].keep_until);
    EXPECT_EQ(a.authorities[i].certificate, b.authorities[i].certificate);
  }
}

TEST_F(CaStoreTest, ANewDirectoryHoldsNoCa) {
  EXPECT_TRUE(store.Load()->authorities.empty());
  EXPECT_EQ(Mode(store.directory()), 0700u);
}

TEST_F(CaStoreTest, LoadsWhatWasSavedAndNobodyElseCanReadIt) {
  const CaState state = Populate();
  ExpectSame(store.Load().value(), state);
  ExpectSame(CaStore::Peek(temp.path(), ExampleOrg()).value(), state);
  for (const Authority& authority : state.authorities) EXPECT_EQ(Mode(store.FileOf(authority.id)), 0600u);
  EXPECT_EQ(Mode(List()), 0600u);
}

TEST_F(CaStoreTest, AListThatCouldNotBeReadAgainIsNotWrittenNorAnythingWithIt) {
  const CaState state = Populate();
  CaState many = state;
  for (int i = 0; i < 1000; ++i) {
    many.authorities.push_back(state.authorities.front());
    many.authorities.back().id = fmt::format("{:040x}", i);
  }
  const Status kept = store.Replace(state, many);
  EXPECT_EQ(kept.code(), StatusCode::kResourceExhausted) << kept;
  EXPECT_FALSE(std::filesystem::exists(store.FileOf(many.authorities.back().id)));
  ExpectSame(store.Load().value(), state);
}

TEST_F(CaStoreTest, OpensslReadsTheFileOfARoot) {
  const CaState state = Populate();
  const OpensslCli openssl;
  // openssl x509 -in FILE -noout -text; openssl pkey -in FILE -check
  const std::string text = openssl.Run("x509 -in " + FileOf(state, AuthorityPhase::kActive) + " -noout -text");
  EXPECT_THAT(text, HasSubstr("URI:spiffe://example.org"));
  EXPECT_THAT(text, HasSubstr("CA:TRUE"));
  EXPECT_EQ(openssl.Try("pkey -in " + FileOf(state, AuthorityPhase::kActive) + " -check -noout").exit_code, 0);
}

TEST_F(CaStoreTest, ACrashBetweenTheRootsFileAndTheListLosesNothing) {
  const CaState before = Populate();
  const std::string list = Bytes(List());
  const CaState after = Take(CaStep::kMakePrepared, before, kStart + 200s);
  ASSERT_TRUE(store.Replace(before, after).ok());
  Overwrite(List(), list);  // as if the second write had not happened
  ExpectSame(store.Load().value(), before);
  EXPECT_FALSE(std::filesystem::exists(store.FileOf(after.authorities.back().id))) << "a key that nobody uses";
}

TEST_F(CaStoreTest, ACrashBetweenTheListAndTheRemovalOfARootIsCaughtUp) {
  const CaState before = Populate();
  const std::string gone = FileOf(before, AuthorityPhase::kRetired);
  const std::string key = Bytes(gone);
  CaState after = before;
  std::erase_if(after.authorities, [](const Authority& a) { return a.phase == AuthorityPhase::kRetired; });
  ASSERT_TRUE(store.Replace(before, after).ok());
  EXPECT_FALSE(std::filesystem::exists(gone));
  temp.Write(std::filesystem::relative(gone, temp.path()).string(), key, 0600);
  ExpectSame(store.Load().value(), after);
  EXPECT_FALSE(std::filesystem::exists(gone));
}

TEST_F(CaStoreTest, TemporaryFilesOfACutWriteAreCleared) {
  const CaState state = Populate();
  temp.Write("ca/authorities.json.tmp", "{\"sch", 0600);
  temp.Write("ca/abcd.pem.tmp", "-----BEGIN", 0600);
  ExpectSame(store.Load().value(), state);
  EXPECT_FALSE(std::filesystem::exists(temp.Path("ca/abcd.pem.tmp")));
}

TEST_F(CaStoreTest, RootsWithoutAListAreAdopted) {
  const CaState state = Populate();
  std::filesystem::remove(List());
  const CaState adopted = store.Load().value();
  ASSERT_EQ(adopted.authorities.size(), 3u);
  ASSERT_NE(adopted.Active(), nullptr);
  EXPECT_EQ(adopted.Active()->id, state.authorities.back().id) << "the youngest";
  EXPECT_EQ(adopted.Active()->created, kStart + 140s);
  for (const Authority& authority : adopted.authorities) {
    if (&authority != adopted.Active()) {
      EXPECT_EQ(authority.keep_until, authority.certificate.not_after());
    }
  }
  ExpectSame(store.Load().value(), adopted);
  EXPECT_TRUE(std::filesystem::exists(List()));
}

TEST_F(CaStoreTest, AMissingOrDamagedKeyIsNamedWithTheRemedyAndLeftAlone) {
  const CaState state = Populate();
  for (const AuthorityPhase phase : {AuthorityPhase::kActive, AuthorityPhase::kPrepared}) {
    const std::string path = FileOf(state, phase);
    const std::string good = Bytes(path);
    for (const std::string& bad : {std::string(), good.substr(0, good.size() / 2), good.substr(0, good.size() - 40),
                                   std::string(good.size(), '\0'), good + good}) {
      Overwrite(path, bad);
      const auto loaded = store.Load();
      EXPECT_EQ(loaded.status().code(), StatusCode::kFailedPrecondition);
      EXPECT_THAT(Text(loaded.status()), HasSubstr(path));
      EXPECT_THAT(Text(loaded.status()), HasSubstr("restore it from a backup"));
      EXPECT_EQ(Bytes(path), bad) << "never replaced silently";
    }
    std::filesystem::remove(path);
    EXPECT_THAT(Text(store.Load().status()), HasSubstr(path + " is missing"));
    EXPECT_FALSE(std::filesystem::exists(path));
    temp.Write(std::filesystem::relative(path, temp.path()).string(), good, 0600);
  }
  ExpectSame(store.Load().value(), state);
}

TEST_F(CaStoreTest, AKeyInTheFileOfAnotherRootIsRefused) {
  const CaState state = Populate();
  Overwrite(FileOf(state, AuthorityPhase::kActive), Bytes(FileOf(state, AuthorityPhase::kPrepared)));
  EXPECT_THAT(Text(store.Load().status()), HasSubstr("do not belong together"));
}

TEST_F(CaStoreTest, ADamagedRetiredRootDoesNotKeepTheAgentFromStarting) {
  const CaState state = Populate();
  const std::string path = FileOf(state, AuthorityPhase::kRetired);
  Overwrite(path, "broken");
  const auto loaded = store.Load();
  ASSERT_TRUE(loaded.ok()) << Text(loaded.status());
  EXPECT_EQ(loaded->authorities.size(), 2u);
  EXPECT_EQ(Bytes(path), "broken") << "kept for a person to look at";
}

TEST_F(CaStoreTest, ADamagedListIsNamedWithTheRemedy) {
  Populate();
  const std::string good = Bytes(List());
  const auto with = [&](std::string_view what, std::string_view instead) {
    std::string text = good;
    text.replace(text.find(what), what.size(), instead);
    return text;
  };
  for (const std::string& bad :
       {std::string(), good.substr(0, good.size() / 2), std::string("[]"), std::string("{}"),
        with("\"schema\": 1", "\"schema\": 2"), with("\"schema\": 1", "\"schema\": \"1\""),
        with("\"prepared\"", "\"active\""), with("\"prepared\"", "\"chosen\""), with("\"retired\"", "\"prepared\""),
        with("\"longest_lifetime_seconds\": 60", "\"longest_lifetime_seconds\": -60"),
        with("\"longest_lifetime_seconds\": 60", "\"longest_lifetime_seconds\": 99999999999999999999"),
        with("\"id\": \"", "\"id\": \"../")}) {
    Overwrite(List(), bad);
    const auto loaded = store.Load();
    EXPECT_EQ(loaded.status().code(), StatusCode::kFailedPrecondition) << bad;
    EXPECT_THAT(Text(loaded.status()), HasSubstr(List()));
    EXPECT_EQ(Bytes(List()), bad);
  }
}

TEST_F(CaStoreTest, WrongModesAreRefusedWithTheRemedy) {
  const CaState state = Populate();
  const std::string key = FileOf(state, AuthorityPhase::kActive);
  chmod(key.c_str(), 0640);
  EXPECT_EQ(store.Load().status().code(), StatusCode::kPermissionDenied);
  EXPECT_THAT(Text(store.Load().status()), HasSubstr("chmod"));
  chmod(key.c_str(), 0600);
  chmod(store.directory().c_str(), 0750);
  EXPECT_THAT(Text(store.Load().status()), HasSubstr("chmod 700 " + store.directory()));
  chmod(store.directory().c_str(), 0700);
  EXPECT_TRUE(store.Load().ok());
}

TEST_F(CaStoreTest, ALinkToAKeyElsewhereThatOthersCanReadIsRefused) {
  const CaState state = Populate();
  const std::string key = FileOf(state, AuthorityPhase::kActive);
  const std::string elsewhere = temp.Write("elsewhere.pem", Bytes(key), 0644);
  std::filesystem::remove(key);
  std::filesystem::create_symlink(elsewhere, key);
  EXPECT_EQ(store.Load().status().code(), StatusCode::kPermissionDenied);
}

TEST_F(CaStoreTest, ACaOfAnotherTrustDomainIsNotTakenOver) {
  Populate();
  const auto loaded = CaStore(lock, TrustDomain::Parse("other.example").value()).Load();
  EXPECT_THAT(Text(loaded.status()),
              HasSubstr("is a root of spiffe://example.org, the configuration says spiffe://other.example"));
}

TEST_F(CaStoreTest, WhoOnlyLooksChangesNothing) {
  Populate();
  temp.Write("ca/abcd.pem.tmp", "x", 0600);
  std::filesystem::remove(List());
  EXPECT_TRUE(CaStore::Peek(temp.path(), ExampleOrg()).ok());
  EXPECT_TRUE(std::filesystem::exists(temp.Path("ca/abcd.pem.tmp")));
  EXPECT_FALSE(std::filesystem::exists(List()));
  EXPECT_TRUE(CaStore::Peek(temp.Path("nowhere"), ExampleOrg())->authorities.empty());
}

}  // namespace
}  // namespace lanyard::testing
