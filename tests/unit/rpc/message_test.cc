#include <gtest/gtest.h>

#include "node_agent/rpc/call.h"
#include "tests/unit/rpc/echo.pb.h"

namespace lanyard {
namespace {

TEST(MessageTest, SharedBytesParseBackAndCopiesShareTheSlice) {
  test::Words words;
  words.set_text(std::string(3000, 'x'));
  grpc::ByteBuffer first = SerializeShared(words);
  grpc::ByteBuffer second = first;
  std::vector<grpc::Slice> a, b;
  ASSERT_TRUE(first.Dump(&a).ok());
  ASSERT_TRUE(second.Dump(&b).ok());
  ASSERT_EQ(a.size(), 1u);
  EXPECT_EQ(a[0].begin(), b[0].begin());
  test::Words back;
  EXPECT_TRUE(ParseMessage(second, back).ok());
  EXPECT_EQ(back.text(), words.text());
}

TEST(MessageTest, AnEmptyMessageIsAMessage) {
  grpc::ByteBuffer bytes = SerializeShared(test::Words());
  test::Words back;
  EXPECT_TRUE(ParseMessage(bytes, back).ok());
}

TEST(MessageTest, BytesThatAreNoMessageAreInvalid) {
  grpc::Slice slice(
      std::string("\x0a\x7f"
                  "too short"));
  grpc::ByteBuffer bytes(&slice, 1);
  test::Words back;
  EXPECT_EQ(ParseMessage(bytes, back).code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace lanyard
