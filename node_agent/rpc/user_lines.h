// Things of many users that wait for their turn: each user has a line, and the front of each line is taken in turn.
//
// However long one user's line is, what another user puts in waits for at most one of every user before it.
//
// Thread: not safe; one at a time.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <deque>
#include <optional>
#include <unordered_map>
#include <utility>

namespace lanyard {

template <class Item>
class UserLines {
 public:
  void Push(uid_t uid, Item item) {
    std::deque<Item>& line = lines_[uid];
    if (line.empty()) turns_.push_back(uid);
    line.push_back(std::move(item));
    ++size_;
  }

  // The front of the line whose turn it is; nothing when all lines are empty.
  std::optional<Item> Pop() {
    if (turns_.empty()) return std::nullopt;
    const uid_t uid = turns_.front();
    turns_.pop_front();
    const auto line = lines_.find(uid);
    std::optional<Item> item = std::move(line->second.front());
    line->second.pop_front();
    --size_;
    if (line->second.empty()) {
      lines_.erase(line);
    } else {
      turns_.push_back(uid);
    }
    return item;
  }

  void Clear() {
    lines_.clear();
    turns_.clear();
    size_ = 0;
  }

  std::size_t size() const { return size_; }  // of all lines together
  std::size_t CountOf(uid_t uid) const {
    const auto line = lines_.find(uid);
    return line == lines_.end() ? 0 : line->second.size();
  }

 private:
  std::unordered_map<uid_t, std::deque<Item>> lines_;  // none is empty
  std::deque<uid_t> turns_;                            // each user with a line once
  std::size_t size_ = 0;
};

}  // namespace lanyard
