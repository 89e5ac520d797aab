// The path of the program that a process runs, where it means something.
//
// Thread: any.
#pragma once

#include <optional>
#include <string>

#include "attestors/subject.h"
#include "node_agent/base/mounts.h"

namespace lanyard {

// The path of the program, if it can be believed: the process is in the node agent's own mount namespace, and so is the
// mount that the file is on. Both are asked because a file of a foreign namespace can be executed here through a
// descriptor, and then the kernel writes its path as it is there: a bind mount over anything. No value also for a
// deleted file, and for a name that does not fit in a selector.
std::optional<std::string> PathInOwnNamespace(const Executable& executable, const MountTable& mounts);

}  // namespace lanyard
