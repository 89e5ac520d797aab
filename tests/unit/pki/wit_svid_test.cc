#include "pki/wit_svid.h"

#include "pki/jws.h"
#include "pki/jwt_svid.h"
#include "tests/unit/pki/token_testing.h"

namespace lanyard::testing {
namespace {

using nlohmann::json;

constexpr auto kUnauthenticated = StatusCode::kUnauthenticated;
const TimePoint kNow{seconds(1765453000)};

// WIT-SVID appendix A. Whose key signed it, the standard does not tell.
constexpr std::string_view kExample =
    "eyJhbGciOiJFUzI1NiIsImtpZCI6ImxRU2kzaFpGbmRhMkQtWEprajF6bDdmb0pvdWl3STRuckF5aHk0alppSmciLCJ0eXAiOiJ3aXQrand0In0."
    "eyJjbmYiOnsiandrIjp7ImFsZyI6IkVTMjU2IiwiY3J2IjoiUC0yNTYiLCJrdHkiOiJFQyIsIngiOiJyelA3bUxDS0FIV21zTTZYMEV3VklTQ19oST"
    "N1amN1"
    "OTVmZlVreWVER0dvIiwieSI6InVPcmZEbGp0WDltM2pZLWhzeWhMSllheHRHa3pEdjVlNWttQ2U1OFo5N2cifX0sImV4cCI6MTc2NTQ1NjUwMywiaW"
    "F0Ijox"
    "NzY1NDUyOTAzLCJqdGkiOiIxeWoxOVY0TWNPQXpNY0ZpN3F2c2dfQWdDeGxyWTVFX3g1MDl3bEtLUXRjIiwic3ViIjoic3BpZmZlOi8vZXhhbXBsZS"
    "5jb20v"
    "bXktd29ya2xvYWQifQ.sfhEvZNdY_kWrICF08lX0u__rn39YnTavnW-VPBS20zgowDh6-X43v5eOUKZbjZf06yLBQM-Mry5w1g1QFsCkg";
constexpr std::string_view kExampleJwk =
    R"({"alg":"ES256","crv":"P-256","kty":"EC","x":"rzP7mLCKAHWmsM6X0EwVISC_hI3ujcu95ffUkyeDGGo","y":"uOrfDljtX9m3jY-hsyhLJYaxtGkzDv5e5kmCe58Z97g"})";

class WitSvidTest : public ::testing::Test {
 protected:
  WitSvidTest() { Trust({signer_.authority()}); }

  void Trust(std::vector<JwtAuthority> wit, std::vector<JwtAuthority> jwt = {}) {
    bundles_.Put(Get(Bundle::Create(Td(), {}, {}, {.jwt = std::move(jwt), .wit = std::move(wit)})));
  }
  WitSvidRequest Request() const {
    return {.id = Id("spiffe://example.org/a"),
            .not_before = kNow - seconds(10),
            .issued_at = kNow,
            .expires = kNow + minutes(5)};
  }
  WitSvid Issue() const { return Get(WitSvid::Issue(signer_, Request())); }
  Result<WitToken> Validate(std::string_view token, TimePoint now = kNow) const {
    return ValidateWitToken(token, bundles_, now);
  }
  json Header() const { return {{"alg", "ES256"}, {"kid", signer_.authority().key_id()}, {"typ", "wit+jwt"}}; }
  static json Claims() {
    return {{"sub", "spiffe://example.org/a"}, {"exp", 1765453300}, {"cnf", {{"jwk", json::parse(kExampleJwk)}}}};
  }
  Result<WitToken> With(const json& header, const json& claims) const {
    return Validate(SignedToken(key_, header.dump(), claims.dump()));
  }
  Result<WitToken> WithClaim(const char* name, const json& value) const {
    json claims = Claims();
    claims[name] = value;
    return With(Header(), claims);
  }
  Result<WitToken> WithJwk(const char* name, const json& value) const {
    json claims = Claims();
    claims["cnf"]["jwk"][name] = value;
    return With(Header(), claims);
  }

  const PrivateKey key_ = Get(PrivateKey::Generate(KeyType::kEcP256));
  const TokenSigner signer_ = Get(TokenSigner::Create(key_));
  BundleSet bundles_;
};

TEST_F(WitSvidTest, ReadsTheExampleOfTheStandard) {
  const WitToken wit = Get(WitToken::ParseUnverified(kExample));
  EXPECT_EQ(wit.id(), Id("spiffe://example.com/my-workload"));
  EXPECT_EQ(wit.key_id(), "lQSi3hZFnda2D-XJkj1zl7foJouiwI4nrAyhy4jZiJg");
  EXPECT_EQ(wit.token_id(), "1yj19V4McOAzMcFi7qvsg_AgCxlrY5E_x509wlKKQtc");
  EXPECT_EQ(wit.expires(), TimePoint(seconds(1765456503)));
  EXPECT_EQ(wit.key_algorithm(), JwsAlgorithm::kEs256);
  EXPECT_TRUE(wit.key().SameAs(KeyFromJwk(kExampleJwk)));
  EXPECT_EQ(wit.token(), kExample);
}

TEST_F(WitSvidTest, TheExampleIsNotBelievedWithoutItsAuthority) {
  EXPECT_THAT(Validate(kExample), FailsWith(kUnauthenticated, "no bundle"));
  bundles_.Put(Get(Bundle::Create(
      Td("example.com"), {}, {},
      {.wit = {Get(JwtAuthority::Create("lQSi3hZFnda2D-XJkj1zl7foJouiwI4nrAyhy4jZiJg", key_.public_key()))}})));
  EXPECT_THAT(Validate(kExample), FailsWith(kUnauthenticated, "not valid"));
}

TEST_F(WitSvidTest, AnIssuedOneSaysExactlyWhatItShould) {
  for (const auto& [type, alg] : {std::pair(KeyType::kEcP256, "ES256"), std::pair(KeyType::kEcP384, "ES384"),
                                  std::pair(KeyType::kRsa2048, "RS256")}) {
    WitSvidRequest request = Request();
    request.key_type = type;
    const WitSvid svid = Get(WitSvid::Issue(signer_, request));
    const std::string header = Get(Base64UrlDecode(svid.token().substr(0, svid.token().find('.'))));
    EXPECT_EQ(json::parse(header), (json{{"alg", "ES256"}, {"kid", signer_.authority().key_id()}, {"typ", "wit+jwt"}}));
    json claims = json::parse(Get(Jws::Parse(svid.token())).payload());
    EXPECT_EQ(claims["cnf"]["jwk"]["alg"], alg);
    EXPECT_TRUE(Get(PublicKeyFromJwk(claims["cnf"]["jwk"])).SameAs(svid.key().public_key()));
    EXPECT_EQ(claims["jti"].get<std::string>().size(), 32u);
    claims.erase("cnf");
    claims.erase("jti");
    EXPECT_EQ(claims,
              (json{{"sub", "spiffe://example.org/a"}, {"exp", 1765453300}, {"nbf", 1765452990}, {"iat", 1765453000}}));
    EXPECT_EQ(Get(Validate(svid.token())).id(), svid.id());
  }
}

TEST_F(WitSvidTest, EachHasAKeyAndAnIdOfItsOwn) {
  const WitSvid a = Issue(), b = Issue();
  EXPECT_FALSE(a.key().public_key().SameAs(b.key().public_key()));
  EXPECT_NE(a.token_id(), b.token_id());
}

TEST_F(WitSvidTest, ATokenGoesWithItsOwnKeyOnly) {
  const WitSvid svid = Issue();
  EXPECT_EQ(Get(WitSvid::Create(svid.token(), svid.key())).id(), svid.id());
  EXPECT_THAT(WitSvid::Create(svid.token(), Issue().key()), Refused("not the one that the WIT-SVID"));
}

TEST_F(WitSvidTest, RefusesToIssueWhatMakesNoSense) {
  WitSvidRequest no_path = Request(), no_time = Request();
  no_path.id = Id("spiffe://example.org");
  no_time.expires = no_time.issued_at;
  EXPECT_THAT(WitSvid::Issue(signer_, no_path), Refused("no path"));
  EXPECT_THAT(WitSvid::Issue(signer_, no_time), Refused("end before it begins"));
}

TEST_F(WitSvidTest, NeverOutlivesTheKeyThatSignsIt) {
  EXPECT_EQ(Get(WitSvid::Issue(Get(TokenSigner::Create(key_, kNow + seconds(90))), Request())).expires(),
            kNow + seconds(90));
  EXPECT_THAT(WitSvid::Issue(Get(TokenSigner::Create(key_, kNow)), Request()),
              FailsWith(StatusCode::kFailedPrecondition, "not valid any more"));
}

TEST_F(WitSvidTest, TypAndKidMustBeThere) {  // §2.1, §2.2
  for (const char* type : {"JWT", "JOSE", "WIT+JWT", "application/wit+jwt", ""}) {
    json header = Header();
    header["typ"] = type;
    EXPECT_THAT(With(header, Claims()), Refused("\"typ\" is not wit+jwt")) << type;
  }
  for (const char* name : {"typ", "kid"}) {
    json header = Header();
    header.erase(name);
    EXPECT_THAT(With(header, Claims()), Refused(name));
  }
}

TEST_F(WitSvidTest, SubExpAndCnfMustBeThere) {  // §3.1 to §3.3
  for (const char* name : {"sub", "exp", "cnf"}) {
    json claims = Claims();
    claims.erase(name);
    EXPECT_THAT(With(Header(), claims), Refused(name));
  }
  EXPECT_TRUE(With(Header(), Claims()).ok());
}

TEST_F(WitSvidTest, TheConfirmedKeyIsAPublicKeyWithAFittingAlgorithm) {  // §3.2
  EXPECT_THAT(WithClaim("cnf", "x"), Refused("\"cnf\" is missing"));
  EXPECT_THAT(WithClaim("cnf", json::object()), Refused("\"jwk\" in \"cnf\""));
  EXPECT_THAT(WithClaim("cnf", json{{"kid", "x"}}), Refused("\"jwk\" in \"cnf\""));
  for (const char* alg : {"ES384", "RS256", "PS256"})
    EXPECT_THAT(WithJwk("alg", alg), Refused("not made with P-256")) << alg;
  for (const char* alg : {"none", "HS256", "EdDSA"})
    EXPECT_THAT(WithJwk("alg", alg), Refused("\"alg\" is none of")) << alg;
  EXPECT_THAT(WithJwk("d", "AQ"), Refused("private key"));
  EXPECT_THAT(WithJwk("y", json::parse(kExampleJwk)["x"]), Refused("no public key"));
  json claims = Claims();
  claims["cnf"]["jwk"].erase("alg");
  EXPECT_THAT(With(Header(), claims), Refused("\"alg\" is missing"));
}

TEST_F(WitSvidTest, OneWithAnAudienceIsRefused) {
  EXPECT_THAT(WithClaim("aud", "reports"), Refused("\"aud\""));
  EXPECT_THAT(WithClaim("aud", json::array()), Refused("\"aud\""));
}

TEST_F(WitSvidTest, ClaimsThatItDoesNotKnowAreIgnored) {  // §3.8
  EXPECT_TRUE(WithClaim("iss", "https://example.org").ok());
  EXPECT_TRUE(WithClaim("other", json{{"a", 1}}).ok());
}

TEST_F(WitSvidTest, NeitherEndNorBeginningHasLeewayAndIatBoundsNothing) {  // §3.3, §3.5, §3.6
  const std::string token = Issue().token();
  EXPECT_TRUE(Validate(token, kNow + minutes(5) - std::chrono::milliseconds(1)).ok());
  EXPECT_THAT(Validate(token, kNow + minutes(5)), FailsWith(kUnauthenticated, "expired"));
  EXPECT_TRUE(Validate(token, kNow - seconds(10)).ok());
  EXPECT_THAT(Validate(token, kNow - seconds(11)), FailsWith(kUnauthenticated, "not valid yet"));
  EXPECT_TRUE(WithClaim("iat", 1765453299).ok());
}

TEST_F(WitSvidTest, OnlyKeysForWitSvidsOfItsOwnTrustDomainCount) {  // §6.2
  const std::string token = Issue().token();
  Trust({}, {signer_.authority()});
  EXPECT_THAT(Validate(token), FailsWith(kUnauthenticated, "no key with the ID"));
  Trust({Get(
      JwtAuthority::Create(signer_.authority().key_id(), Get(PrivateKey::Generate(KeyType::kEcP256)).public_key()))});
  EXPECT_THAT(Validate(token), FailsWith(kUnauthenticated, "not valid"));
  EXPECT_THAT(WithClaim("sub", "spiffe://other.org/a"), FailsWith(kUnauthenticated, "no bundle"));
}

TEST_F(WitSvidTest, IsNotTakenForAJwtSvidNorAJwtSvidForOne) {  // §7.1
  const std::string wit = Issue().token();
  const std::string jwt = Get(JwtSvid::Issue(signer_, {.id = Id("spiffe://example.org/a"),
                                                       .audiences = {"reports"},
                                                       .issued_at = kNow,
                                                       .expires = kNow + minutes(5)}))
                              .token();
  Trust({signer_.authority()});
  EXPECT_THAT(ValidateJwtSvid(wit, "reports", bundles_, kNow), Refused("neither JWT nor JOSE"));
  EXPECT_THAT(Validate(jwt), Refused("\"typ\" is not wit+jwt"));
}

}  // namespace
}  // namespace lanyard::testing
