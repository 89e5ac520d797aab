#include "pki/jwt_svid.h"

#include <set>

#include "pki/jws.h"
#include "pki/token_signer.h"
#include "tests/unit/pki/token_testing.h"
#include "tests/unit/pki/token_vectors.h"

namespace lanyard::testing {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;

constexpr auto kUnauthenticated = StatusCode::kUnauthenticated;
const TimePoint kNow{seconds(1767225600)};  // 2026-01-01, when the vectors begin

class JwtSvidTest : public ::testing::Test {
 protected:
  JwtSvidTest() { Trust({signer_.authority()}); }

  void Trust(std::vector<JwtAuthority> jwt, std::vector<JwtAuthority> wit = {}) {
    bundles_.Put(Get(Bundle::Create(Td(), {}, {}, {.jwt = std::move(jwt), .wit = std::move(wit)})));
  }
  JwtSvidRequest Request() const {
    return {
        .id = Id("spiffe://example.org/a"), .audiences = {"reports"}, .issued_at = kNow, .expires = kNow + minutes(5)};
  }
  JwtSvid Issue() const { return Get(JwtSvid::Issue(signer_, Request())); }
  Result<JwtSvid> Validate(std::string_view token, TimePoint now = kNow, std::string_view audience = "reports") const {
    return ValidateJwtSvid(token, audience, bundles_, now);
  }
  json Header() const { return {{"alg", "ES256"}, {"kid", signer_.authority().key_id()}}; }
  static json Claims() {
    return {{"sub", "spiffe://example.org/a"}, {"aud", "reports"}, {"exp", NumericSeconds(kNow + minutes(5))}};
  }
  static std::int64_t NumericSeconds(TimePoint time) {
    return std::chrono::duration_cast<seconds>(time.time_since_epoch()).count();
  }
  // What the profile says about a token with this header and these claims, signed with the right key.
  Result<JwtSvid> With(const json& header, const json& claims) const {
    return Validate(SignedToken(key_, header.dump(), claims.dump()));
  }
  Result<JwtSvid> WithClaim(const char* name, const json& value) const {
    json claims = Claims();
    claims[name] = value;
    return With(Header(), claims);
  }
  Result<JwtSvid> WithHeader(const char* name, const json& value) const {
    json header = Header();
    header[name] = value;
    return With(header, Claims());
  }

  const PrivateKey key_ = Get(PrivateKey::Generate(KeyType::kEcP256));
  const TokenSigner signer_ = Get(TokenSigner::Create(key_));
  BundleSet bundles_;
};

TEST_F(JwtSvidTest, DatesBeyondTheEndOfOurClockAreFarInTheFuture) {
  constexpr std::int64_t kYear7570 = 176722560600;
  EXPECT_TRUE(WithClaim("exp", kYear7570).ok());
  EXPECT_THAT(WithClaim("iat", kYear7570), FailsWith(kUnauthenticated, "it is from the future"));
  EXPECT_THAT(WithClaim("nbf", kYear7570), FailsWith(kUnauthenticated, "it is not valid yet"));
}

TEST_F(JwtSvidTest, AcceptsTokensOfAnotherProgramWithEveryAlgorithm) {
  for (const TokenVector& vector : kTokenVectors) {
    Trust({Get(JwtAuthority::Create("other", KeyFromJwk(vector.jwk)))});
    const JwtSvid svid = Get(Validate(vector.token));
    EXPECT_EQ(svid.id(), Id("spiffe://example.org/other"));
    EXPECT_THAT(svid.audiences(), ElementsAre("reports", "billing"));
    EXPECT_EQ(svid.expires(), TimePoint(seconds(4102444800)));
    EXPECT_EQ(svid.key_id(), "other");
    EXPECT_EQ(svid.token_id(), "one");
    EXPECT_EQ(svid.token(), vector.token);
    EXPECT_EQ(json::parse(svid.claims())["private"], (json{{"nested", {true, nullptr, 1.5}}}));
    EXPECT_TRUE(Validate(vector.token, kNow, "billing").ok());
  }
}

TEST_F(JwtSvidTest, AnIssuedOneSaysExactlyWhatItShould) {
  const JwtSvid svid = Issue();
  const Jws jws = Get(Jws::Parse(svid.token()));
  const std::string header = Get(Base64UrlDecode(svid.token().substr(0, svid.token().find('.'))));
  EXPECT_EQ(json::parse(header), (json{{"alg", "ES256"}, {"kid", signer_.authority().key_id()}, {"typ", "JWT"}}));
  json claims = json::parse(jws.payload());
  EXPECT_EQ(claims, json::parse(svid.claims()));
  EXPECT_EQ(claims["jti"], svid.token_id());
  claims.erase("jti");
  EXPECT_EQ(claims,
            (json{{"sub", "spiffe://example.org/a"}, {"aud", {"reports"}}, {"exp", 1767225900}, {"iat", 1767225600}}));
}

TEST_F(JwtSvidTest, OpensslAcceptsItsSignature) {
  for (const auto& [type, digest] : {std::pair(KeyType::kEcP256, "-sha256"), std::pair(KeyType::kEcP384, "-sha384"),
                                     std::pair(KeyType::kRsa2048, "-sha256")}) {
    const OpensslCli cli;
    const PrivateKey key = Get(PrivateKey::Generate(type));
    const std::string token = Get(JwtSvid::Issue(Get(TokenSigner::Create(key)), Request())).token();
    const std::size_t dot = token.rfind('.');
    const std::string signature = Get(Base64UrlDecode(token.substr(dot + 1)));
    cli.Write("input", token.substr(0, dot));
    cli.Write("key.pub", Get(key.public_key().ToPem()));
    cli.Write("signature", signature);
    if (type != KeyType::kRsa2048) WriteDerSignature(cli, "signature", signature);
    EXPECT_EQ(cli.Run(std::string("dgst ") + digest + " -verify key.pub -signature signature input"), "Verified OK\n");
  }
}

TEST_F(JwtSvidTest, EachHasAnIdOfItsOwn) {
  std::set<std::string> ids;
  for (int i = 0; i < 100; ++i) ids.insert(Issue().token_id());
  EXPECT_EQ(ids.size(), 100u);
  EXPECT_EQ(ids.begin()->size(), 32u);
  EXPECT_EQ(ids.begin()->find_first_not_of("0123456789abcdef"), std::string::npos);
}

TEST_F(JwtSvidTest, SaysAnIssuerOnlyWhenOneIsGiven) {
  JwtSvidRequest request = Request();
  request.issuer = "https://oidc.example.org";
  EXPECT_EQ(json::parse(Get(JwtSvid::Issue(signer_, request)).claims())["iss"], "https://oidc.example.org");
  EXPECT_FALSE(json::parse(Issue().claims()).contains("iss"));
}

TEST_F(JwtSvidTest, WhatIsIssuedIsAccepted) {
  const JwtSvid svid = Issue();
  const JwtSvid again = Get(Validate(svid.token()));
  EXPECT_EQ(again.id(), svid.id());
  EXPECT_EQ(again.expires(), svid.expires());
  EXPECT_EQ(again.token_id(), svid.token_id());
  EXPECT_EQ(again.claims(), svid.claims());
}

TEST_F(JwtSvidTest, RefusesToIssueWhatMakesNoSense) {
  const auto with = [this](auto change) {
    JwtSvidRequest request = Request();
    change(request);
    return JwtSvid::Issue(signer_, request);
  };
  EXPECT_THAT(with([](auto& r) { r.audiences = {}; }), Refused("no audience"));
  EXPECT_THAT(with([](auto& r) { r.audiences = {"a", ""}; }), Refused("empty or not UTF-8"));
  EXPECT_THAT(with([](auto& r) { r.audiences = {"\xff"}; }), Refused("empty or not UTF-8"));
  EXPECT_THAT(with([](auto& r) { r.issuer = "\xff"; }), Refused("not UTF-8"));
  EXPECT_THAT(with([](auto& r) { r.id = Id("spiffe://example.org"); }), Refused("no path"));
  EXPECT_THAT(with([](auto& r) { r.expires = r.issued_at; }), Refused("end before it begins"));
  EXPECT_THAT(with([](auto& r) { r.audiences = std::vector<std::string>(1000, "an-audience-of-some-length"); }),
              Refused("at most 16384"));
}

TEST_F(JwtSvidTest, NeverOutlivesItsKey) {
  const TokenSigner signer = Get(TokenSigner::Create(key_, kNow + seconds(90)));
  EXPECT_EQ(Get(JwtSvid::Issue(signer, Request())).expires(), kNow + seconds(90));
  const TokenSigner over = Get(TokenSigner::Create(key_, kNow));
  EXPECT_THAT(JwtSvid::Issue(over, Request()), FailsWith(StatusCode::kFailedPrecondition, "not valid any more"));
}

TEST_F(JwtSvidTest, IsForItsAudiencesOnly) {  // JWT-SVID §3.2
  const std::string token = Issue().token();
  for (const char* audience : {"Reports", "report", "reports ", "spiffe://example.org/a", "*"}) {
    EXPECT_THAT(Validate(token, kNow, audience), FailsWith(kUnauthenticated, "other audiences")) << audience;
  }
  EXPECT_THAT(Validate(token, kNow, ""), Refused("no audience is given"));
}

TEST_F(JwtSvidTest, ReadsAudiencesInBothForms) {  // RFC 7519 §4.1.3
  EXPECT_TRUE(WithClaim("aud", "reports").ok());
  EXPECT_TRUE(WithClaim("aud", json{"a", "reports"}).ok());
  json none = Claims();
  none.erase("aud");
  EXPECT_THAT(With(Header(), none), Refused("\"aud\" is missing"));
  EXPECT_THAT(WithClaim("aud", json::array()), Refused("\"aud\" is empty"));
  EXPECT_THAT(WithClaim("aud", json::array({"reports", 1})), Refused("not a string"));
  EXPECT_THAT(WithClaim("aud", json{{"reports", 1}}), Refused("neither a string nor an array"));
  EXPECT_THAT(WithClaim("aud", nullptr), Refused("neither a string nor an array"));
}

TEST_F(JwtSvidTest, EndsWithoutLeeway) {  // RFC 7519 §4.1.4
  const std::string token = Issue().token();
  EXPECT_TRUE(Validate(token, kNow + minutes(5) - std::chrono::milliseconds(1)).ok());
  EXPECT_THAT(Validate(token, kNow + minutes(5)), FailsWith(kUnauthenticated, "expired"));
}

TEST_F(JwtSvidTest, BeginsWithAMinuteOfLeeway) {
  for (const char* name : {"nbf", "iat"}) {
    EXPECT_TRUE(WithClaim(name, NumericSeconds(kNow + seconds(60))).ok()) << name;
    EXPECT_EQ(WithClaim(name, NumericSeconds(kNow + seconds(61))).status().code(), kUnauthenticated) << name;
    EXPECT_EQ(WithClaim(name, static_cast<double>(NumericSeconds(kNow + seconds(60))) + 0.5).status().code(),
              kUnauthenticated)
        << name;
    EXPECT_TRUE(WithClaim(name, 0).ok());
  }
}

TEST_F(JwtSvidTest, TimesAreNumbersThatMakeSense) {
  json none = Claims();
  none.erase("exp");
  EXPECT_THAT(With(Header(), none), Refused("\"exp\" is missing"));
  for (const char* name : {"exp", "nbf", "iat"}) {
    for (const json& value : {json("1767225900"), json(nullptr), json(true), json::array(), json::object()}) {
      EXPECT_THAT(WithClaim(name, value), Refused("is not a number")) << name << value;
    }
    for (const json& value : {json(-1), json(253402300800), json(1e300), json(~std::uint64_t{0})}) {
      EXPECT_THAT(WithClaim(name, value), Refused("is not a time")) << name << value;
    }
  }
  // A fraction is allowed (RFC 7519 §2), and never makes it live longer.
  EXPECT_EQ(Get(WithClaim("exp", 1767225900.75)).expires(), TimePoint(seconds(1767225900)));
}

TEST_F(JwtSvidTest, TypIsJwtOrJoseOrAbsent) {  // JWT-SVID §2.3
  EXPECT_TRUE(With(Header(), Claims()).ok());
  EXPECT_TRUE(WithHeader("typ", "JWT").ok());
  EXPECT_TRUE(WithHeader("typ", "JOSE").ok());
  for (const char* type : {"", "jwt", "wit+jwt", "at+jwt", "application/jwt", "JWT "}) {
    EXPECT_THAT(WithHeader("typ", type), Refused("neither JWT nor JOSE")) << type;
  }
}

TEST_F(JwtSvidTest, NamesItsKey) {
  json header = Header();
  header.erase("kid");
  EXPECT_THAT(With(header, Claims()), Refused("\"kid\" is missing"));
  EXPECT_THAT(WithHeader("kid", ""), Refused("\"kid\" is missing"));
  EXPECT_THAT(WithHeader("kid", "another"), FailsWith(kUnauthenticated, "no key with the ID"));
}

TEST_F(JwtSvidTest, TheSubjectIsASpiffeId) {
  json none = Claims();
  none.erase("sub");
  EXPECT_THAT(With(Header(), none), Refused("\"sub\" is missing"));
  for (const char* subject :
       {"", "alice", "https://example.org/a", "spiffe://", "spiffe://example.org/a/", "spiffe://EXAMPLE.org/a"}) {
    EXPECT_THAT(WithClaim("sub", subject), Refused("\"sub\"")) << subject;
  }
  EXPECT_THAT(WithClaim("sub", 1), Refused("\"sub\" is missing or not a string"));
}

TEST_F(JwtSvidTest, ANameThatStandsTwiceIsRefusedInHeaderAndClaims) {
  const std::string claims = Claims().dump(), header = Header().dump();
  EXPECT_THAT(Validate(SignedToken(key_, header, R"({"sub":"spiffe://example.org/admin",)" + claims.substr(1))),
              Refused("twice"));
  EXPECT_THAT(Validate(SignedToken(key_, R"({"kid":"x",)" + header.substr(1), claims)), Refused("twice"));
}

TEST_F(JwtSvidTest, ClaimsAreOneObject) {
  for (const char* payload : {"", "[]", "1", "{}{}", "null", "\"x\""}) {
    EXPECT_THAT(Validate(SignedToken(key_, Header().dump(), payload)), Refused("its claims")) << payload;
  }
  json claims = Claims();
  for (int depth = 0; depth < 20; ++depth) claims["deep"] = json::array({claims["deep"]});
  EXPECT_THAT(With(Header(), claims), Refused("more than 16 deep"));
}

TEST_F(JwtSvidTest, OnlyItsOwnTrustDomainsKeysCount) {  // Workload API §6.3
  const std::string token = Get(JwtSvid::Issue(signer_, {.id = Id("spiffe://other.org/a"),
                                                         .audiences = {"reports"},
                                                         .issued_at = kNow,
                                                         .expires = kNow + minutes(1)}))
                                .token();
  EXPECT_THAT(Validate(token), FailsWith(kUnauthenticated, "no bundle"));
  bundles_.Put(Get(Bundle::Create(Td("other.org"), {})));
  EXPECT_THAT(Validate(token), FailsWith(kUnauthenticated, "no key with the ID"));
  // The neighbour's key under our key's ID does not help it to speak for us, nor ours to speak for it.
  const PrivateKey theirs = Get(PrivateKey::Generate(KeyType::kEcP256));
  bundles_.Put(
      Get(Bundle::Create(Td("other.org"), {}, {},
                         {.jwt = {Get(JwtAuthority::Create(signer_.authority().key_id(), theirs.public_key()))}})));
  EXPECT_THAT(Validate(token), FailsWith(kUnauthenticated, "not valid"));
  EXPECT_THAT(Validate(SignedToken(theirs, Header().dump(), Claims().dump())),
              FailsWith(kUnauthenticated, "not valid"));
  json foreign = Claims();
  foreign["sub"] = "spiffe://other.org/a";
  EXPECT_EQ(Get(Validate(SignedToken(theirs, Header().dump(), foreign.dump()))).id(), Id("spiffe://other.org/a"));
}

TEST_F(JwtSvidTest, AKeyForWitSvidsVouchesForNone) {  // WIT-SVID §7.1
  const std::string token = Issue().token();
  Trust({}, {signer_.authority()});
  EXPECT_THAT(Validate(token), FailsWith(kUnauthenticated, "no key with the ID"));
}

TEST_F(JwtSvidTest, AnAuthorityThatHasExpiredVouchesForNothing) {
  const std::string token = Issue().token();
  Trust({Get(JwtAuthority::Create(key_.public_key(), kNow + seconds(10)))});
  EXPECT_TRUE(Validate(token, kNow + seconds(9)).ok());
  EXPECT_THAT(Validate(token, kNow + seconds(10)), FailsWith(kUnauthenticated, "not valid any more"));
}

// The classic: an RSA key's owner is made to check a "shared secret" that is its public key, or an EC key an RSA
// signature.
TEST_F(JwtSvidTest, TheHeaderDoesNotChooseWhatAKeyIsUsedFor) {
  for (const char* alg : {"HS256", "none"}) EXPECT_THAT(WithHeader("alg", alg), Refused("\"alg\" is none of"));
  for (const char* alg : {"RS256", "PS256", "ES384", "ES512"}) {
    EXPECT_THAT(WithHeader("alg", alg), FailsWith(kUnauthenticated, "is not made with P-256 keys")) << alg;
  }
}

TEST_F(JwtSvidTest, ATokenOfAStrangerIsNotSavedByAKeyThatItBrings) {
  const PrivateKey stranger = Get(PrivateKey::Generate(KeyType::kEcP256));
  nlohmann::ordered_json jwk;
  Get(JwkMembersOf(stranger.public_key())).PutInto(jwk);
  json header = Header();
  header["jwk"] = json::parse(jwk.dump());
  EXPECT_THAT(Validate(SignedToken(stranger, header.dump(), Claims().dump())), Refused("\"jwk\""));
  EXPECT_THAT(Validate(SignedToken(stranger, Header().dump(), Claims().dump())),
              FailsWith(kUnauthenticated, "not valid"));
}

TEST_F(JwtSvidTest, ReadingWithoutVerifyingChecksTheProfile) {
  const JwtSvid svid = Get(JwtSvid::ParseUnverified(kTokenVectors[0].token));
  EXPECT_EQ(svid.id(), Id("spiffe://example.org/other"));
  EXPECT_THAT(JwtSvid::ParseUnverified("x"), Refused("read JWT-SVID: a token has three parts"));
  EXPECT_THAT(JwtSvid::ParseUnverified(Unsigned(R"({"alg":"ES256","kid":"k"})", "{}")), Refused("\"sub\""));
}

TEST_F(JwtSvidTest, ErrorsDoNotQuoteTheToken) {
  for (const Status& status : {WithClaim("aud", json{{"secret", 1}}).status(), WithClaim("exp", "secret").status(),
                               WithHeader("alg", "secret").status(), WithHeader("typ", "secret").status(),
                               Validate("secret").status(), Validate(Issue().token(), kNow, "secret").status()}) {
    EXPECT_FALSE(status.ok());
    EXPECT_EQ(Message(status).find("secret"), std::string_view::npos) << status;
  }
}

}  // namespace
}  // namespace lanyard::testing
