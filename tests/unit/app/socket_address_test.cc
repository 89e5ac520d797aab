#include "node_agent/app/socket_address.h"

#include <gmock/gmock.h>
#include <stdlib.h>

#include "workload_api/client/endpoint.h"

namespace lanyard {
namespace {

using testing::HasSubstr;

std::string Parsed(std::string_view address) {
  const Result<std::string> path = ParseSocketAddress(address);
  return path.ok() ? *path : "error: " + std::string(Message(path.status()));
}

TEST(SocketAddressTest, ReadsTheThreeWaysToWriteAPath) {
  EXPECT_EQ(Parsed("unix:///run/lanyard/workload.sock"), "/run/lanyard/workload.sock");
  EXPECT_EQ(Parsed("unix:/run/lanyard/workload.sock"), "/run/lanyard/workload.sock");
  EXPECT_EQ(Parsed("/run/lanyard/workload.sock"), "/run/lanyard/workload.sock");
  EXPECT_EQ(Parsed("/odd:name"), "/odd:name");
}

TEST(SocketAddressTest, RefusesTcpWithTheReason) {
  EXPECT_THAT(Parsed("tcp://127.0.0.1:8081"), HasSubstr("does not say who is calling"));
}

TEST(SocketAddressTest, RefusesWhatTheStandardDoes) {
  EXPECT_THAT(Parsed("unix://host/run/w.sock"), HasSubstr("host before the path"));
  EXPECT_THAT(Parsed("unix:run/w.sock"), HasSubstr("must be absolute"));
  EXPECT_THAT(Parsed("unix:///run/w.sock?x=1"), HasSubstr("query or fragment"));
  EXPECT_THAT(Parsed("unix:///run/w.sock#top"), HasSubstr("query or fragment"));
  EXPECT_THAT(Parsed("http://localhost"), HasSubstr("scheme must be unix"));
  EXPECT_THAT(Parsed("run/w.sock"), HasSubstr("must be absolute"));
  EXPECT_THAT(Parsed(""), HasSubstr("must be absolute"));
  EXPECT_THAT(Parsed(std::string_view("/run/w\0.sock", 12)), HasSubstr("zero byte"));
}

TEST(SocketAddressTest, RefusesPathsThatDoNotFitIntoASocketAddress) {
  EXPECT_EQ(Parsed("/" + std::string(106, 'x')).size(), 107u);
  EXPECT_THAT(Parsed("/" + std::string(107, 'x')), HasSubstr("108 bytes"));
}

class SocketFromEnvironmentTest : public testing::Test {
 protected:
  void SetUp() override {
    unsetenv("SPIFFE_ENDPOINT_SOCKET");
    unsetenv("LANYARD_ADMIN_SOCKET");
  }
  void TearDown() override { SetUp(); }
};

TEST_F(SocketFromEnvironmentTest, AFlagComesBeforeTheEnvironmentBeforeTheDefault) {
  EXPECT_EQ(*ResolveWorkloadSocket(""), "/run/lanyard/workload.sock");
  EXPECT_EQ(*ResolveAdminSocket(""), "/run/lanyard-admin/admin.sock");
  setenv("SPIFFE_ENDPOINT_SOCKET", "unix:///tmp/env.sock", 1);
  setenv("LANYARD_ADMIN_SOCKET", "/tmp/admin-env.sock", 1);
  EXPECT_EQ(*ResolveWorkloadSocket(""), "/tmp/env.sock");
  EXPECT_EQ(*ResolveAdminSocket(""), "/tmp/admin-env.sock");
  EXPECT_EQ(*ResolveWorkloadSocket("/tmp/flag.sock"), "/tmp/flag.sock");
}

TEST_F(SocketFromEnvironmentTest, SaysWhereABadAddressCameFrom) {
  setenv("SPIFFE_ENDPOINT_SOCKET", "tcp://127.0.0.1:8081", 1);
  EXPECT_THAT(std::string(Message(ResolveWorkloadSocket("").status())), HasSubstr("$SPIFFE_ENDPOINT_SOCKET"));
  EXPECT_THAT(std::string(Message(ResolveWorkloadSocket("relative").status())), HasSubstr("--socket"));
}

}  // namespace
}  // namespace lanyard
