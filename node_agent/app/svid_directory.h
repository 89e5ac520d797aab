// The directory in which `lanyard exec` shows an identity to the program that it started.
//
// A directory of mode 0700 with a name of its own, on a tmpfs that is already there: $XDG_RUNTIME_DIR, else /dev/shm.
// On a disk a private key would outlive its deletion, so anywhere else is refused. The set of files is swapped as one
// (write_set.h).
//
// The destructor removes it. Whoever is killed cannot, so each directory holds a file `.alive` that its owner keeps
// locked: Make() removes those of this user that nobody keeps locked any more, the next time that anybody asks.
//
// Thread: any, one at a time; a tmpfs does not block.
#pragma once

#include <string>
#include <vector>

#include "node_agent/app/write_set.h"
#include "node_agent/base/fd.h"
#include "node_agent/base/status.h"

namespace lanyard {

class SvidDirectory {
 public:
  // In the first of `places` that is a tmpfs, belongs to root or to us, and lets nobody else replace what is in it.
  // FailedPrecondition says what is wrong with each.
  static Result<SvidDirectory> Make(const std::vector<std::string>& places);
  SvidDirectory(SvidDirectory&& other) noexcept;
  SvidDirectory& operator=(SvidDirectory&&) = delete;
  ~SvidDirectory();

  const std::string& path() const { return path_; }
  // The old set stays when this fails.
  Status Write(const std::vector<FileOfSet>& files);
  // Takes all files away: first the link, so that they go as one. OK when there are none.
  Status Clear();

 private:
  SvidDirectory(std::string path, UniqueFd alive) : path_(std::move(path)), alive_(std::move(alive)) {}

  std::string path_;  // empty: moved from
  UniqueFd alive_;    // holds the lock
};

// Where Make() looks: $XDG_RUNTIME_DIR when it is set, and /dev/shm.
std::vector<std::string> SvidDirectoryPlaces();

}  // namespace lanyard
