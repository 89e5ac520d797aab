// Things of many owners that wait for their turn: each owner has a line, and the front of each line is taken in turn.
//
// However long one owner's line is, what another one puts in waits for at most one of every owner before it.
//
// Thread: not safe; one at a time.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <unordered_map>
#include <utility>

namespace lanyard {

template <class Owner, class Item>
class FairLines {
 public:
  void Push(const Owner& owner, Item item) {
    std::deque<Item>& line = lines_[owner];
    if (line.empty()) turns_.push_back(owner);
    line.push_back(std::move(item));
    ++size_;
  }

  // The front of the line whose turn it is; nothing when all lines are empty.
  std::optional<Item> Pop() {
    if (turns_.empty()) return std::nullopt;
    const Owner owner = turns_.front();
    turns_.pop_front();
    const auto line = lines_.find(owner);
    std::optional<Item> item = std::move(line->second.front());
    line->second.pop_front();
    --size_;
    if (line->second.empty()) {
      lines_.erase(line);
    } else {
      turns_.push_back(owner);
    }
    return item;
  }

  void Clear() {
    lines_.clear();
    turns_.clear();
    size_ = 0;
  }

  std::size_t size() const { return size_; }  // of all lines together

 private:
  std::unordered_map<Owner, std::deque<Item>> lines_;  // none is empty
  std::deque<Owner> turns_;                            // each owner with a line once
  std::size_t size_ = 0;
};

}  // namespace lanyard
