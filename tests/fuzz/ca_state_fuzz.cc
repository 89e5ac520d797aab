// The list of the embedded CA's roots on disk, with two roots beside it: what loads has each root at most once, one of
// them active at most, in the phases that the list names, and written down again it loads the same; what does not load
// is told with the remedy, and never taken for "there is no CA yet".
//
// In the input ID1 and ID2 stand for the names of the two roots, which are made when the target starts.
#include <nlohmann/json.hpp>

#include <set>

#include "node_agent/base/log.h"
#include "node_agent/identity/ca_store.h"
#include "pki/root.h"
#include "tests/fuzz/fuzzing.h"
#include "tests/support/temp_dir.h"

namespace lanyard {
namespace {

using std::chrono::seconds;

class Disk {
 public:
  Disk() {
    SetLogLevel(LogLevel::kError);
    CaState state;
    for (const int64_t begin : {1'700'000'000, 1'701'000'000}) {
      const WallTime created{seconds(begin)};
      SelfSignedCa root = MakeRootCa(domain_, KeyType::kEcP256, created, created + std::chrono::hours(1000)).value();
      ids_.push_back(Hex(root.certificate.subject_key_id()));
      state.authorities.push_back(
          {.id = ids_.back(),
           .phase = state.authorities.empty() ? AuthorityPhase::kActive : AuthorityPhase::kPrepared,
           .created = created,
           .keep_until = std::nullopt,
           .certificate = root.certificate,
           .key = root.key});
    }
    const auto lock = DataDirLock::Acquire(directory_.path());
    Require(lock.ok());
    const CaStore store(*lock, domain_);
    Require(store.Load().ok() && store.Replace({}, state).ok());
  }

  Result<CaState> Load(std::string text) const {
    for (size_t i = 0; i < ids_.size(); ++i) {
      const std::string name = fmt::format("ID{}", i + 1);
      for (size_t at = text.find(name); at != std::string::npos; at = text.find(name, at + ids_[i].size()))
        text.replace(at, name.size(), ids_[i]);
    }
    directory_.Write("ca/authorities.json", text, 0600);
    return CaStore::Peek(directory_.path(), domain_);
  }
  bool Knows(const std::string& id) const { return std::count(ids_.begin(), ids_.end(), id) == 1; }

 private:
  static std::string Hex(std::string_view bytes) {
    std::string hex;
    for (const char byte : bytes) hex += fmt::format("{:02x}", static_cast<unsigned char>(byte));
    return hex;
  }

  const TempDir directory_;
  const TrustDomain domain_ = TrustDomain::Parse("example.org").value();
  std::vector<std::string> ids_;
};

int64_t ToSeconds(WallTime time) {
  return std::chrono::duration_cast<seconds>(time.time_since_epoch()).count();
}

std::string Written(const CaState& state) {
  nlohmann::json authorities = nlohmann::json::array();
  for (const Authority& authority : state.authorities) {
    nlohmann::json record = {{"id", authority.id},
                             {"phase", std::string(AuthorityPhaseName(authority.phase))},
                             {"created", ToSeconds(authority.created)},
                             {"may_return", authority.may_return}};
    if (authority.keep_until) record["keep_until"] = ToSeconds(*authority.keep_until);
    authorities.push_back(std::move(record));
  }
  return nlohmann::json({{"schema", 1},
                         {"longest_lifetime_seconds", state.longest_lifetime.count()},
                         {"authorities", std::move(authorities)}})
      .dump();
}

}  // namespace
}  // namespace lanyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lanyard;
  static const Disk disk;
  const auto state = disk.Load(std::string(AsText(data, size)));
  if (!state.ok()) {
    RequireTold(state.status(), StatusCode::kFailedPrecondition);
    return 0;
  }
  std::set<std::string> ids;
  int active = 0;
  for (const Authority& authority : state->authorities) {
    Require(disk.Knows(authority.id) && ids.insert(authority.id).second);
    Require((authority.phase == AuthorityPhase::kRetired) == authority.keep_until.has_value());
    Require(!authority.may_return || authority.phase == AuthorityPhase::kRetired);
    const auto certified = authority.certificate.public_key();
    Require(certified.ok() && certified->SameAs(authority.key.public_key()));
    active += authority.phase == AuthorityPhase::kActive ? 1 : 0;
  }
  Require(active <= 1 && (state->Active() != nullptr) == (active == 1));
  Require(state->longest_lifetime >= std::chrono::seconds(0));
  const std::string written = Written(*state);
  const auto again = disk.Load(written);
  Require(again.ok() && Written(*again) == written);
  return 0;
}
