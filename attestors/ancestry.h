// The living ancestors of a process, parent first; without pid 1, which is everybody's.
//
// Each step is checked so that a pid that is reused meanwhile is noticed. Who started before the child had the pid all
// the while, and so when the child named it; who started later is not its parent. Within one tick of the clock (10 ms),
// in which either may be so, the child must still name it after it was read. A parent that ends in the middle hands its
// children on; the walk then starts again.
//
// Thread: any. Does not touch the file systems that the executables lie on.
#pragma once

#include <memory>
#include <vector>

#include "attestors/subject.h"
#include "node_agent/base/status.h"

namespace lanyard {

struct Ancestor {
  std::shared_ptr<const ProcDir> proc;
  Executable executable;
};

struct Ancestry {
  std::vector<Ancestor> ancestors;  // those whose executable could be looked at; kernel threads have none
  Status gap;                       // not OK: why one of them could not, or that there are more than 64
};

// An error when the chain kept changing or cannot be read at all.
Result<Ancestry> ReadAncestry(const ProcDir& process);

}  // namespace lanyard
