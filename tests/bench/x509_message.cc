#include "tests/bench/x509_message.h"

#include <algorithm>
#include <ctime>

#include "tests/bench/message_fields.h"

namespace lanyard::bench {
namespace {

struct Element {
  unsigned char tag;
  std::string_view content;
};

std::optional<Element> TakeElement(std::string_view& bytes) {
  if (bytes.size() < 2) return std::nullopt;
  const auto tag = static_cast<unsigned char>(bytes[0]);
  size_t length = static_cast<unsigned char>(bytes[1]);
  bytes.remove_prefix(2);
  if (length > 0x80) {
    size_t left = length - 0x80;
    if (left > 4 || left > bytes.size()) return std::nullopt;
    for (length = 0; left > 0; --left) {
      length = length << 8 | static_cast<unsigned char>(bytes.front());
      bytes.remove_prefix(1);
    }
  }
  if (length > bytes.size()) return std::nullopt;
  const Element element{tag, bytes.substr(0, length)};
  bytes.remove_prefix(length);
  return element;
}

// UTCTime has two digits of the year, GeneralizedTime four (RFC 5280 §4.1.2.5).
std::optional<int64_t> Seconds(const Element& time) {
  constexpr unsigned char kUtcTime = 0x17;
  const size_t years = time.tag == kUtcTime ? 2 : 4;
  if (time.content.size() != years + 11 || time.content.back() != 'Z') return std::nullopt;
  const std::string_view digits = time.content.substr(0, years + 10);
  if (!std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; })) return std::nullopt;
  const auto two = [&](size_t at) { return (digits[at] - '0') * 10 + digits[at + 1] - '0'; };
  const int year = years == 4 ? two(0) * 100 + two(2) : two(0) + (two(0) < 50 ? 2000 : 1900);
  std::tm parts{};
  parts.tm_year = year - 1900;
  parts.tm_mon = two(years) - 1;
  parts.tm_mday = two(years + 2);
  parts.tm_hour = two(years + 4);
  parts.tm_min = two(years + 6);
  parts.tm_sec = two(years + 8);
  return timegm(&parts);
}

}  // namespace

std::optional<int64_t> NotAfter(std::string_view chain) {
  constexpr unsigned char kSequence = 0x30, kVersion = 0xa0;
  auto certificate = TakeElement(chain);
  if (!certificate || certificate->tag != kSequence) return std::nullopt;
  auto part = TakeElement(certificate->content);  // the part that is signed
  if (!part || part->tag != kSequence) return std::nullopt;
  std::string_view rest = part->content;
  part = TakeElement(rest);
  if (part && part->tag == kVersion) part = TakeElement(rest);
  for (int i = 0; part && i < 3; ++i) part = TakeElement(rest);  // from the serial to algorithm, issuer, validity
  if (!part) return std::nullopt;
  rest = part->content;
  if (!TakeElement(rest)) return std::nullopt;
  const auto not_after = TakeElement(rest);
  return not_after ? Seconds(*not_after) : std::nullopt;
}

std::optional<X509Message> ReadX509Message(std::string_view message) {
  X509Message read;
  while (!message.empty()) {
    const auto field = TakeField(message);
    if (!field) return std::nullopt;
    if (field->number != 1) continue;
    std::string_view svid = field->content;
    unsigned there = 0;
    std::optional<int64_t> expires_at;
    while (!svid.empty()) {
      const auto part = TakeField(svid);
      if (!part) return std::nullopt;
      if (part->number < 8 && !part->content.empty()) there |= 1U << part->number;
      if (part->number == 2) expires_at = NotAfter(part->content);
    }
    constexpr unsigned kAll = 1U << 1 | 1U << 2 | 1U << 3 | 1U << 4;  // ID, chain, key, bundle
    if ((there & kAll) != kAll || !expires_at) return std::nullopt;
    read.expires_at = read.svids == 0 ? *expires_at : std::min(read.expires_at, *expires_at);
    ++read.svids;
  }
  if (read.svids == 0) return std::nullopt;
  return read;
}

}  // namespace lanyard::bench
