// One registry file: YAML documents become registration entries, and every mistake in them an error with its position.
//
// Thread: any. No I/O.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "node_agent/registry/registry.h"

namespace lanyard {

struct FileContent {
  std::vector<Registry::Item> items;  // in the order of the file
  std::vector<std::string> warnings;  // "file:line:column: text"
  std::string digest;                 // SHA-256 of the file, hex; for Registry::revision
};

// All entries of `text`, or all errors as lines of one Status: a file with one broken entry has no valid ones, since
// half a policy is another policy.
Result<FileContent> ReadEntries(std::string_view text, std::string_view file_name, const TrustDomain& trust_domain);

}  // namespace lanyard
