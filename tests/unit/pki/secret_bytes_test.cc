#include "pki/secret_bytes.h"

#include <fmt/format.h>

#include <ostream>
#include <type_traits>
#include <utility>

#include "pki/key.h"
#include "tests/unit/pki/pki_testing.h"

namespace lanyard::testing {
namespace {

template <class T>
concept Streamable = requires(std::ostream& out, const T& value) { out << value; };

// What must not compile anywhere: a second owner by accident, and printing.
static_assert(!std::is_copy_constructible_v<SecretBytes> && !std::is_copy_assignable_v<SecretBytes>);
static_assert(!std::is_convertible_v<SecretBytes, std::string_view>);
static_assert(!Streamable<SecretBytes> && !fmt::is_formattable<SecretBytes>::value);
static_assert(!Streamable<PrivateKey> && !fmt::is_formattable<PrivateKey>::value);

TEST(SecretBytesTest, MovingLeavesNothingBehind) {
  SecretBytes first = SecretBytes::CopyOf("secret");
  const char* address = first.data();
  SecretBytes second = std::move(first);
  EXPECT_EQ(second.expose(), "secret");
  EXPECT_EQ(second.data(), address);
  EXPECT_TRUE(first.empty());  // NOLINT: the moved-from state is what is tested
  EXPECT_EQ(first.data(), nullptr);
  first = std::move(second);
  EXPECT_EQ(first.expose(), "secret");
}

TEST(SecretBytesTest, AClonesBytesAreItsOwn) {
  SecretBytes first = SecretBytes::CopyOf("secret");
  const SecretBytes second = first.Clone();
  first.mutable_data()[0] = 'S';
  EXPECT_EQ(second.expose(), "secret");
}

TEST(SecretBytesTest, WipingOverwritesEveryByte) {
  char bytes[] = "secret";
  WipeMemory(bytes, sizeof bytes);
  for (const char c : bytes) EXPECT_EQ(c, '\0');
}

}  // namespace
}  // namespace lanyard::testing
