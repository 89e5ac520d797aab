// Keeps the node's own authorities: made on first start, rotated by themselves, never signing past their time.
//
// There are self-signed roots for X.509-SVIDs, and a line of keys each for JWT-SVIDs and for WIT-SVIDs, which go
// through the same life (authority_track.h). A key for tokens is kept in the form of a root, whose certificate says its
// dates and its trust domain and is shown to nobody: the bundle has the bare key. This class puts the three together,
// installs them in the EmbeddedCa, and speaks for them in health().
//
// Lifetime: borrows the loop, the clock and the lock. Thread: loop. Fails closed: an expired authority signs nothing.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "node_agent/identity/authority_track.h"
#include "node_agent/identity/ca_keeper.h"
#include "node_agent/identity/embedded_ca.h"

namespace lanyard {

inline constexpr std::array kSvidKinds = {SvidKind::kX509, SvidKind::kJwt, SvidKind::kWit};

class RootKeeper final : public CaKeeper {
 public:
  // Blocks on the disk.
  static Result<std::unique_ptr<RootKeeper>> Start(CaOptions options, const DataDirLock& data_dir, EventLoop& loop,
                                                   Clock& clock);

  IdentitySource& source() override { return ca_; }
  std::vector<Issuer> issuers() const override;
  // All three.
  void Rotate(Done done) override;
  void Reload() override {}
  std::vector<AuthorityInfo> Show() const override;
  HealthReport health() const override { return ca_.health(); }
  bool made_anew() const override { return made_anew_; }

 private:
  struct Loaded {
    CaStore store;
    CaState state;
  };
  enum class Found { kRoots, kNothing };

  RootKeeper(CaOptions options, std::vector<Loaded> loaded, Found found, EventLoop& loop, Clock& clock);
  const AuthorityTrack& track(SvidKind kind) const { return *tracks_[static_cast<std::size_t>(kind)]; }
  void InstallState();
  void ReportHealth();
  HealthReport HealthOfRoots() const;

  const CaOptions options_;
  const bool made_anew_;
  Clock& clock_;
  EmbeddedCa ca_;
  std::vector<std::unique_ptr<AuthorityTrack>> tracks_;  // in the order of SvidKind
};

// What a start does with the authorities of one kind before anything is served: loads them, and brings them up to
// `now`.
Result<CaState> LoadAndCatchUp(const CaStore& store, SvidKind kind, const CaOptions& options, WallTime now);

// Where those of one kind are kept.
CaStore StoreOf(SvidKind kind, const DataDirLock& data_dir, const TrustDomain& trust_domain);
std::string DirectoryOf(SvidKind kind);  // below the data directory

// What `ca show` prints about authorities of one kind.
std::vector<AuthorityInfo> DescribeAuthorities(SvidKind kind, const CaState& state, const std::string& directory);

}  // namespace lanyard
