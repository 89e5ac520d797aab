#include "node_agent/app/agent_endpoints.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <nlohmann/json.hpp>

#include "tests/support/fake_clock.h"
#include "tests/support/fake_records.h"
#include "tests/support/loop_driver.h"
#include "tests/unit/app/observe_fixture.h"

namespace lanyard {
namespace {

using testing::HasSubstr;
using testing::StartsWith;
using namespace std::chrono_literals;

class AgentEndpointsTest : public testing::Test {
 protected:
  std::unique_ptr<AgentEndpoints> Start(const EndpointOptions& options) {
    return AgentEndpoints::Start(
        loop_, options, [] { return std::string("lanyard_ready 1\n"); }, [this] { return readiness_; });
  }
  void Serve(const EndpointOptions& options) {
    endpoints_ = Start(options);
    ASSERT_TRUE(endpoints_->problem().ok()) << endpoints_->problem();
  }
  std::string Get(const HttpServer& server, std::string_view path) {
    UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(server.port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    const std::string request = fmt::format("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", path);
    EXPECT_EQ(send(fd.get(), request.data(), request.size(), 0), static_cast<ssize_t>(request.size()));
    std::string answer;
    EXPECT_TRUE(RunUntil(loop_, [&] {
      char bytes[4096];
      const ssize_t got = recv(fd.get(), bytes, sizeof(bytes), MSG_DONTWAIT);
      if (got > 0) answer.append(bytes, static_cast<size_t>(got));
      return got == 0;
    }));
    return answer;
  }

  const HttpAddress any_{.ip = "127.0.0.1"};
  EventLoop loop_;
  Readiness readiness_{{.component = "ca", .text = "signs", .expires = 100s}};
  std::unique_ptr<AgentEndpoints> endpoints_;
};

TEST_F(AgentEndpointsTest, ServesEverythingOnOneAddressWhenTheTwoAreEqual) {
  Serve({.metrics = any_, .health = any_});
  ASSERT_EQ(endpoints_->metrics(), endpoints_->health());
  EXPECT_THAT(Get(*endpoints_->metrics(), "/metrics"), HasSubstr("text/plain; version=0.0.4"));
  EXPECT_THAT(Get(*endpoints_->metrics(), "/live"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Get(*endpoints_->metrics(), "/ready"), StartsWith("HTTP/1.1 200"));
}

TEST_F(AgentEndpointsTest, ShowsNoMetricsOnTheAddressOfHealth) {
  Serve({.health = any_});
  EXPECT_EQ(endpoints_->metrics(), nullptr);
  EXPECT_THAT(Get(*endpoints_->health(), "/metrics"), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(Get(*endpoints_->health(), "/live"), StartsWith("HTTP/1.1 200"));
}

TEST_F(AgentEndpointsTest, SaysInJsonWhichPartIsNotReady) {
  Serve({.health = any_});
  readiness_.push_back({.component = "audit", .ok = false, .text = "disk \"full\"", .age = 7s});
  const std::string answer = Get(*endpoints_->health(), "/ready");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(answer, HasSubstr("Content-Type: application/json"));
  const auto json = nlohmann::json::parse(answer.substr(answer.find("\r\n\r\n")), nullptr, false);
  EXPECT_EQ(json, nlohmann::json::parse(R"({"ready": false, "components": {
      "ca": {"ok": true, "text": "signs", "expires_in_seconds": 100},
      "audit": {"ok": false, "text": "disk \"full\"", "age_seconds": 7}}})"));
}

TEST_F(AgentEndpointsTest, APortThatIsTakenIsNamedWithItsSettingAndTakesNothingElseAway) {
  Serve({.health = any_});
  const HttpAddress taken = endpoints_->health()->address();
  const auto second = Start({.metrics = taken, .health = any_});
  EXPECT_THAT(std::string(Message(second->problem())), StartsWith("endpoints.metrics: listen on 127.0.0.1:"));
  EXPECT_EQ(second->metrics(), nullptr);
  ASSERT_NE(second->health(), nullptr);
  EXPECT_THAT(Get(*second->health(), "/live"), StartsWith("HTTP/1.1 200"));
}

class ReadinessTest : public testing::Test {
 protected:
  ReadinessTest() {
    ca_.authorities = {{.id = "aa",
                        .phase = AuthorityPhase::kActive,
                        .key_type = "ec-p256",
                        .not_before = now_,
                        .not_after = now_ + 60s}};
    state_.shown.last_commit = now_ - 5s;
    audit_.shown.last_write = now_ - 6s;
  }
  Readiness Collect() {
    return CollectReadiness({.now = now_,
                             .registry_good = now_ - 4s,
                             .registry_problems = problems_,
                             .ca = ca_,
                             .state = &state_,
                             .audit = &audit_});
  }

  const WallTime now_ = FakeClock().WallNow();
  size_t problems_ = 0;
  ShownCa ca_;
  EventLoop loop_;
  FakeStateStore state_{loop_};
  FakeAuditLog audit_{loop_};
};

TEST_F(ReadinessTest, TellsTheAgeOfEachPart) {
  const Readiness readiness = Collect();
  EXPECT_TRUE(IsReady(readiness));
  ASSERT_EQ(readiness.size(), 4u);
  EXPECT_EQ(readiness[0].age, 4s);
  EXPECT_EQ(readiness[1].expires, 60s);
  EXPECT_EQ(readiness[2].age, 5s);
  EXPECT_EQ(readiness[3].age, 6s);
}

TEST_F(ReadinessTest, ABrokenRegistryFileIsSaidButServedOn) {
  problems_ = 2;
  EXPECT_TRUE(IsReady(Collect()));
  EXPECT_THAT(Collect()[0].text, HasSubstr("2 problems"));
}

TEST_F(ReadinessTest, IsNotReadyWithoutAnAuthorityThatSigns) {
  ca_.authorities[0].phase = AuthorityPhase::kPrepared;
  EXPECT_FALSE(IsReady(Collect()));
}

TEST_F(ReadinessTest, IsNotReadyWithAnExpiredAuthority) {
  ca_.authorities[0].not_after = now_;
  EXPECT_FALSE(IsReady(Collect()));
}

TEST_F(ReadinessTest, IsNotReadyWhenNothingCanBePutOnRecord) {
  audit_.report = {HealthLevel::kDegraded, "the disk is slow"};
  EXPECT_TRUE(IsReady(Collect()));
  audit_.report = {HealthLevel::kBroken, "the disk is full"};
  EXPECT_FALSE(IsReady(Collect()));
  audit_.report = {};
  state_.report = {HealthLevel::kBroken, "the disk is full"};
  EXPECT_FALSE(IsReady(Collect()));
}

}  // namespace
}  // namespace lanyard
