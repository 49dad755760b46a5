// Memory for what is large.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace fastchat {

struct Unmap {
  size_t bytes;
  void operator()(void* memory) const;
};

using Memory = std::unique_ptr<void, Unmap>;

// Zeros, in huge pages where the system has them. Throws std::bad_alloc.
Memory take_memory(size_t bytes);

// Zeros for what is let go together, in chunks of so many bytes at least.
class Arena {
 public:
  explicit Arena(size_t chunk = 4 << 20) : chunk_(chunk) {}

  // Begins at a multiple of 64 bytes. Throws std::bad_alloc.
  void* take(size_t bytes);

  // Moves what was written into huge pages where the system had none at the time.
  void join();

 private:
  size_t chunk_;
  std::vector<Memory> chunks_;
  char* next_ = nullptr;
  size_t left_ = 0;
};

// What a cache has in one piece.
struct alignas(64) Line {
  uint8_t bytes[64];
};

// Rows of numbers that are reused from step to step; they grow, and are given back when far fewer are needed.
template <class T>
class Buffer {
 public:
  T* at(long row = 0) const { return data_.get() + row * stride_; }
  long stride() const { return stride_; }

  void resize(long rows, long stride) {
    if (rows * stride > size_ || rows * stride < size_ / 8) {
      data_.reset();
      size_ = 0;  // also where there is no memory
      data_ = std::make_unique<T[]>(static_cast<size_t>(rows * stride));
      size_ = rows * stride;
    }
    stride_ = stride;
  }

 private:
  std::unique_ptr<T[]> data_;
  long size_ = 0, stride_ = 0;
};

}  // namespace fastchat
