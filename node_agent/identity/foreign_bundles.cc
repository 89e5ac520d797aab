#include "node_agent/identity/foreign_bundles.h"

#include <algorithm>
#include <utility>

#include "node_agent/base/file_trust.h"
#include "node_agent/base/log.h"
#include "node_agent/identity/bundle_keys.h"
#include "pki/digest.h"

namespace lanyard {
namespace {

constexpr std::size_t kMaxDocumentBytes = std::size_t{1} << 20;
constexpr std::chrono::seconds kLookAgain{5};

}  // namespace

Result<ForeignBundle> ReadForeignBundle(const ForeignBundleFile& file) {
  const auto read = [&]() -> Result<ForeignBundle> {
    ASSIGN_OR_RETURN(const std::string document, ReadTrustedFile(file.path, kMaxDocumentBytes, FileSecrecy::kPublic));
    ASSIGN_OR_RETURN(Bundle bundle, Bundle::ParseDocument(file.trust_domain, document));
    Sha256 digest;
    digest.Update(document);
    ASSIGN_OR_RETURN(std::string hex, digest.FinishHex());
    return ForeignBundle{std::move(bundle), std::move(hex)};
  };
  Result<ForeignBundle> outcome = read();
  if (!outcome.ok()) {
    return Annotate(outcome.status(), "read the bundle of {} from {}", file.trust_domain.name(), file.path);
  }
  return outcome;
}

Result<std::unique_ptr<ForeignBundles>> ForeignBundles::Open(EventLoop& loop, Clock& clock,
                                                             std::vector<ForeignBundleFile> files) {
  std::unique_ptr<ForeignBundles> foreign(new ForeignBundles(loop, clock));
  foreign->files_ = std::move(files);
  RETURN_IF_ERROR(foreign->Watch());  // before they are read: a change in between is seen
  foreign->Take(ReadAll(foreign->files_));
  return foreign;
}

uint64_t ForeignBundles::Version(const TrustDomain& trust_domain, SvidKind kind) const {
  const auto found = states_.find(trust_domain);
  return found == states_.end() ? 0 : found->second.versions.at(static_cast<size_t>(kind));
}

std::string ForeignBundles::DigestOf(const TrustDomain& trust_domain) const {
  const auto found = states_.find(trust_domain);
  return found == states_.end() || !found->second.good ? std::string() : found->second.good->digest;
}

void ForeignBundles::SetFiles(std::vector<ForeignBundleFile> files) {
  const bool same = std::exchange(files_, std::move(files)) == files_;
  if (!same || !watch_trouble_.ok()) {
    watch_trouble_ = Watch();
    if (!watch_trouble_.ok()) LANYARD_LOG_ERROR("federation: {}", Message(watch_trouble_));
  }
  std::vector<TrustDomain> gone;
  for (auto next = states_.begin(); next != states_.end();) {
    const auto current = next++;
    const auto of = [&](const ForeignBundleFile& file) { return file.trust_domain == current->first; };
    if (std::any_of(files_.begin(), files_.end(), of)) continue;
    // SPIFFE_Federation §6.3: whoever ends the relationship takes the bundle from those who verify
    LANYARD_LOG_INFO("federation: {} is not configured any more, nothing of it is believed", current->first.name());
    if (current->second.good) gone.push_back(current->first);
    states_.erase(current);
  }
  if (!gone.empty()) Publish(gone);
  StartRead();
}

Status ForeignBundles::Watch() {
  if (files_.empty()) {
    watcher_.reset();
    return OkStatus();
  }
  std::vector<std::string> paths;
  for (const ForeignBundleFile& file : files_) paths.push_back(file.path);
  ASSIGN_OR_RETURN(watcher_, WatchPaths(loop_, clock_, std::move(paths), [this] { StartRead(); }));
  return OkStatus();
}

std::vector<ForeignBundles::FileRead> ForeignBundles::ReadAll(const std::vector<ForeignBundleFile>& files) {
  std::vector<FileRead> reads;
  for (const ForeignBundleFile& file : files) reads.push_back({file, ReadForeignBundle(file)});
  return reads;
}

void ForeignBundles::StartRead() {
  if (files_.empty()) return;
  if (reading_) {
    read_again_ = true;
    return;
  }
  reading_ = true;
  loop_.ComputeInPool([files = files_] { return ReadAll(files); },
                      [this, alive = std::weak_ptr<void>(alive_)](std::vector<FileRead> reads) {
                        if (alive.expired()) return;
                        reading_ = false;
                        Take(std::move(reads));
                        if (std::exchange(read_again_, false)) StartRead();
                      });
}

void ForeignBundles::Take(std::vector<FileRead> reads) {
  std::vector<TrustDomain> changed;
  for (FileRead& read : reads) {
    // Not what SetFiles() has replaced while it was being read
    if (std::find(files_.begin(), files_.end(), read.file) == files_.end()) continue;
    const TrustDomain trust_domain = read.file.trust_domain;
    if (TakeOne(std::move(read))) changed.push_back(trust_domain);
  }
  // A fault whose end no event announces, such as a permission of a directory far above
  const bool trouble =
      std::any_of(states_.begin(), states_.end(), [](const auto& item) { return !item.second.trouble.ok(); });
  look_again_ = trouble ? clock_.CallAfter(kLookAgain, [this] { StartRead(); }) : nullptr;
  if (!changed.empty()) Publish(changed);
}

// True when another document is in force now.
bool ForeignBundles::TakeOne(FileRead read) {
  const std::string& name = read.file.trust_domain.name();
  State& state = states_[read.file.trust_domain];
  state.path = read.file.path;
  if (!read.outcome.ok()) {
    ++failed_reads_;
    const bool news = Message(state.trouble) != Message(read.outcome.status());
    state.trouble = read.outcome.status();
    if (news) {
      LANYARD_LOG_ERROR("federation: {}; {}", Message(state.trouble),
                        state.good ? "the last good one stays in force"
                                   : "there is none, and nothing of this trust domain is believed");
    }
    return false;
  }
  if (!state.trouble.ok()) LANYARD_LOG_INFO("federation: {} is good again", state.path);
  state.trouble = OkStatus();
  ForeignBundle& now = *read.outcome;
  if (state.good && state.good->digest == now.digest) return false;
  const std::size_t authorities = now.bundle.x509_authorities().size();
  for (const SvidKind kind : {SvidKind::kX509, SvidKind::kJwt, SvidKind::kWit}) {
    if (state.good && KeysOf(state.good->bundle, kind) == KeysOf(now.bundle, kind)) continue;
    state.versions.at(static_cast<size_t>(kind)) = HasKeys(now.bundle, kind) ? ++versions_ : 0;
  }
  state.good = std::move(now);
  LANYARD_LOG_INFO("federation: another bundle of {} is in force: {} X.509 authorities{}", name, authorities,
                   authorities == 0 ? ", so no X.509-SVID of it is believed" : "");
  return true;
}

void ForeignBundles::Publish(const std::vector<TrustDomain>& changed) {
  BundleSet set;
  for (const auto& [trust_domain, state] : states_) {
    if (state.good) set.Put(state.good->bundle);
  }
  bundles_ = std::make_shared<const BundleSet>(std::move(set));
  if (on_change_) on_change_(changed);
}

std::vector<HealthReport> ForeignBundles::problems() const {
  std::vector<HealthReport> problems;
  for (const auto& [trust_domain, state] : states_) {
    if (state.trouble.ok()) continue;
    const std::string text(Message(state.trouble));
    problems.push_back(state.good
                           ? HealthReport{HealthLevel::kDegraded, text + "; the last good one stays in force"}
                           : HealthReport{HealthLevel::kBroken, text + "; nothing of this trust domain is believed"});
  }
  const Status watch = !watch_trouble_.ok() || watcher_ == nullptr ? watch_trouble_ : watcher_->health();
  if (!watch.ok()) {
    problems.push_back({HealthLevel::kDegraded,
                        fmt::format("changes of foreign bundles may go unnoticed until SIGHUP: {}", Message(watch))});
  }
  return problems;
}

ForeignBundles::Counts ForeignBundles::counts() const {
  Counts counts{.failed_reads = failed_reads_};
  for (const auto& [trust_domain, state] : states_) {
    if (state.trouble.ok()) {
      ++counts.good;
    } else {
      ++(state.good ? counts.stale : counts.missing);
    }
  }
  return counts;
}

}  // namespace lanyard
