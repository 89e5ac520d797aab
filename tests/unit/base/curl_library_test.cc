#include "node_agent/base/curl_library.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lanyard {
namespace {

using testing::HasSubstr;

TEST(CurlLibraryTest, SaysWhatToInstallWhereItIsMissing) {
  const Status status = OpenCurl("liblanyard-has-no-such.so.4").status();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(Message(status)), HasSubstr("load libcurl: liblanyard-has-no-such.so.4: cannot open"));
  EXPECT_THAT(std::string(Message(status)), HasSubstr("install the package libcurl4"));
}

TEST(CurlLibraryTest, TakesNoOtherLibraryForIt) {
  const Status status = OpenCurl("libm.so.6").status();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(Message(status)), HasSubstr("libm.so.6 is not the library that we know"));
}

TEST(CurlLibraryTest, IsLoadedOnce) {
  ASSERT_TRUE(LoadCurl().ok()) << LoadCurl().status();
  EXPECT_EQ(*LoadCurl(), *LoadCurl());
}

}  // namespace
}  // namespace lanyard
