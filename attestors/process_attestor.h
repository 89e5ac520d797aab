// Selectors of type "process": where the caller runs (cgroup, scope), who started it (ancestor, loginuid), and how it
// is confined (ns, tty, traced, no_new_privs).
//
// docs/ATTESTORS.md says for each who could forge it. Command line, environment and working directory are never
// selectors: a process writes them itself.
//
// Lifetime: `tools` outlives the attestor. Thread: loop.
#pragma once

#include <memory>

#include "attestors/attestor.h"
#include "attestors/host_tools.h"

namespace lanyard {

struct ProcessOptions {
  bool ancestors = true;        // give `ancestor`: one look at each ancestor per attestation
  bool ancestor_hashes = true;  // give `ancestor_sha256`; needs `ancestors`
};

std::unique_ptr<Attestor> MakeProcessAttestor(const ProcessOptions& options, HostTools& tools);

}  // namespace lanyard
