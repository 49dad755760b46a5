// The kernels compiled for whatever the compiler takes for granted; build.py has the flags.
#include "kernels/attention.h"
#include "kernels/grid.h"
#include "kernels/linear.h"
#include "kernels/low_rank.h"
#include "kernels/rows.h"

namespace fastchat {
extern const Kernels kPlain;
const Kernels kPlain = {"plain", kPanel, kOffset, linear, attend, normalize, quantize, cap, low_rank,
                          plain_grid, best_grid, take_steps};
}  // namespace fastchat
