// Threads that compute one thing together, step by step.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace fastchat {

// Whoever waits looks again for a few microseconds, because the others are nearly there, and then sleeps until it is
// woken: beside other load a thread that spins would keep the one that it waits for from running.
class Pool {
 public:
  explicit Pool(int threads);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int size() const { return size_; }

  // Calls task(0) … task(size - 1) at once, each on its own thread, and returns when all have.
  void run(const std::function<void(int)>& task);

  // Inside a task: returns when every thread has called it.
  void barrier();

 private:
  void work(int thread);

  const int size_;
  std::vector<std::thread> threads_;
  const std::function<void(int)>* task_ = nullptr;
  bool stopping_ = false;
  alignas(64) std::atomic<uint32_t> started_{0};   // tasks
  alignas(64) std::atomic<int> arrived_{0};        // at the barrier
  alignas(64) std::atomic<uint32_t> passed_{0};    // barriers
};

}  // namespace fastchat
