#include "memory.h"

#include <sys/mman.h>

#include <new>

namespace fastchat {

void Unmap::operator()(void* memory) const { munmap(memory, bytes); }

Memory take_memory(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
  madvise(memory, bytes, MADV_HUGEPAGE);
#endif
  return Memory(memory, Unmap{bytes});
}

}  // namespace fastchat
