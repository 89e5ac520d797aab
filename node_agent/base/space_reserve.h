// A file that does nothing but hold space on its file system, to be given back when the disk is full.
//
// What must still be written on a full disk (that something was refused, how far a log had come) needs room that nobody
// else has taken. The blocks are really allocated, not a hole. Release() frees them; Restore() takes them back once
// there is so much room that taking them does not fill the disk again.
//
// Failure: without a reserve everything goes on as long as the disk has room; so an error here is for health, not a
// reason to stop. Thread: any, one at a time; blocks on the disk.
#pragma once

#include <cstdint>
#include <string>

#include "node_agent/base/fd.h"
#include "node_agent/base/status.h"

namespace lanyard {

class SpaceReserve {
 public:
  // Holds nothing until Make(). The file at `path` (0600) belongs to the reserve; no bytes: there is never one.
  SpaceReserve(std::string path, uint64_t bytes) : path_(std::move(path)), bytes_(bytes) {}

  // Creates the file, or brings one of an earlier run to its size. ResourceExhausted when there is no room: then
  // nothing of it stays allocated.
  Status Make();

  // Gives the space back to the file system. The file stays, empty.
  Status Release();

  // Make(), but only where as much again is free beside it.
  Status Restore();

  bool held() const { return held_; }
  uint64_t bytes() const { return bytes_; }
  const std::string& path() const { return path_; }

 private:
  Status OpenFile();
  Status Allocate();
  Status WriteZeros();

  std::string path_;
  uint64_t bytes_;
  bool held_ = false;
  UniqueFd fd_;  // kept open: Release() must not fail for want of a descriptor
};

}  // namespace lanyard
