// One immutable value that many threads read while one replaces it. Reading never waits: neither for the writer nor for
// another reader (std::atomic<std::shared_ptr> does, in libstdc++).
//
// The pointer to the newest value shares a word with the number of readers that have picked it up and not yet put it
// down. Whoever replaces it moves that number to the value itself; the last one out frees it. A copy of the shared_ptr
// is all that a reader takes with it, so a value lives as long as somebody holds it.
//
// For 64-bit machines whose user space has 48-bit addresses (x86-64, AArch64), and up to 65,535 threads at a time.
//
// Thread: any. The cell must outlive the calls.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

namespace lanyard {

template <class T>
class SnapshotCell {
 public:
  explicit SnapshotCell(std::shared_ptr<const T> first) : word_(Pack(new Node{std::move(first)})) {}
  ~SnapshotCell() { delete NodeOf(word_.load(std::memory_order_acquire)); }
  SnapshotCell(const SnapshotCell&) = delete;
  SnapshotCell& operator=(const SnapshotCell&) = delete;

  std::shared_ptr<const T> Read() const {
    Node* node = NodeOf(word_.fetch_add(kOneReader, std::memory_order_acquire));
    std::shared_ptr<const T> value = node->value;
    std::uint64_t word = word_.load(std::memory_order_relaxed);
    // A node is never put back and not freed while we count as its reader: the same address is the same node.
    while (NodeOf(word) == node) {
      if (word_.compare_exchange_weak(word, word - kOneReader, std::memory_order_release, std::memory_order_relaxed))
        return value;
    }
    if (node->readers.fetch_sub(1, std::memory_order_acq_rel) == 1) delete node;
    return value;
  }

  void Replace(std::shared_ptr<const T> next) {
    const std::uint64_t word = word_.exchange(Pack(new Node{std::move(next)}), std::memory_order_acq_rel);
    Node* old = NodeOf(word);
    const auto inside = static_cast<std::int64_t>(word / kOneReader);
    // Below zero by those who left between the exchange and here.
    if (old->readers.fetch_add(inside, std::memory_order_acq_rel) == -inside) delete old;
  }

 private:
  struct Node {
    std::shared_ptr<const T> value;
    std::atomic<std::int64_t> readers{0};
  };
  static constexpr std::uint64_t kOneReader = std::uint64_t{1} << 48;
  static_assert(sizeof(Node*) == sizeof(std::uint64_t));

  static std::uint64_t Pack(Node* node) { return reinterpret_cast<std::uintptr_t>(node); }
  static Node* NodeOf(std::uint64_t word) { return reinterpret_cast<Node*>(word & (kOneReader - 1)); }

  mutable std::atomic<std::uint64_t> word_;
};

}  // namespace lanyard
