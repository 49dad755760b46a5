#include "pool.h"

namespace fastchat {
namespace {

constexpr int kSpins = 1000;  // 10 to 50 µs

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Returns when `word` is no longer `old`.
void wait_until_changed(const std::atomic<uint32_t>& word, uint32_t old) {
  for (int i = 0; i < kSpins; i++) {
    if (word.load(std::memory_order_acquire) != old) return;
    relax();
  }
  while (word.load(std::memory_order_acquire) == old) word.wait(old, std::memory_order_acquire);
}

void change(std::atomic<uint32_t>& word) {
  word.fetch_add(1, std::memory_order_release);
  word.notify_all();
}

}  // namespace

Pool::Pool(int threads) : size_(threads) {
  for (int thread = 1; thread < size_; thread++) threads_.emplace_back([this, thread] { work(thread); });
}

Pool::~Pool() {
  stopping_ = true;
  change(started_);
  for (auto& thread : threads_) thread.join();
}

void Pool::work(int thread) {
  for (uint32_t seen = 0;; seen++) {
    wait_until_changed(started_, seen);
    if (stopping_) return;
    (*task_)(thread);
    barrier();
  }
}

void Pool::run(const std::function<void(int)>& task) {
  task_ = &task;
  if (size_ > 1) change(started_);
  task(0);
  barrier();
}

void Pool::barrier() {
  if (size_ == 1) return;
  const uint32_t before = passed_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) == size_ - 1) {
    arrived_.store(0, std::memory_order_relaxed);
    change(passed_);
  } else {
    wait_until_changed(passed_, before);
  }
}

}  // namespace fastchat
