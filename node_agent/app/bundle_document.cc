#include "node_agent/app/bundle_document.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "node_agent/base/file.h"
#include "node_agent/base/log.h"
#include "pki/digest.h"

namespace lanyard {
namespace {

constexpr std::size_t kMaxFileBytes = 128;

struct Kept {
  std::uint64_t sequence = 0;
  std::string digest;
};

// "SEQUENCE DIGEST\n"; what is no such line says nothing.
Kept ReadKept(const std::string& file) {
  Kept kept;
  const Result<std::string> text = ReadFile(file, kMaxFileBytes);
  if (!text.ok()) return kept;
  std::uint64_t sequence = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), sequence);
  const std::string_view rest(end, static_cast<std::size_t>(text->data() + text->size() - end));
  if (error != std::errc() || rest.size() != 66 || rest.front() != ' ' || rest.back() != '\n') return kept;
  return {sequence, std::string(rest.substr(1, 64))};
}

}  // namespace

BundleDocument::BundleDocument(EventLoop& loop, const Clock& clock, std::string sequence_file,
                               std::chrono::seconds refresh_hint)
    : loop_(loop), clock_(clock), file_(std::move(sequence_file)), refresh_hint_(refresh_hint) {}

void BundleDocument::Show(const Bundle& bundle) {
  newest_ = bundle.ToDocument();
  if (newest_ != shown_ && !numbering_) NumberIt();
}

// Blocks on the disk.
BundleDocument::Numbered BundleDocument::Number(const std::string& file, const std::string& content,
                                                std::uint64_t shown, std::uint64_t least) {
  Sha256 hash;
  hash.Update(content);
  const Result<std::string> digest = hash.FinishHex();
  if (!digest.ok()) return {least, digest.status()};
  const Kept kept = ReadKept(file);
  // What was shown since may not have reached the file.
  if (kept.digest == *digest && kept.sequence > shown) return {kept.sequence, OkStatus()};
  const std::uint64_t sequence = std::max(least, kept.sequence + 1);
  return {sequence, WriteFileAtomic(file, fmt::format("{} {}\n", sequence, *digest), 0600)};
}

void BundleDocument::NumberIt() {
  numbering_ = true;
  const auto now = std::chrono::floor<std::chrono::seconds>(clock_.WallNow()).time_since_epoch().count();
  const std::uint64_t least = std::max(static_cast<std::uint64_t>(std::max<std::int64_t>(now, 1)), sequence_ + 1);
  loop_.ComputeInPool(
      [file = file_, content = newest_, shown = sequence_, least] { return Number(file, content, shown, least); },
      [this, content = newest_, alive = std::weak_ptr<void>(alive_)](const Numbered& numbered) {
        if (!alive.expired()) Take(content, numbered);
      });
}

void BundleDocument::Take(const std::string& content, const Numbered& numbered) {
  numbering_ = false;
  if (!numbered.kept.ok())
    LANYARD_LOG_WARN("keep the sequence number of the bundle document: {}", Message(numbered.kept));
  nlohmann::ordered_json document = nlohmann::ordered_json::parse(content, nullptr, false);
  document["spiffe_sequence"] = numbered.sequence;
  document["spiffe_refresh_hint"] = refresh_hint_.count();
  text_ = document.dump();
  shown_ = content;
  sequence_ = std::max(sequence_, numbered.sequence);
  if (newest_ != shown_) NumberIt();
}

}  // namespace lanyard
