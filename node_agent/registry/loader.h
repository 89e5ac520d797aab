// Loads the registry from its files, and keeps the last good state of each file that is broken now.
//
// A configured path is a YAML file or a directory; of a directory, its files `*.yaml` that do not begin with a dot,
// sorted by name, symlinks followed. Each must be trusted (file_trust.h). A file deleted from a directory that is still
// there is gone, and its entries with it. A configured path that vanishes, or is a directory now where it was a file,
// is a broken registry, not an empty one: what it last held stays. When other paths are configured and one of them
// cannot be read, those that were configured before stay, too: a slip of the pen may not take every identity away.
//
// Thread: any; blocks on the disk.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "node_agent/registry/entry_reader.h"
#include "node_agent/registry/registry.h"

namespace lanyard {

struct RegistryOptions {
  TrustDomain trust_domain;
  std::vector<std::string> paths;
};

struct LoadedRegistry {
  // What is good now, and of what is broken the last good state. Never null.
  std::shared_ptr<const Registry> registry;
  // "file:line:column: text" where there is a position, else "registry path: text"; in the order of the paths and
  // files.
  std::vector<std::string> errors;
  std::vector<std::string> warnings;
  // Files and configured paths that are broken now; where there was a last good state, it is in force.
  std::vector<std::string> broken;

  // Configured path → file → its last good content. For the next load.
  std::map<std::string, std::map<std::string, FileContent>> last_good;
  // Configured paths that have never been read without an error.
  std::set<std::string> never_good;

  bool ok() const { return errors.empty(); }
  // OK, or one error a line.
  Status status() const;
};

// `previous` is the result of the last load, or null at start-up (then errors mean that there is nothing good to fall
// back on: the caller should not start). Entries with the same content as one in `previous` keep its pointer.
LoadedRegistry LoadRegistry(const RegistryOptions& options, const LoadedRegistry* previous);

}  // namespace lanyard
