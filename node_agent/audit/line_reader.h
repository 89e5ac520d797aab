// A file line by line, however large it is.
//
// Thread: any, one at a time; blocks on the disk. Private to this room.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "node_agent/base/fd.h"
#include "node_agent/base/status.h"

namespace lanyard {

class LineReader {
 public:
  struct Line {
    std::string_view text;  // without the newline; until the next call. Of a line that is too long, the beginning
    uint64_t number = 0;    // from 1
    uint64_t offset = 0;    // where it begins
    bool ended = false;     // a newline stands behind it
    bool too_long = false;  // longer than a line of the log can be
  };

  // Borrows `fd`, which it reads with pread from the beginning. `name` is for messages.
  LineReader(int fd, std::string name);

  // False at the end of the file.
  Result<bool> Next(Line& line);

 private:
  Status Fill();

  int fd_;
  std::string name_;
  std::string buffer_;
  std::string line_storage_;    // the beginning of a line that was too long
  size_t begin_ = 0, end_ = 0;  // of what is read and not yet given out
  uint64_t file_offset_ = 0;    // of begin_
  uint64_t number_ = 0;
  bool at_end_ = false;
};

}  // namespace lanyard
