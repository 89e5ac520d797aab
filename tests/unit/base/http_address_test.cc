#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "node_agent/base/http_server.h"

namespace lanyard {
namespace {

using testing::HasSubstr;

TEST(HttpAddressTest, ReadsAddressesWithPorts) {
  EXPECT_EQ(*ParseHttpAddress("127.0.0.1:9464"), (HttpAddress{"127.0.0.1", 9464}));
  EXPECT_EQ(*ParseHttpAddress("[::1]:0"), (HttpAddress{"::1", 0}));
  EXPECT_EQ(ParseHttpAddress("[0:0::1]:80")->str(), "[::1]:80");
  EXPECT_TRUE(ParseHttpAddress("127.9.9.9:1")->IsLoopback());
  EXPECT_FALSE(ParseHttpAddress("0.0.0.0:1")->IsLoopback());
}

TEST(HttpAddressTest, RefusesEverythingElseAndSaysWhatToWrite) {
  for (const std::string_view text :
       {"", "9464", ":9464", "localhost:9464", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1",
        "127.0.0.1:94a", "127.0.0.1: 9464", "::1:9464", "[127.0.0.1]:9464", "[::1]", "[::1]9464", "127.1:80",
        "http://127.0.0.1:9464", "[]:1"}) {
    const auto parsed = ParseHttpAddress(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_THAT(std::string(Message(parsed.status())), HasSubstr("e.g. 127.0.0.1:9464")) << text;
  }
  EXPECT_FALSE(ParseHttpAddress(std::string_view("127.0.0.1\0x:80", 14)).ok());
}

}  // namespace
}  // namespace lanyard
