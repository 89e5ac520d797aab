// validate jwt against an agent that a test plays.
#include "node_agent/app/cli.h"
#include "pki/jws.h"
#include "tests/unit/app/token_fixture.h"

namespace lanyard {
namespace {

class ValidateTest : public TokenTest {
 protected:
  ValidateTest() { input_ = token_ + "\n"; }

  Ran Validate(std::vector<std::string> more = {}) {
    std::vector<std::string> line = {"validate", "jwt", "--audience", "reports"};
    line.insert(line.end(), more.begin(), more.end());
    return Lanyard(line);
  }

  const std::string token_ = tokens_.Jwt("/agent").svid();
};

TEST_F(ValidateTest, PrintsTheClaimsOfATokenThatTheAgentBelieves) {
  const Ran text = Validate();
  EXPECT_EQ(text.code, kExitOk) << text.err;
  EXPECT_THAT(text.out,
              AllOf(testing::StartsWith("spiffe://example.org/agent\n"), HasSubstr("aud "), HasSubstr("exp ")));
  EXPECT_EQ(api_.validate_request.svid(), token_);
  EXPECT_EQ(api_.validate_request.audience(), "reports");
  const auto json = nlohmann::json::parse(Validate({"--output", "json"}).out, nullptr, false);
  EXPECT_EQ(json.value("spiffe_id", ""), "spiffe://example.org/agent");
  EXPECT_EQ(json["claims"]["aud"], (nlohmann::json{"reports", "billing"}));
  EXPECT_TRUE(json["claims"]["exp"].is_number_integer());
}

TEST_F(ValidateTest, ClaimsThatTheAgentKeepsBackAreNotPrinted) {
  for (const char* output : {"text", "json"}) {
    const Ran ran = Validate({"--output", output});
    EXPECT_THAT(ran.out, AllOf(HasSubstr("sub"), Not(HasSubstr("jti")), Not(HasSubstr("iat"))));
  }
}

TEST_F(ValidateTest, AnArgumentComesBeforeStandardInput) {
  const std::string other = tokens_.Jwt("/agent").svid();
  EXPECT_EQ(Validate({other}).code, kExitOk);
  EXPECT_EQ(api_.validate_request.svid(), other);
}

TEST_F(ValidateTest, WhiteSpaceAroundTheTokenIsNotTheTokens) {
  input_ = "  \r\n" + token_ + " \r\n\n";
  EXPECT_EQ(Validate().code, kExitOk);
  EXPECT_EQ(api_.validate_request.svid(), token_);
}

TEST_F(ValidateTest, ATokenThatDoesNotCountIsFourWithTheReason) {
  api_.status = grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "it has expired\x1b[2J");
  const Ran ran = Validate();
  EXPECT_EQ(ran.code, kExitDenied);
  EXPECT_THAT(ran.out, IsEmpty());
  EXPECT_THAT(ran.err, AllOf(HasSubstr("not valid: it has expired"), Not(HasSubstr("\x1b")), Not(HasSubstr(token_))));
}

TEST_F(ValidateTest, WhatIsNoTokenIsFourAndNotSentToTheAgent) {
  for (const std::string& garbage : {std::string("garbage"), token_.substr(0, 40), tokens_.Wit("/agent").wit_svid()}) {
    const Ran ran = Validate({garbage});
    EXPECT_EQ(ran.code, kExitDenied);
    EXPECT_THAT(ran.err, AllOf(HasSubstr("not valid: read JWT-SVID"), Not(HasSubstr(garbage))));
  }
  EXPECT_EQ(api_.calls, 0);
}

TEST_F(ValidateTest, NoTokenAtAllIsWrongUsage) {
  for (const std::string& input : {std::string(), std::string(" \n"), std::string(kMaxTokenBytes + 2000, 'a')}) {
    input_ = input;
    const Ran ran = Validate();
    EXPECT_EQ(ran.code, kExitUsage);
    EXPECT_THAT(ran.err, HasSubstr("from standard input"));
  }
}

TEST_F(ValidateTest, AnAnswerAboutSomebodyElseIsNotBelieved) {
  api_.validated.set_spiffe_id("spiffe://example.org/admin");
  const Ran ran = Validate();
  EXPECT_EQ(ran.code, kExitFailed);
  EXPECT_THAT(ran.out, IsEmpty());
}

TEST_F(ValidateTest, AnAgentThatCannotSaySaysNothingAboutTheToken) {
  api_.status = grpc::Status(grpc::StatusCode::UNAVAILABLE, "no bundle yet");
  const Ran unavailable = Validate();
  EXPECT_EQ(unavailable.code, kExitFailed);
  EXPECT_THAT(unavailable.err, AllOf(HasSubstr("no bundle yet"), Not(HasSubstr("not valid"))));
  {
    const std::lock_guard lock(api_.mutex);
    api_.status = grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "no identity issued");
  }
  const Ran denied = Validate();
  EXPECT_EQ(denied.code, kExitDenied);
  EXPECT_THAT(denied.err, AllOf(HasSubstr("matches this process"), Not(HasSubstr("not valid"))));
}

}  // namespace
}  // namespace lanyard
