// The kernels compiled for AVX-512-VNNI; build.py has the flags.
#include "kernels/attention.h"
#include "kernels/grid.h"
#include "kernels/linear.h"
#include "kernels/low_rank.h"
#include "kernels/rows.h"

namespace fastchat {
extern const Kernels kAvx512;
const Kernels kAvx512 = {"AVX-512-VNNI", kPanel, kOffset, linear, attend, normalize, quantize, cap, low_rank,
                          plain_grid, best_grid, take_steps};
}  // namespace fastchat
