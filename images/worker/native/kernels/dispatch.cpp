// Which kernels this CPU can run.
#include "kernels/kernels.h"

#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace fastchat {
namespace {

#if defined(__x86_64__)
bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}

bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni");
}

// Whether the kernel lets this process have the state of tiles, which is too large to be there for everyone. It refuses
// where a thread's stack for signals has no room for it.
bool may_use_tiles() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // arch_prctl(2)
  static const bool allowed = !syscall(SYS_arch_prctl, kRequestPermission, kTileData);
  return allowed;
}

bool has_amx() {
  constexpr unsigned kTiles = 1u << 24 | 1u << 22, kBfloat16 = 1u << 5;  // CPUID leaf 7: EDX, and EAX of its second part
  unsigned a, b, c, d;
  if (!has_avx512() || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & kTiles) != kTiles) return false;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && a & kBfloat16 && may_use_tiles();
}

// The kernels for AVX-512 with linear layers of many rows by AMX.
const Kernels& with_tiles() {
  static const Kernels kernels = [] {
    Kernels both = kAvx512;
    both.name = "AMX";
    both.matrix = &kAmx;
    return both;
  }();
  return kernels;
}
#endif

}  // namespace

const Kernels* pick_kernels(const char* name) {
  const auto wanted = [name](const Kernels& kernels) { return !name || !*name || !std::strcmp(name, kernels.name); };
#if defined(__x86_64__)
  if (wanted(with_tiles()) && has_amx()) return &with_tiles();
  if (wanted(kAvx512) && has_avx512()) return &kAvx512;
  if (wanted(kAvx2) && has_avx2()) return &kAvx2;
#endif
  return wanted(kPlain) ? &kPlain : nullptr;
}

}  // namespace fastchat
