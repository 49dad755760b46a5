#include "memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>
#include <utility>

namespace fastchat {
namespace {

constexpr size_t kLine = 64, kChunk = 4 << 20;

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
  bytes = (bytes + kLine - 1) / kLine * kLine;
  if (bytes > left_) {
    left_ = std::max(bytes, kChunk);
    next_ = static_cast<char*>(chunks_.emplace_back(take_memory(left_)).get());
  }
  left_ -= bytes;
  return std::exchange(next_, next_ + bytes);
}

}  // namespace fastchat
