// The bundles of other trust domains, as files say them.
//
// Each configured trust domain has a SPIFFE bundle document on disk, put there by whoever has agreed with its operator.
// A document is read at the start and again whenever its file may have changed; what is good replaces what was there
// in one step. One that is broken, not trusted (file_trust.h) or gone changes nothing: the last good one stays in force
// and problems() says so. Where there has never been a good one, the trust domain is not in the set, so nothing of it
// is believed. The same follows from a good document without keys (SPIFFE_Trust_Domain_and_Bundle §4.1.3), and only
// that one takes back what was believed before. A trust domain that is configured no more is dropped at once.
//
// An operator's file counts as the newest word whatever its sequence number (SPIFFE_Federation §4.2).
//
// Lifetime: destroying it ends its calls; a read in the pool then ends unheard. Thread: loop, but for
// ReadForeignBundle.
#pragma once

#include <absl/functional/any_invocable.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "node_agent/base/clock.h"
#include "node_agent/base/dir_watcher.h"
#include "node_agent/base/event_loop.h"
#include "node_agent/base/health.h"
#include "node_agent/base/status.h"
#include "node_agent/identity/identity_source.h"
#include "pki/bundle.h"

namespace lanyard {

struct ForeignBundleFile {
  TrustDomain trust_domain;
  std::string path;

  friend bool operator==(const ForeignBundleFile&, const ForeignBundleFile&) = default;
};

struct ForeignBundle {
  Bundle bundle;
  std::string digest;  // SHA-256 of the document, in hex
};

// Blocks on the disk. Thread: any.
Result<ForeignBundle> ReadForeignBundle(const ForeignBundleFile& file);

class ForeignBundles {
 public:
  // `changed` is never empty.
  using OnChanged = absl::AnyInvocable<void(const std::vector<TrustDomain>& changed)>;

  // Reads all files (blocks: start-up) and watches them. A file that cannot be used is no error here; only one when
  // nothing can be watched at all. No two files may be of one trust domain.
  static Result<std::unique_ptr<ForeignBundles>> Open(EventLoop& loop, Clock& clock,
                                                      std::vector<ForeignBundleFile> files);
  ForeignBundles(const ForeignBundles&) = delete;
  ForeignBundles& operator=(const ForeignBundles&) = delete;

  // Never null.
  std::shared_ptr<const BundleSet> bundles() const { return bundles_; }
  // Another number after each change of the trust domain's authorities for this kind of SVID, never that of another
  // trust domain; 0 while it has none.
  uint64_t Version(const TrustDomain& trust_domain, SvidKind kind) const;
  // Of the document in force; empty when there is none.
  std::string DigestOf(const TrustDomain& trust_domain) const;

  // Called on the loop after bundles() shows other documents. One listener; it may not destroy this.
  void OnChange(OnChanged on_change) { on_change_ = std::move(on_change); }

  // From now on these are the files; reads all of them again (SIGHUP).
  void SetFiles(std::vector<ForeignBundleFile> files);

  // What is wrong now: broken where a trust domain has no bundle at all, degraded where an older one is in force.
  std::vector<HealthReport> problems() const;
  struct Counts {
    std::size_t good = 0;     // as the file says
    std::size_t stale = 0;    // the last good one, since the file is not usable
    std::size_t missing = 0;  // none
    uint64_t failed_reads = 0;
  };
  Counts counts() const;

 private:
  struct State {
    std::string path;  // that was read last
    std::optional<ForeignBundle> good{};
    std::array<uint64_t, 3> versions{};  // by SvidKind
    Status trouble{};                    // of the last read
  };
  struct FileRead {
    ForeignBundleFile file;
    Result<ForeignBundle> outcome;
  };

  ForeignBundles(EventLoop& loop, Clock& clock) : loop_(loop), clock_(clock) {}
  static std::vector<FileRead> ReadAll(const std::vector<ForeignBundleFile>& files);
  Status Watch();
  void StartRead();
  void Take(std::vector<FileRead> reads);
  bool TakeOne(FileRead read);
  void Publish(const std::vector<TrustDomain>& changed);

  EventLoop& loop_;
  Clock& clock_;
  std::vector<ForeignBundleFile> files_;
  std::map<TrustDomain, State> states_;  // of files_
  std::shared_ptr<const BundleSet> bundles_ = std::make_shared<const BundleSet>();
  OnChanged on_change_;
  std::unique_ptr<DirWatcher> watcher_;
  Status watch_trouble_;
  std::unique_ptr<Clock::Alarm> look_again_;
  uint64_t versions_ = 0;
  uint64_t failed_reads_ = 0;
  bool reading_ = false;
  bool read_again_ = false;  // something changed while reading
  std::shared_ptr<void> alive_ = std::make_shared<char>();
};

}  // namespace lanyard
