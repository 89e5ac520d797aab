#include "node_agent/identity/ca_keeper.h"

#include <utility>

#include "node_agent/identity/ca_store.h"
#include "node_agent/identity/intermediate_keeper.h"
#include "node_agent/identity/root_keeper.h"

namespace lanyard {
namespace {

Status CheckOptions(const CaOptions& options) {
  if (options.ca_ttl < kShortestCaTtl) {
    return Error(StatusCode::kInvalidArgument, "ca_ttl is {} s, the shortest possible is {} s", options.ca_ttl.count(),
                 kShortestCaTtl.count());
  }
  return OkStatus();
}

// What one looks at when the issuer is given: there is no state of ours.
Result<std::vector<AuthorityInfo>> DescribeGiven(const CaOptions& options, WallTime now) {
  ASSIGN_OR_RETURN(const SigningState state, LoadGivenIssuer(*options.given, options.trust_domain, now));
  return std::vector<AuthorityInfo>{DescribeIssuer(state.issuer, options.given->issuer_cert)};
}

}  // namespace

std::string_view AuthorityPhaseName(AuthorityPhase phase) {
  switch (phase) {
    case AuthorityPhase::kPrepared:
      return "prepared";
    case AuthorityPhase::kActive:
      return "active";
    case AuthorityPhase::kRetired:
      return "retired";
  }
  return "unknown";
}

Result<std::unique_ptr<CaKeeper>> MakeEmbeddedCa(CaOptions options, const DataDirLock& data_dir, EventLoop& loop,
                                                 Clock& clock) {
  if (options.given) {
    ASSIGN_OR_RETURN(std::unique_ptr<CaKeeper> keeper, IntermediateKeeper::Start(std::move(options), loop, clock));
    return keeper;
  }
  RETURN_IF_ERROR(CheckOptions(options));
  ASSIGN_OR_RETURN(std::unique_ptr<CaKeeper> keeper, RootKeeper::Start(std::move(options), data_dir, loop, clock));
  return keeper;
}

Result<std::vector<AuthorityInfo>> InitCa(const CaOptions& options, const DataDirLock& data_dir, WallTime now) {
  if (options.given) return DescribeGiven(options, now);
  RETURN_IF_ERROR(CheckOptions(options));
  std::vector<AuthorityInfo> all;
  for (const SvidKind kind : kSvidKinds) {
    const CaStore store = StoreOf(kind, data_dir, options.trust_domain);
    ASSIGN_OR_RETURN(const CaState state, LoadAndCatchUp(store, kind, options, now));
    for (AuthorityInfo& info : DescribeAuthorities(kind, state, store.directory())) all.push_back(std::move(info));
  }
  return all;
}

Result<std::vector<AuthorityInfo>> ReadCa(const CaOptions& options, const std::string& data_dir, WallTime now) {
  if (options.given) return DescribeGiven(options, now);
  std::vector<AuthorityInfo> all;
  for (const SvidKind kind : kSvidKinds) {
    const std::string below = DirectoryOf(kind);
    ASSIGN_OR_RETURN(const CaState state, CaStore::Peek(data_dir, options.trust_domain, below));
    if (kind == SvidKind::kX509 && state.authorities.empty()) {
      return Error(StatusCode::kFailedPrecondition,
                   "{}/ca holds no CA yet; `lanyard ca init` or a first start makes one", data_dir);
    }
    for (AuthorityInfo& info : DescribeAuthorities(kind, state, data_dir + "/" + below)) all.push_back(std::move(info));
  }
  return all;
}

}  // namespace lanyard
