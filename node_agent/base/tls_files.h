// What a TLS client knows others by and proves itself with, read from its files.
//
// Thread: any; blocks on the disk.
#pragma once

#include <string>

#include "node_agent/base/http_peer.h"
#include "node_agent/base/status.h"
#include "node_agent/base/wiped_string.h"

namespace lanyard {

// PEM as it is in the files; empty where the settings name none, or it is not needed.
struct TlsFiles {
  std::string authorities;
  std::string certificate;
  WipedString key;
};

// Errors are those of file_trust.h, beginning with the setting's name; what is in the files is not looked at.
Result<TlsFiles> ReadTlsFiles(const TlsSettings& settings);

}  // namespace lanyard
