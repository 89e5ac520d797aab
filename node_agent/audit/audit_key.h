// The key that signs checkpoints of the audit log, and what a checkpoint says.
//
// A checkpoint signs the number and the hash of the line before it, ECDSA P-256 with SHA-256, over exactly this text
// (each line ends in one newline, the number is decimal without leading zeros, the hash is lower-case hex):
//
//   lanyard audit checkpoint v1
//   <seq>
//   <hash>
//
// An auditor needs no program of ours:
//
//   printf 'lanyard audit checkpoint v1\n%s\n%s\n' "$seq" "$hash" > text
//   base64 -d <<< "$signature" > signature
//   openssl dgst -sha256 -verify audit.pub -signature signature text
//
// Thread: any.
#pragma once

#include <string>

#include "node_agent/audit/audit_line.h"
#include "node_agent/base/status.h"
#include "pki/key.h"

namespace lanyard {

std::string CheckpointText(const AuditHead& covered);

// SHA-256 of the SubjectPublicKeyInfo, hex: openssl pkey -pubin -in audit.pub -outform der | sha256sum
Result<std::string> AuditKeyId(const PublicKey& key);

// Unauthenticated when the checkpoint is not by this key.
Status CheckCheckpoint(const AuditCheckpoint& checkpoint, const PublicKey& key);

// Where the public key lies: beside the private one, ".pub" in place of the last extension.
std::string AuditPublicKeyPath(const std::string& key_path);

class AuditKey {
 public:
  // Reads the key at `path` (PEM, P-256, 0600), or makes it when there is none, with its public key beside it (0644).
  // A key that is damaged, of another kind, or readable by others is an error that names it and the remedy; it is never
  // replaced. Blocks on the disk.
  static Result<AuditKey> LoadOrMake(const std::string& path);

  Result<AuditCheckpoint> Sign(const AuditHead& covered) const;
  // As CheckCheckpoint with this key.
  Status Check(const AuditCheckpoint& checkpoint) const { return CheckCheckpoint(checkpoint, key_.public_key()); }
  const std::string& id() const { return id_; }

 private:
  AuditKey(PrivateKey key, std::string id) : key_(std::move(key)), id_(std::move(id)) {}

  PrivateKey key_;
  std::string id_;
};

}  // namespace lanyard
