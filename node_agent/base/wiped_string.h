// A text of bytes that may hold secrets: its memory is overwritten whenever it is given back, also as it grows.
//
// Texts of less than 16 bytes lie in the object itself and are not overwritten: this is for whole answers and files.
//
// Thread: any, as for std::string.
#pragma once

#include <string.h>

#include <cstddef>
#include <memory>
#include <string>

namespace lanyard {

template <class T>
struct WipingAllocator {
  using value_type = T;

  WipingAllocator() = default;
  template <class Other>
  explicit WipingAllocator(const WipingAllocator<Other>& /*other*/) {}

  T* allocate(std::size_t count) { return std::allocator<T>().allocate(count); }
  void deallocate(T* memory, std::size_t count) {
    explicit_bzero(memory, count * sizeof(T));
    std::allocator<T>().deallocate(memory, count);
  }
  friend bool operator==(const WipingAllocator& /*a*/, const WipingAllocator& /*b*/) { return true; }
};

using WipedString = std::basic_string<char, std::char_traits<char>, WipingAllocator<char>>;

}  // namespace lanyard
