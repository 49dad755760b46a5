#include "memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>
#include <utility>

namespace fastchat {
namespace {

constexpr size_t kLine = 64, kHugePage = 2 << 20;
constexpr int kCollapse = 25;  // MADV_COLLAPSE of Linux 6.1, which headers may not have yet

constexpr size_t rounded_up(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

}  // namespace

void Unmap::operator()(void* memory) const { munmap(memory, bytes); }

Memory take_memory(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
  madvise(memory, bytes, MADV_HUGEPAGE);
#endif
  return Memory(memory, Unmap{bytes});
}

void* Arena::take(size_t bytes) {
  bytes = rounded_up(bytes, kLine);
  if (bytes > left_) {
    left_ = rounded_up(std::max(bytes, chunk_), kHugePage);  // else the system may begin it in the middle of one
    next_ = static_cast<char*>(chunks_.emplace_back(take_memory(left_)).get());
  }
  left_ -= bytes;
  return std::exchange(next_, next_ + bytes);
}

void Arena::join() {
#if defined(__linux__)
  for (const Memory& chunk : chunks_) {
    const auto begin = reinterpret_cast<uintptr_t>(chunk.get()), end = begin + chunk.get_deleter().bytes;
    for (uintptr_t page = rounded_up(begin, kHugePage); page + kHugePage <= end; page += kHugePage) {
      madvise(reinterpret_cast<void*>(page), kHugePage, kCollapse);  // where it cannot, small pages do as well
    }
  }
#endif
}

}  // namespace fastchat
