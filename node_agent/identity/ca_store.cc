#include "node_agent/identity/ca_store.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "node_agent/base/file.h"
#include "node_agent/base/file_trust.h"
#include "node_agent/base/log.h"
#include "node_agent/identity/ca_schedule.h"
#include "node_agent/identity/text.h"
#include "node_agent/state/secret_file.h"
#include "pki/x509_svid.h"

namespace lanyard {
namespace {

using Json = nlohmann::json;
using std::chrono::seconds;

constexpr std::size_t kMaxFileBytes = std::size_t{64} * 1024;
constexpr int kSchema = 1;
constexpr std::string_view kPem = ".pem";

bool IsId(std::string_view text) {
  return !text.empty() && text.size() <= 128 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::int64_t ToUnix(WallTime when) {
  return std::chrono::duration_cast<seconds>(when.time_since_epoch()).count();
}

// A non-negative number of seconds that a time point can hold, or nothing.
std::optional<std::int64_t> ReadSeconds(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_integer()) return std::nullopt;
  const auto value = found->get<std::int64_t>();
  if (value < 0 || value > 9'000'000'000) return std::nullopt;  // within what nanoseconds since 1970 can say
  return value;
}

std::optional<AuthorityPhase> ReadPhase(const Json& object) {
  const auto found = object.find("phase");
  if (found == object.end() || !found->is_string()) return std::nullopt;
  for (const AuthorityPhase phase : {AuthorityPhase::kPrepared, AuthorityPhase::kActive, AuthorityPhase::kRetired}) {
    if (found->get_ref<const std::string&>() == AuthorityPhaseName(phase)) return phase;
  }
  return std::nullopt;
}

// What authorities.json says about one root.
struct Record {
  std::string id;
  AuthorityPhase phase;
  WallTime created;
  std::optional<WallTime> keep_until;
  bool may_return = false;
};

std::optional<Record> ReadRecord(const Json& object) {
  if (!object.is_object()) return std::nullopt;
  const auto id = object.find("id");
  const auto phase = ReadPhase(object);
  const auto created = ReadSeconds(object, "created");
  const auto keep_until = ReadSeconds(object, "keep_until");
  if (id == object.end() || !id->is_string() || !IsId(id->get_ref<const std::string&>())) return std::nullopt;
  if (!phase || !created || (*phase == AuthorityPhase::kRetired) != keep_until.has_value()) return std::nullopt;
  Record record{id->get<std::string>(), *phase, WallTime(seconds(*created)), std::nullopt};
  if (keep_until) record.keep_until = WallTime(seconds(*keep_until));
  // Absent in what releases wrote that did not know it.
  record.may_return = *phase == AuthorityPhase::kRetired && object.value("may_return", Json()) == Json(true);
  return record;
}

std::string ToJson(const CaState& state) {
  Json authorities = Json::array();
  for (const Authority& authority : state.authorities) {
    Json record = {{"id", authority.id},
                   {"phase", std::string(AuthorityPhaseName(authority.phase))},
                   {"created", ToUnix(authority.created)}};
    if (authority.keep_until) record["keep_until"] = ToUnix(*authority.keep_until);
    if (authority.may_return) record["may_return"] = true;
    authorities.push_back(std::move(record));
  }
  const Json document = {{"schema", kSchema},
                         {"longest_lifetime_seconds", state.longest_lifetime.count()},
                         {"authorities", std::move(authorities)}};
  return document.dump(2) + "\n";
}

// Names in `directory` that end in `suffix`; none if it cannot be listed.
std::vector<std::string> ListNames(const std::string& directory, std::string_view suffix) {
  std::vector<std::string> names;
  std::unique_ptr<DIR, decltype([](DIR* open) { closedir(open); })> dir(opendir(directory.c_str()));
  while (dir != nullptr) {
    const dirent* found = readdir(dir.get());
    if (found == nullptr) break;
    std::string name = found->d_name;
    if (name.size() > suffix.size() && name.ends_with(suffix)) names.push_back(std::move(name));
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> ListIds(const std::string& directory) {
  std::vector<std::string> ids;
  for (const std::string& name : ListNames(directory, kPem)) {
    const std::string id = name.substr(0, name.size() - kPem.size());
    if (IsId(id)) ids.push_back(id);
  }
  return ids;
}

// Mode exactly 0700 in effect: nobody else may look, let alone write.
Status CheckCaDirectory(const std::string& path) {
  RETURN_IF_ERROR(CheckTrustedDirectory(path));
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return ErrnoStatus(errno, fmt::format("look at {}", path));
  if ((info.st_mode & 077) != 0) {
    return Error(StatusCode::kPermissionDenied, "{} has mode {:04o}, others can look into it; run: chmod 700 {}", path,
                 info.st_mode & 07777, path);
  }
  return OkStatus();
}

bool Contains(const CaState& state, const std::string& id) {
  return std::any_of(state.authorities.begin(), state.authorities.end(),
                     [&](const Authority& a) { return a.id == id; });
}

constexpr std::string_view kRestore =
    "restore it from a backup; or move the whole directory aside to begin with a new root (every SVID issued so far is "
    "then refused)";

}  // namespace

CaStore::CaStore(const DataDirLock& data_dir, TrustDomain trust_domain, const std::string& below)
    : CaStore(data_dir.directory() + "/" + below, std::move(trust_domain)) {}

CaStore::CaStore(std::string directory, TrustDomain trust_domain)
    : directory_(std::move(directory)), trust_domain_(std::move(trust_domain)) {}

std::string CaStore::ListPath() const {
  return directory_ + "/authorities.json";
}

std::string CaStore::FileOf(const std::string& id) const {
  return directory_ + "/" + id + std::string(kPem);
}

Result<CaState> CaStore::Load() const {
  RETURN_IF_ERROR(Annotate(MakeDirectory(directory_, 0700), "CA directory"));
  ASSIGN_OR_RETURN(CaState state, Read());
  // Adopted: from now on there is a list again.
  if (!state.authorities.empty() && access(ListPath().c_str(), F_OK) != 0) RETURN_IF_ERROR(Replace(state, state));
  for (const std::string& name : ListNames(directory_, ".tmp")) {  // a write that a crash cut short
    IGNORE_ERROR(WipeAndRemove(directory_ + "/" + name), "it is tried again at the next start");
  }
  RemoveUnlisted(state);
  return state;
}

Result<CaState> CaStore::Peek(const std::string& data_dir, const TrustDomain& trust_domain, const std::string& below) {
  CaState state;
  auto read = CaStore(data_dir + "/" + below, trust_domain).Read();
  if (read.status().code() == StatusCode::kNotFound) return state;
  return read;
}

Result<CaState> CaStore::Read() const {
  RETURN_IF_ERROR(Annotate(CheckCaDirectory(directory_), "CA directory"));
  const std::string path = ListPath();
  auto bytes = ReadSecretFile(path, kMaxFileBytes);
  if (bytes.status().code() == StatusCode::kNotFound) return Adopt();
  if (!bytes.ok()) return Annotate(bytes.status(), "list of roots");

  const auto broken = [&](std::string_view what) {
    return Error(StatusCode::kFailedPrecondition,
                 "{}: {}; restore it from a backup, or remove it: the roots beside it are then adopted", path, what);
  };
  const Json document = Json::parse(bytes->expose(), nullptr, false);
  if (!document.is_object()) return broken("not a JSON object");
  if (ReadSeconds(document, "schema") != kSchema)
    return broken("written by another version of lanyard (unknown schema)");
  const auto longest = ReadSeconds(document, "longest_lifetime_seconds");
  const auto records = document.find("authorities");
  if (!longest || records == document.end() || !records->is_array()) return broken("incomplete");

  CaState state;
  state.longest_lifetime = seconds(*longest);
  for (const Json& object : *records) {
    const std::optional<Record> record = ReadRecord(object);
    if (!record || Contains(state, record->id)) return broken("an authority is incomplete or named twice");
    if (record->phase == AuthorityPhase::kActive && state.Active() != nullptr) return broken("two active authorities");
    auto authority = ReadAuthority(record->id);
    if (!authority.ok() && record->phase == AuthorityPhase::kRetired &&
        authority.status().code() != StatusCode::kPermissionDenied) {
      // It signs nothing any more; going without costs at most the SVIDs it has signed, stopping would cost all.
      LANYARD_LOG_WARN("retired root: {}; what it signed is refused from now on", Message(authority.status()));
      continue;
    }
    if (!authority.ok()) return Annotate(authority.status(), "{} root", AuthorityPhaseName(record->phase));
    authority->phase = record->phase;
    authority->created = record->created;
    authority->keep_until = record->keep_until;
    authority->may_return = record->may_return;
    state.authorities.push_back(*std::move(authority));
  }
  return state;
}

// Roots without a list of them: the first start was cut short before the list was written, or somebody lost it. The
// youngest signs; the others stay until they expire, since nobody knows what they have signed.
Result<CaState> CaStore::Adopt() const {
  CaState state;
  for (const std::string& id : ListIds(directory_)) {
    ASSIGN_OR_RETURN(Authority authority, ReadAuthority(id));
    authority.phase = AuthorityPhase::kRetired;
    authority.keep_until = authority.certificate.not_after();
    state.authorities.push_back(std::move(authority));
  }
  if (state.authorities.empty()) return state;
  std::sort(state.authorities.begin(), state.authorities.end(),
            [](const Authority& a, const Authority& b) { return a.created < b.created; });
  state.authorities.back().phase = AuthorityPhase::kActive;
  state.authorities.back().keep_until.reset();
  // How long its leaves live is not known either: as long as it can be, that is until it ends itself.
  state.longest_lifetime = std::chrono::duration_cast<seconds>(state.authorities.back().certificate.not_after() -
                                                               state.authorities.back().created);
  LANYARD_LOG_WARN("{}: no authorities.json, adopting {} root(s) found there", directory_, state.authorities.size());
  return state;
}

Result<Authority> CaStore::ReadAuthority(const std::string& id) const {
  const std::string path = FileOf(id);
  auto bytes = ReadSecretFile(path, kMaxFileBytes);
  if (bytes.status().code() == StatusCode::kNotFound) {
    return Error(StatusCode::kFailedPrecondition, "{} is missing; {}", path, kRestore);
  }
  if (!bytes.ok()) return bytes.status();
  const auto broken = [&](const Status& why) {
    return Error(StatusCode::kFailedPrecondition, "{} is damaged: {}; {}", path, Message(why), kRestore);
  };
  // Two blocks in one file: each parser is given the part that is its own.
  const std::string_view text = bytes->expose();
  const std::size_t key_at = text.find("-----BEGIN PRIVATE KEY-----");
  if (key_at == std::string_view::npos) return broken(Error(StatusCode::kDataLoss, "no private key in it"));
  auto certificate = Certificate::FromPem(text.substr(0, key_at));
  if (!certificate.ok()) return broken(Annotate(certificate.status(), "certificate"));
  auto key = PrivateKey::FromPem(text.substr(key_at));
  if (!key.ok()) return broken(Annotate(key.status(), "key"));
  auto of_certificate = certificate->public_key();
  if (!of_certificate.ok()) return broken(of_certificate.status());
  if (!of_certificate->SameAs(key->public_key()) || KeyIdHex(*certificate) != id) {
    return broken(Error(StatusCode::kDataLoss, "certificate, key and name do not belong together"));
  }
  auto trust_domain = CheckSigningCertificate(*certificate);
  if (!trust_domain.ok()) return broken(trust_domain.status());
  if (*trust_domain != trust_domain_) {
    return Error(StatusCode::kFailedPrecondition,
                 "{} is a root of {}, the configuration says {}; correct trust_domain, or move {} aside to begin with "
                 "a new root",
                 path, *trust_domain ? (*trust_domain)->id() : "no trust domain", trust_domain_.id(), directory_);
  }
  const WallTime created = certificate->not_before() + kRootBackdate;  // what adoption goes by
  return Authority{.id = id,
                   .phase = AuthorityPhase::kRetired,
                   .created = created,
                   .keep_until = std::nullopt,
                   .certificate = *std::move(certificate),
                   .key = *std::move(key)};
}

Status CaStore::WriteAuthority(const Authority& authority) const {
  ASSIGN_OR_RETURN(const SecretBytes key, authority.key.ToPem());
  const std::string certificate = authority.certificate.ToPem();
  SecretBytes both(certificate.size() + key.size());
  std::copy(certificate.begin(), certificate.end(), both.mutable_data());
  std::copy(key.data(), key.data() + key.size(), both.mutable_data() + certificate.size());
  return WriteFileAtomic(FileOf(authority.id), both.expose(), 0600);
}

Status CaStore::Replace(const CaState& before, const CaState& after) const {
  const std::string list = ToJson(after);
  if (list.size() > kMaxFileBytes) {
    return Error(StatusCode::kResourceExhausted,
                 "keep the list of roots: it has {} bytes for {} roots, and more than {} could not be read again; wait "
                 "until some of them have gone",
                 list.size(), after.authorities.size(), kMaxFileBytes);
  }
  for (const Authority& authority : after.authorities) {
    if (!Contains(before, authority.id))
      RETURN_IF_ERROR(Annotate(WriteAuthority(authority), "keep root {}", authority.id));
  }
  RETURN_IF_ERROR(Annotate(WriteFileAtomic(ListPath(), list, 0600), "keep the list of roots"));
  RemoveUnlisted(after);
  return OkStatus();
}

void CaStore::RemoveUnlisted(const CaState& state) const {
  for (const std::string& id : ListIds(directory_)) {
    if (Contains(state, id)) continue;
    if (auto unlisted = ReadAuthority(id); !unlisted.ok()) {
      LANYARD_LOG_WARN("left where it is: {}", Message(unlisted.status()));
      continue;
    }
    if (Status removed = WipeAndRemove(FileOf(id)); !removed.ok()) {
      LANYARD_LOG_WARN("a root that is no longer used stays on disk: {}", Message(removed));
    } else {
      LANYARD_LOG_INFO("removed root {}: it is no longer used", id);
    }
  }
}

}  // namespace lanyard
