// The kernels compiled for AVX2; build.py has the flags.
#include "kernels/attention.h"
#include "kernels/grid.h"
#include "kernels/linear.h"
#include "kernels/low_rank.h"
#include "kernels/rows.h"

namespace fastchat {
extern const Kernels kAvx2;
const Kernels kAvx2 = {"AVX2", kPanel, kOffset, linear, attend, normalize, quantize, cap, low_rank,
                          plain_grid, best_grid, take_steps};
}  // namespace fastchat
