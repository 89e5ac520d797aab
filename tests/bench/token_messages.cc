#include "tests/bench/token_messages.h"

#include <algorithm>
#include <charconv>
#include <functional>

#include "pki/base64.h"
#include "tests/bench/message_fields.h"

namespace lanyard::bench {
namespace {

// "exp" of a token that an agent has made. No JSON is parsed: an "exp" in a string would have its quotes escaped.
std::optional<int64_t> ExpiryOf(std::string_view token) {
  const size_t first = token.find('.'), second = token.find('.', first + 1);
  if (first == std::string_view::npos || second == std::string_view::npos) return std::nullopt;
  const auto claims = Base64UrlDecode(token.substr(first + 1, second - first - 1));
  if (!claims.ok()) return std::nullopt;
  constexpr std::string_view kName = "\"exp\":";
  const size_t at = claims->find(kName);
  if (at == std::string::npos) return std::nullopt;
  int64_t seconds = 0;
  const char* end = claims->data() + claims->size();
  if (std::from_chars(claims->data() + at + kName.size(), end, seconds).ec != std::errc()) return std::nullopt;
  return seconds;
}

// The contents of fields 1 and 2; the last of each counts.
std::optional<std::pair<std::string_view, std::string_view>> TwoFields(std::string_view message) {
  std::pair<std::string_view, std::string_view> two;
  while (!message.empty()) {
    const auto field = TakeField(message);
    if (!field) return std::nullopt;
    if (field->number == 1) two.first = field->content;
    if (field->number == 2) two.second = field->content;
  }
  if (two.first.empty() || two.second.empty()) return std::nullopt;
  return two;
}

}  // namespace

std::optional<JwtMessage> ReadJwtMessage(std::string_view message) {
  JwtMessage read;
  while (!message.empty()) {
    const auto field = TakeField(message);
    if (!field || field->number != 1) return std::nullopt;
    const auto svid = TwoFields(field->content);  // spiffe_id and svid
    const auto expires_at = svid ? ExpiryOf(svid->second) : std::nullopt;
    if (!expires_at) return std::nullopt;
    read.expires_at = read.svids == 0 ? *expires_at : std::min(read.expires_at, *expires_at);
    if (read.svids++ == 0) read.first = svid->second;
  }
  if (read.svids == 0) return std::nullopt;
  return read;
}

std::optional<std::string> ReadValidation(std::string_view message) {
  const auto validation = TwoFields(message);  // spiffe_id and claims
  if (!validation) return std::nullopt;
  return std::string(validation->first);
}

std::optional<BundlesMessage> ReadBundlesMessage(std::string_view message, unsigned field) {
  BundlesMessage read;
  while (!message.empty()) {
    const auto part = TakeField(message);
    if (!part) return std::nullopt;
    if (part->number != field) continue;
    if (!TwoFields(part->content)) return std::nullopt;  // trust domain and bundle
    ++read.bundles;
    read.digest += std::hash<std::string_view>()(part->content);
  }
  if (read.bundles == 0) return std::nullopt;
  return read;
}

}  // namespace lanyard::bench
