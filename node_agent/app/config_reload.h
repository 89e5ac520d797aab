// What reading the configuration again changes at once, and what it cannot.
//
// Every setting is either in force from the moment of the reload or takes a restart; there is one table of them, and
// nothing is silently ignored: whoever reloads is told by name what is in force now and what still waits.
//
// Thread: any; values.
#pragma once

#include <string>
#include <vector>

#include "node_agent/app/config.h"

namespace lanyard {

struct ConfigReload {
  Config in_force;                        // the running configuration with what could be taken over
  std::vector<std::string> taken_over;    // keys whose value is another now, "svid.x509_ttl"
  std::vector<std::string> need_restart;  // keys whose new value waits for a restart
};

ConfigReload ReloadConfig(const Config& running, const Config& read);

}  // namespace lanyard
