// The process of the node agent: protected, then run in the foreground until it is told to stop.
//
// Thread: the one that calls it becomes the loop thread.
#pragma once

#include <string>

namespace lanyard {

// Runs the agent with the configuration at `config_path` until SIGTERM or SIGINT. Returns the exit code: 0 after a
// clean stop, 1 when it could not start (the reason is in the log) or could not write its last records. SIGHUP reads
// the configuration, the registry and given CA files again.
int RunAgent(const std::string& config_path);

}  // namespace lanyard
