// Puts files that belong together into a directory, all at once.
//
//   DIR/svid.pem   -> .current/svid.pem       links, made once
//   DIR/svid.key   -> .current/svid.key
//   DIR/.current   -> .set-5f0c…              the one link that is swapped
//   DIR/.set-5f0c… /svid.pem, svid.key, …     regular files, never changed after they are linked
//
// Atomic is the swap of `.current`, also across a crash: at every instant the names in DIR lead to files of one set. A
// program that opens two of them one after the other can still meet a swap in between; one that must not opens
// DIR/.current once and both files below it (openat), for which the set before the newest is kept. The first time,
// names in DIR that are regular files are replaced by links one by one. A link to a file that the new set does not have
// leads nowhere from the swap on, and is removed.
//
// Everything is done below one open descriptor of the directory with fresh names, so links that somebody planted there
// are replaced, not followed. Thread: any; blocks on the disk.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "node_agent/base/status.h"

namespace lanyard {

struct FileOfSet {
  std::string name;        // without a slash
  std::string_view bytes;  // borrowed for the call
  mode_t mode = 0644;
};

// Makes `directory` (0700) if it is absent. FailedPrecondition when another process is writing a set there now.
Status WriteSet(const std::string& directory, const std::vector<FileOfSet>& files);

}  // namespace lanyard
