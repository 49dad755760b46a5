// Which kernels this CPU can run.
#include <cstring>

#include "kernels/kernels.h"

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
#endif

}  // namespace

const Kernels* pick_kernels(const char* name) {
  const auto wanted = [name](const Kernels& kernels) { return !name || !*name || !std::strcmp(name, kernels.name); };
#if defined(__x86_64__)
  if (wanted(kAvx512) && has_avx512()) return &kAvx512;
  if (wanted(kAvx2) && has_avx2()) return &kAvx2;
#endif
  return wanted(kPlain) ? &kPlain : nullptr;
}

}  // namespace fastchat
