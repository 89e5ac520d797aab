// Whom the HTTP client believes over TLS, and by what it is believed itself.

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <fstream>
#include <thread>

#include "tests/unit/base/https_fixture.h"

namespace lanyard {
namespace {

using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class HttpsTrustTest : public HttpsFixture {};

TEST_F(HttpsTrustTest, AsksAServerWhoseChainAndNameAreRight) {
  Serve(HttpOk("pods"));
  for (const char* name : {"node1", "127.0.0.1", ""}) {
    TlsSettings tls = Tls();
    tls.server_name = name;
    Connect(tls);
    const Result<HttpAnswer> answer = Answer();
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->body, "pods");
    EXPECT_EQ(front_->Line(), "open");
  }
  EXPECT_THAT(server_->requests()[0], AllOf(StartsWith("GET /pods HTTP/1.1\r\nHost: node1:"),
                                            HasSubstr(fmt::format("\r\nAuthorization: Bearer {}\r\n", kToken))));
  EXPECT_THAT(server_->requests()[2], HasSubstr(fmt::format("\r\nHost: 127.0.0.1:{}\r\n", front_->port())));
}

TEST_F(HttpsTrustTest, SendsNoTokenToAServerThatAnotherAuthoritySignedFor) {
  MakeAuthority("evil");  // of the same name
  certs_.MakeCertificate("forged", "evil", "subjectAltName=DNS:node1,IP:127.0.0.1\n");
  certs_.MakeCertificate("self", "", "subjectAltName=DNS:node1,IP:127.0.0.1\n");
  for (const char* certificate : {"forged", "self"}) {
    Serve(HttpOk("believe me"), certificate);
    Connect(Tls());
    EXPECT_THAT(Refusal(StatusCode::kPermissionDenied),
                AllOf(StartsWith(Url() + ": its certificate is not signed by an authority of "), HasSubstr("ca.crt")));
    EXPECT_THAT(front_->Line(), AllOf(StartsWith("refused: "), HasSubstr("ALERT_UNKNOWN_CA")));
    EXPECT_EQ(server_->connections(), 0) << "something was decrypted";
    server_.reset();
  }
}

TEST_F(HttpsTrustTest, BelievesNoAuthorityOfTheMachineBesidesTheGiven) {
  // Under its hash, where libcurl looks for more than it was given.
  const std::string hash = certs_.Run("x509 -noout -subject_hash -in ca.crt").substr(0, 8);
  const std::string authority = certs_.Read("ca.crt");
  MakeAuthority("other", "/CN=other");  // of the same name it would be found first
  Serve(HttpOk("believe me"));
  TlsSettings tls = Tls();
  tls.ca_file = certs_.Path("other.crt");
  Status refusal;
  bool ready = false;
  std::thread([&] {  // with a mount namespace of its own
    ready = unshare(CLONE_NEWNS) == 0 && mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
            mount("none", "/etc/ssl/certs", "tmpfs", 0, nullptr) == 0;
    if (!ready) return;
    for (const std::string& name : {hash + ".0", std::string("ca-certificates.crt")})
      std::ofstream("/etc/ssl/certs/" + name) << authority;
    EventLoop loop;
    HttpClient client(loop, clock_, {.server = TcpServer{.address = "127.0.0.1", .port = front_->port(), .tls = tls}});
    std::optional<Status> status;
    const auto request = client.Get("/pods", token_, clock_.MonoNow() + seconds(5),
                                    [&](const Result<HttpAnswer>& answer) { status = answer.status(); });
    if (RunUntil(loop, [&] { return status.has_value(); })) refusal = *status;
  })
      .join();
  if (!ready) GTEST_SKIP() << "needs root, for authorities of the machine in a mount namespace";
  EXPECT_EQ(refusal.code(), StatusCode::kPermissionDenied) << refusal;
  EXPECT_TRUE(server_->requests().empty());
}

TEST_F(HttpsTrustTest, SendsNoTokenToAServerOfAnotherName) {
  certs_.MakeCertificate("other", "ca", "subjectAltName=DNS:node2,IP:10.0.0.7\n");
  Serve(HttpOk("believe me"), "other");
  Connect(Tls());
  EXPECT_THAT(Refusal(StatusCode::kPermissionDenied),
              StartsWith(Url() + ": its certificate is not for node1 but for DNS:node2, IP Address:10.0.0.7; "));
  EXPECT_EQ(front_->Line(), "open");
  ASSERT_TRUE(RunUntil(loop_, [&] { return server_->connections() == 1; }));
  EXPECT_TRUE(NothingWasSent());
  TlsSettings nobody = Tls();
  nobody.server_name = "10.0.0.8";
  Connect(nobody);
  EXPECT_THAT(Refusal(StatusCode::kPermissionDenied), HasSubstr("not for 10.0.0.8 but for "));
}

TEST_F(HttpsTrustTest, SaysThatACertificateNamesNobody) {
  certs_.MakeCertificate("nameless", "ca", "basicConstraints=CA:FALSE\n");
  Serve(HttpOk("believe me"), "nameless");
  Connect(Tls());
  EXPECT_THAT(Refusal(StatusCode::kPermissionDenied), HasSubstr("is not for node1 but for no name at all"));
}

TEST_F(HttpsTrustTest, SendsNoTokenToAServerWhoseCertificateIsNotValidNow) {
  certs_.MakeKey("old");
  certs_.Run("req -new -key old.key -subj /O=Other -addext subjectAltName=DNS:node1 -out old.csr");
  certs_.Write("old.conf",
               "[ca]\ndefault_ca=c\n[c]\ndatabase=old.index\nserial=old.serial\nnew_certs_dir=.\ndefault_md=sha256\n"
               "policy=p\ncopy_extensions=copy\n[p]\norganizationName=optional\n");
  for (const auto& [from, to, why] : std::vector<std::tuple<std::string, std::string, std::string>>{
           {"20200101000000Z", "20200102000000Z", "has expired; renew it, or set this machine's clock"},
           {"20900101000000Z", "20900102000000Z", "is not valid yet; set the clock"}}) {
    certs_.Write("old.index", "");
    certs_.Write("old.serial", "1000\n");
    certs_.Run("ca -batch -config old.conf -cert ca.crt -keyfile ca.key -in old.csr -startdate " + from + " -enddate " +
               to + " -out old.crt");
    Serve(HttpOk("believe me"), "old");
    Connect(Tls());
    EXPECT_THAT(Refusal(StatusCode::kPermissionDenied), AllOf(StartsWith(Url() + ": its certificate"), HasSubstr(why)));
    EXPECT_THAT(front_->Line(), StartsWith("refused: "));
    EXPECT_EQ(server_->connections(), 0);
    server_.reset();
  }
}

TEST_F(HttpsTrustTest, BelievesWhoeverAnswersWhereVerificationIsSkipped) {
  certs_.MakeCertificate("self", "", "subjectAltName=DNS:node2\n");
  Serve(HttpOk("pods"), "self");
  Connect({.server_name = "node1", .skip_verification = true});
  EXPECT_EQ(Answer()->body, "pods");
}

TEST_F(HttpsTrustTest, ShowsOurCertificateToAServerThatRequiresOne) {
  MakeAuthority("clients");
  certs_.MakeCertificate("we", "clients", "extendedKeyUsage=clientAuth\n");
  certs_.MakeCertificate("stranger", "ca", "extendedKeyUsage=clientAuth\n");
  const auto with = [&](const std::string& name) {
    TlsSettings tls = Tls();
    tls.certificate_file = certs_.Path(name + ".crt");
    tls.key_file = certs_.Path(name + ".key");
    return tls;
  };
  const std::string refused = "it does not accept our certificate " + certs_.Path("stranger.crt") + " (alert";
  for (const std::string version : {"--tls12", ""}) {
    std::vector<std::string> options = {"--clients", certs_.Path("clients.crt")};
    if (!version.empty()) options.push_back(version);
    Serve(HttpOk("pods"), "server", options);
    Connect(with("we"));
    const Result<HttpAnswer> answer = Answer();
    ASSERT_TRUE(answer.ok()) << answer.status();
    // In TLS 1.3 it is chance whether the reason is heard before the connection is reset.
    Connect(with("stranger"));
    const std::string stranger(Message(Answer().status()));
    EXPECT_THAT(stranger, AnyOf(HasSubstr(refused), HasSubstr("it hung up; does it accept our certificate")));
    if (!version.empty()) {
      EXPECT_THAT(stranger, HasSubstr(refused));
    }
    Connect(Tls());
    EXPECT_THAT(std::string(Message(Answer().status())),
                AnyOf(HasSubstr("it wants a certificate of ours, and there is none (alert certificate required)"),
                      HasSubstr("; does it want a certificate of ours?")));
    EXPECT_EQ(server_->requests().size(), 1);
    server_.reset();
  }
}

TEST_F(HttpsTrustTest, SaysWhichOfOurFilesIsOfNoUse) {
  certs_.MakeCertificate("we", "ca", "extendedKeyUsage=clientAuth\n");
  certs_.MakeKey("another");
  certs_.Run("pkey -in we.key -aes128 -passout pass:1234 -out locked.key");
  certs_.MakeKey("open");
  ASSERT_EQ(chmod(certs_.Path("open.key").c_str(), 0644), 0);
  certs_.Write("garbage.crt", "no certificate");
  certs_.Write("empty.crt", "");
  certs_.Write("long.crt", std::string((1 << 20) + 1, 'x'));
  Serve(HttpOk("pods"));
  struct Wrong {
    std::string ca, certificate, key;
    StatusCode code;
    std::string why;
  };
  for (const Wrong& wrong : std::vector<Wrong>{
           {"none.crt", "", "", StatusCode::kNotFound, ": ca_file: open "},
           {"garbage.crt", "", "", StatusCode::kFailedPrecondition, ": ca_file "},
           {"empty.crt", "", "", StatusCode::kFailedPrecondition, ": ca_file "},
           {"long.crt", "", "", StatusCode::kResourceExhausted, ": ca_file: read "},
           {"ca.crt", "none.crt", "we.key", StatusCode::kNotFound, ": certificate_file: open "},
           {"ca.crt", "we.crt", "none.key", StatusCode::kNotFound, ": key_file: open "},
           {"ca.crt", "we.crt", "open.key", StatusCode::kPermissionDenied, ": key_file: "},
           {"ca.crt", "we.crt", "another.key", StatusCode::kFailedPrecondition, ": certificate_file "},
           {"ca.crt", "we.crt", "locked.key", StatusCode::kFailedPrecondition, ": certificate_file "},
           {"ca.crt", "garbage.crt", "we.key", StatusCode::kFailedPrecondition, ": certificate_file "},
       }) {
    TlsSettings tls{.ca_file = certs_.Path(wrong.ca), .server_name = "node1"};
    if (!wrong.certificate.empty()) tls.certificate_file = certs_.Path(wrong.certificate);
    if (!wrong.key.empty()) tls.key_file = certs_.Path(wrong.key);
    Connect(tls);
    EXPECT_THAT(Refusal(wrong.code), StartsWith(Url() + wrong.why)) << wrong.ca << wrong.certificate << wrong.key;
  }
  EXPECT_TRUE(server_->requests().empty());
}

TEST_F(HttpsTrustTest, BelievesARenewedAuthorityFileAtOnce) {
  MakeAuthority("next");
  const std::string ca = dir_.Write("authorities.pem", certs_.Read("ca.crt"));
  Serve(HttpOk("pods"));
  Connect({.ca_file = ca, .server_name = "node1"});
  EXPECT_TRUE(Answer().ok());
  dir_.Write("authorities.pem", certs_.Read("next.crt"));
  Refusal(StatusCode::kPermissionDenied);  // although there is a connection that could be used
  EXPECT_EQ(server_->requests().size(), 1);
  dir_.Write("authorities.pem", certs_.Read("next.crt") + certs_.Read("ca.crt"));
  EXPECT_TRUE(Answer().ok());
  EXPECT_EQ(server_->requests().size(), 2);
}

TEST_F(HttpsTrustTest, ShowsARenewedCertificateAtOnceEvenOnItsOnlyConnection) {
  certs_.MakeCertificate("first", "ca", "extendedKeyUsage=clientAuth\n");
  certs_.MakeCertificate("second", "ca", "extendedKeyUsage=clientAuth\n");
  Serve(HttpOk("pods"), "server", {"--clients", certs_.Path("ca.crt")});
  TlsSettings tls = Tls();
  tls.certificate_file = dir_.Write("we.crt", certs_.Read("first.crt"));
  tls.key_file = dir_.Write("we.key", certs_.Read("first.key"), 0600);
  Connect({.tls = tls}, {.connections = 1});
  EXPECT_TRUE(Answer().ok());
  EXPECT_TRUE(Answer().ok());
  EXPECT_EQ(server_->connections(), 1);
  dir_.Write("we.crt", certs_.Read("second.crt"));
  dir_.Write("we.key", certs_.Read("second.key"), 0600);
  EXPECT_TRUE(Answer().ok());
  EXPECT_EQ(server_->connections(), 2);
}

}  // namespace
}  // namespace lanyard
