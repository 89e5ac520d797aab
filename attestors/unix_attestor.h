// Selectors of type "unix": the caller's ids, their names, and the program it runs.
//
// The same names as SPIRE's: uid, user, gid, group, supplementary_gid, supplementary_group, path, sha256. `path` is
// given only for a program in the node agent's own mount namespace; elsewhere a bind mount could forge it.
//
// Lifetime: `tools` outlives the attestor. Thread: loop. Files and user databases are read in the pool.
#pragma once

#include <memory>

#include "attestors/attestor.h"
#include "attestors/host_tools.h"

namespace lanyard {

struct UnixOptions {
  bool executable = true;  // give `path` and `sha256`
};

std::unique_ptr<Attestor> MakeUnixAttestor(const UnixOptions& options, HostTools& tools);

}  // namespace lanyard
