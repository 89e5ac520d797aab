// Things of many owners that wait for their turn: each owner has a line, and the front of each line is taken in turn.
//
// However long one owner's line is, what another one puts in waits for at most one of every owner before it. Where what
// was taken keeps others busy for a while, only so many of one owner are out at once; the rest of its line waits until
// one of them is over.
//
// Thread: not safe; one at a time.
#pragma once

#include <cstddef>
#include <deque>
#include <limits>
#include <optional>
#include <unordered_map>
#include <utility>

namespace lanyard {

template <class Owner, class Item>
class FairLines {
 public:
  FairLines() = default;
  // At most `most_out` of one owner are out: taken, and not yet Over().
  explicit FairLines(std::size_t most_out) : most_out_(most_out) {}

  void Push(const Owner& owner, Item item) {
    Line& line = lines_[owner];
    line.waiting.push_back(std::move(item));
    ++size_;
    QueueTurn(owner, line);
  }

  // The front of the line whose turn it is; nothing when all lines are empty or have as many out as they may.
  std::optional<Item> Pop() {
    if (turns_.empty()) return std::nullopt;
    const Owner owner = turns_.front();
    turns_.pop_front();
    const auto found = lines_.find(owner);
    Line& line = found->second;
    line.has_turn = false;
    std::optional<Item> item = std::move(line.waiting.front());
    line.waiting.pop_front();
    --size_;
    if (bounded()) ++line.out;
    QueueTurn(owner, line);
    DropIfEmpty(found);
    return item;
  }

  // One of those of `owner` that were taken is over.
  void Over(const Owner& owner) {
    const auto found = lines_.find(owner);
    if (found == lines_.end() || found->second.out == 0) return;  // cleared meanwhile
    --found->second.out;
    QueueTurn(owner, found->second);
    DropIfEmpty(found);
  }

  void Clear() {
    lines_.clear();
    turns_.clear();
    size_ = 0;
  }

  std::size_t size() const { return size_; }         // of all lines together
  bool has_turn() const { return !turns_.empty(); }  // whether Pop() has something

 private:
  struct Line {
    std::deque<Item> waiting;
    std::size_t out = 0;
    bool has_turn = false;
  };
  using Lines = std::unordered_map<Owner, Line>;

  bool bounded() const { return most_out_ != std::numeric_limits<std::size_t>::max(); }

  void QueueTurn(const Owner& owner, Line& line) {
    if (line.has_turn || line.waiting.empty() || line.out >= most_out_) return;
    line.has_turn = true;
    turns_.push_back(owner);
  }

  void DropIfEmpty(typename Lines::iterator line) {
    if (line->second.waiting.empty() && line->second.out == 0) lines_.erase(line);
  }

  std::size_t most_out_ = std::numeric_limits<std::size_t>::max();
  Lines lines_;
  std::deque<Owner> turns_;  // each owner with something that may be taken once
  std::size_t size_ = 0;
};

}  // namespace lanyard
