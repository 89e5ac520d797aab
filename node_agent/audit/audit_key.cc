#include "node_agent/audit/audit_key.h"

#include <sys/stat.h>

#include "node_agent/base/file.h"
#include "node_agent/base/file_trust.h"
#include "node_agent/state/secret_file.h"
#include "pki/base64.h"
#include "pki/digest.h"
#include "pki/signature.h"

namespace lanyard {
namespace {

constexpr size_t kMaxKeyBytes = size_t{64} * 1024;

Result<PrivateKey> MakeKey(const std::string& path) {
  ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::Generate(KeyType::kEcP256));
  ASSIGN_OR_RETURN(const SecretBytes pem, key.ToPem());
  RETURN_IF_ERROR(WriteFileAtomic(path, pem.expose(), 0600));
  return key;
}

Result<PrivateKey> LoadKey(const std::string& path) {
  ASSIGN_OR_RETURN(const SecretBytes pem, ReadSecretFile(path, kMaxKeyBytes));
  const auto unusable = [&](std::string_view why) {
    return Error(
        StatusCode::kFailedPrecondition,
        "{}: {}; restore the audit key from a backup, or move it and its .pub aside: a new one is then made, and "
        "checkpoints so far can only be checked with the old .pub",
        path, why);
  };
  Result<PrivateKey> key = PrivateKey::FromPem(pem.expose());
  if (!key.ok()) return unusable(Message(key.status()));
  if (key->type() != KeyType::kEcP256) {
    return unusable(fmt::format("it is of type {}, an audit key is ec-p256", KeyTypeName(key->type())));
  }
  return key;
}

// A key that was there and is lost is missed; the public half appears after it, also when the first start is cut short.
Status CheckNeverThere(const std::string& path) {
  const std::string pub = AuditPublicKeyPath(path);
  struct stat info {};
  if (lstat(pub.c_str(), &info) == 0) {
    return Error(StatusCode::kFailedPrecondition,
                 "the audit key {} is missing, its public half {} is there; restore the key from a backup, or move {} "
                 "aside: a new key is then made, and checkpoints so far can only be checked with that file",
                 path, pub, pub);
  }
  return errno == ENOENT ? OkStatus() : ErrnoStatus(errno, fmt::format("look at {}", pub));
}

// The public key is there for auditors: it appears with the key, and is never silently another one.
Status PublishKey(const PublicKey& key, const std::string& path) {
  ASSIGN_OR_RETURN(const std::string pem, key.ToPem());
  const Result<std::string> there = ReadTrustedFile(path, kMaxKeyBytes, FileSecrecy::kPublic);
  if (there.status().code() == StatusCode::kNotFound) return WriteFileAtomic(path, pem, 0644);
  if (!there.ok()) return there.status();
  const Result<PublicKey> published = PublicKey::FromPem(*there);
  if (published.ok() && published->SameAs(key)) return OkStatus();
  return Error(
      StatusCode::kFailedPrecondition,
      "{} is not the public half of the audit key beside it; restore the pair from a backup, or move {} aside: it "
      "is then written again",
      path, path);
}

}  // namespace

std::string CheckpointText(const AuditHead& covered) {
  return fmt::format("lanyard audit checkpoint v1\n{}\n{}\n", covered.seq, covered.hash);
}

Result<std::string> AuditKeyId(const PublicKey& key) {
  ASSIGN_OR_RETURN(const std::string spki, key.ToSpkiDer());
  Sha256 hash;
  hash.Update(spki);
  return hash.FinishHex();
}

Status CheckCheckpoint(const AuditCheckpoint& checkpoint, const PublicKey& key) {
  ASSIGN_OR_RETURN(const std::string id, AuditKeyId(key));
  if (checkpoint.key_id != id) {
    return Error(StatusCode::kUnauthenticated, "signed by another key ({}…, not {}…)", checkpoint.key_id.substr(0, 16),
                 id.substr(0, 16));
  }
  const Result<std::string> signature = Base64Decode(checkpoint.signature);
  if (!signature.ok()) return Error(StatusCode::kUnauthenticated, "the signature is not base64");
  return VerifyEcdsaSha256(key, CheckpointText(checkpoint.covered), *signature);
}

std::string AuditPublicKeyPath(const std::string& key_path) {
  const size_t name = key_path.rfind('/') + 1;  // 0 when there is no slash
  const size_t dot = key_path.rfind('.');
  const bool extension = dot != std::string::npos && dot > name;
  return key_path.substr(0, extension ? dot : std::string::npos) + ".pub";
}

Result<AuditKey> AuditKey::LoadOrMake(const std::string& path) {
  Result<PrivateKey> key = LoadKey(path);
  if (key.status().code() == StatusCode::kNotFound) {
    RETURN_IF_ERROR(CheckNeverThere(path));
    key = MakeKey(path);
  }
  if (!key.ok()) return Annotate(key.status(), "audit key");
  RETURN_IF_ERROR(Annotate(PublishKey(key->public_key(), AuditPublicKeyPath(path)), "public audit key"));
  ASSIGN_OR_RETURN(std::string id, AuditKeyId(key->public_key()));
  return AuditKey(*std::move(key), std::move(id));
}

Result<AuditCheckpoint> AuditKey::Sign(const AuditHead& covered) const {
  ASSIGN_OR_RETURN(const std::string signature, SignEcdsaSha256(key_, CheckpointText(covered)));
  return AuditCheckpoint{.covered = covered, .key_id = id_, .signature = Base64Encode(signature)};
}

}  // namespace lanyard
