// fetch jwt and fetch wit against an agent that a test plays.
#include "tests/unit/app/token_fixture.h"

namespace lanyard {
namespace {

using FetchJwtTest = TokenTest;

TEST_F(FetchJwtTest, TextIsTheTokenAlone) {
  const Ran ran = Lanyard({"fetch", "jwt", "--audience", "reports", "--audience", "billing"});
  EXPECT_EQ(ran.code, kExitOk) << ran.err;
  EXPECT_EQ(ran.out, api_.jwt_svids.svids(0).svid() + "\n");
  EXPECT_THAT(ran.err, IsEmpty());
  EXPECT_THAT(api_.jwt_request.audience(), ElementsAre("reports", "billing"));
  EXPECT_THAT(api_.jwt_request.spiffe_id(), IsEmpty());
}

TEST_F(FetchJwtTest, JsonSaysWhoForWhomAndUntilWhen) {
  api_.jwt_svids.mutable_svids(0)->set_hint("internal");
  const Ran ran = Lanyard({"fetch", "jwt", "--audience", "reports", "--output", "json"});
  const auto svid = nlohmann::json::parse(ran.out, nullptr, false)["svids"][0];
  const JwtSvid token = *JwtSvid::ParseUnverified(api_.jwt_svids.svids(0).svid());
  EXPECT_EQ(svid, (nlohmann::json{{"spiffe_id", "spiffe://example.org/agent"},
                                  {"hint", "internal"},
                                  {"audience", {"reports", "billing"}},
                                  {"expires_at", Utc(token.expires())},
                                  {"token", token.token()}}));
}

TEST_F(FetchJwtTest, EachIdentitysTokenHasALineAndOneCanBeChosen) {
  *api_.jwt_svids.add_svids() = tokens_.Jwt("/other");
  const Ran both = Lanyard({"fetch", "jwt", "--audience", "reports"});
  EXPECT_EQ(both.out, api_.jwt_svids.svids(0).svid() + "\n" + api_.jwt_svids.svids(1).svid() + "\n");
  EXPECT_THAT(both.err, HasSubstr("several identities"));
  // Also from an agent that does not look at what was asked for.
  const Ran one = Lanyard({"fetch", "jwt", "--audience", "reports", "--spiffe-id", "spiffe://example.org/other"});
  EXPECT_EQ(one.out, api_.jwt_svids.svids(1).svid() + "\n");
  EXPECT_THAT(one.err, IsEmpty());
  EXPECT_EQ(api_.jwt_request.spiffe_id(), "spiffe://example.org/other");
  const Ran none = Lanyard({"fetch", "jwt", "--audience", "reports", "--spiffe-id", "spiffe://example.org/admin"});
  EXPECT_EQ(none.code, kExitDenied);
  EXPECT_THAT(none.out, IsEmpty());
}

TEST_F(FetchJwtTest, ADenialNamesTheIdentityThatWasAskedFor) {
  api_.status = grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "no identity issued");
  for (const char* verb : {"jwt", "wit"}) {
    std::vector<std::string> line = {"fetch", verb, "--spiffe-id", "spiffe://example.org/admin"};
    if (line[1] == "jwt") line.insert(line.end(), {"--audience", "reports"});
    const Ran ran = Lanyard(line);
    EXPECT_EQ(ran.code, kExitDenied);
    EXPECT_THAT(ran.err, AllOf(HasSubstr("lets this process be spiffe://example.org/admin"),
                               HasSubstr(fmt::format("uid {}", geteuid())), HasSubstr("lanyard registry list")));
  }
}

TEST_F(FetchJwtTest, RefusesATokenThatIsNotWhatWasAskedFor) {
  JWTSVID somebodys = tokens_.Jwt("/agent");
  somebodys.set_spiffe_id("spiffe://example.org/admin");
  JWTSVID nobodys = tokens_.Jwt("/agent");
  nobodys.set_spiffe_id("agent");
  JWTSVID wit = tokens_.Jwt("/agent");
  wit.set_svid(tokens_.Wit("/agent").wit_svid());
  JWTSVID cut = tokens_.Jwt("/agent");
  cut.mutable_svid()->pop_back();
  cut.mutable_svid()->append(".");
  const std::pair<JWTSVID, const char*> cases[] = {{somebodys, "the token is for spiffe://example.org/agent"},
                                                   {nobodys, "agent"},
                                                   {wit, "typ"},
                                                   {cut, "read JWT-SVID"},
                                                   {JWTSVID(), "read JWT-SVID"},
                                                   {tokens_.Jwt("/agent", {"others"}), "not for \"reports\""},
                                                   {tokens_.Jwt("/agent", {"reports"}, minutes(-1)), "it expired at"}};
  for (const auto& [svid, why] : cases) {
    {
      const std::lock_guard lock(api_.mutex);
      *api_.jwt_svids.mutable_svids(0) = svid;
    }
    const Ran ran = Lanyard({"fetch", "jwt", "--audience", "reports"});
    EXPECT_EQ(ran.code, kExitFailed) << why;
    EXPECT_THAT(ran.out, IsEmpty()) << why;
    EXPECT_THAT(ran.err, HasSubstr(why));
    if (svid.svid().empty()) continue;
    EXPECT_THAT(ran.err, Not(HasSubstr(svid.svid().substr(0, 20)))) << why;
  }
  {
    const std::lock_guard lock(api_.mutex);
    api_.jwt_svids.clear_svids();
  }
  EXPECT_EQ(Lanyard({"fetch", "jwt", "--audience", "reports"}).code, kExitFailed);
}

TEST_F(FetchJwtTest, EveryAudienceThatWasAskedForMustBeInTheToken) {
  *api_.jwt_svids.mutable_svids(0) = tokens_.Jwt("/agent", {"reports"});
  const Ran ran = Lanyard({"fetch", "jwt", "--audience", "reports", "--audience", "billing"});
  EXPECT_EQ(ran.code, kExitFailed);
  EXPECT_THAT(ran.err, HasSubstr("not for \"billing\""));
}

using FetchWitTest = TokenTest;

TEST_F(FetchWitTest, PrintsTheIdentityButNeverItsKey) {
  const Ran text = Lanyard({"fetch", "wit"});
  EXPECT_EQ(text.code, kExitOk) << text.err;
  EXPECT_THAT(text.out, AllOf(HasSubstr("spiffe://example.org/agent"), HasSubstr("ec-p256")));
  const Ran json = Lanyard({"fetch", "wit", "--output", "json"});
  const auto svid = nlohmann::json::parse(json.out, nullptr, false)["svids"][0];
  EXPECT_EQ(svid.value("token", ""), api_.wit_svids.svids(0).wit_svid());
  const auto jwk = nlohmann::json::parse(api_.wit_svids.svids(0).wit_svid_key());
  EXPECT_THAT(text.out + json.out, AllOf(Not(HasSubstr("PRIVATE")), Not(HasSubstr(jwk["d"].get<std::string>()))));
}

TEST_F(FetchWitTest, WritesATokenAndItsKeyForTheirOwnerAlone) {
  *api_.wit_svids.add_svids() = tokens_.Wit("/other");
  const auto read = [&](const char* name) {
    std::ostringstream text;
    text << std::ifstream(dir_.Path(std::string("out/") + name)).rdbuf();
    return text.str();
  };
  for (const auto& [id, index] : {std::pair("", 0), std::pair("spiffe://example.org/other", 1)}) {
    std::vector<std::string> line = {"fetch", "wit", "--write", dir_.Path("out")};
    if (index == 1) line.insert(line.end(), {"--spiffe-id", id});
    const Ran ran = Lanyard(line);
    ASSERT_EQ(ran.code, kExitOk) << ran.err;
    EXPECT_EQ(read("wit-svid.jwt"), api_.wit_svids.svids(index).wit_svid());
    EXPECT_TRUE(WitSvid::Create(read("wit-svid.jwt"), *PrivateKey::FromPem(read("wit-svid.key"))).ok());
    for (const char* name : {"wit-svid.jwt", "wit-svid.key"}) {
      struct stat info {};
      ASSERT_EQ(stat(dir_.Path(std::string("out/") + name).c_str(), &info), 0);
      EXPECT_EQ(info.st_mode & 0777, 0600u) << name;
    }
  }
  EXPECT_EQ(api_.wit_request.spiffe_id(), "spiffe://example.org/other");
}

TEST_F(FetchWitTest, RefusesAnAnswerThatDoesNotHoldTogetherAndWritesNothing) {
  WITSVID anothers_key = tokens_.Wit("/agent");
  anothers_key.set_wit_svid_key(tokens_.Wit("/agent").wit_svid_key());
  WITSVID no_key = tokens_.Wit("/agent");
  no_key.set_wit_svid_key("{}");
  WITSVID somebodys = tokens_.Wit("/agent");
  somebodys.set_spiffe_id("spiffe://example.org/admin");
  WITSVID jwt = tokens_.Wit("/agent");
  jwt.set_wit_svid(tokens_.Jwt("/agent").svid());
  const std::pair<WITSVID, const char*> cases[] = {{anothers_key, "not the one that the WIT-SVID"},
                                                   {no_key, "read private JWK"},
                                                   {somebodys, "the token is for spiffe://example.org/agent"},
                                                   {jwt, "wit+jwt"},
                                                   {WITSVID(), "read private JWK"},
                                                   {tokens_.Wit("/agent", minutes(-1)), "it expired at"}};
  for (const auto& [svid, why] : cases) {
    {
      const std::lock_guard lock(api_.mutex);
      *api_.wit_svids.mutable_svids(0) = svid;
    }
    const Ran ran = Lanyard({"fetch", "wit", "--write", dir_.Path("out")});
    EXPECT_EQ(ran.code, kExitFailed) << why;
    EXPECT_THAT(ran.err, HasSubstr(why));
    EXPECT_FALSE(std::filesystem::exists(dir_.Path("out"))) << why;
  }
}

TEST_F(FetchWitTest, AnIdentityThatIsNotThereIsFourAndWritesNothing) {
  const Ran ran = Lanyard({"fetch", "wit", "--spiffe-id", "spiffe://example.org/admin", "--write", dir_.Path("out")});
  EXPECT_EQ(ran.code, kExitDenied);
  EXPECT_THAT(ran.err, HasSubstr("it may be spiffe://example.org/agent"));
  EXPECT_FALSE(std::filesystem::exists(dir_.Path("out")));
}

}  // namespace
}  // namespace lanyard
