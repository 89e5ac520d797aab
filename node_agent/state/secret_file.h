// Files that hold keys: read into memory that is wiped, overwritten before they are removed.
//
// Thread: any; blocks on the disk.
#pragma once

#include <cstddef>
#include <string>

#include "node_agent/base/status.h"
#include "pki/secret_bytes.h"

namespace lanyard {

// The bytes of a file that only root and our own user may read or change (base/file_trust.h says how that is checked
// and what the errors are). ResourceExhausted when it holds more than `max_bytes`.
Result<SecretBytes> ReadSecretFile(const std::string& path, std::size_t max_bytes);

// Overwrites a file of ours with zeros, then removes it. On a disk that writes elsewhere than in place (most flash,
// copy-on-write file systems) the old blocks may survive: this shortens the life of a key, it does not promise its end.
// An absent file is OK.
Status WipeAndRemove(const std::string& path);

}  // namespace lanyard
