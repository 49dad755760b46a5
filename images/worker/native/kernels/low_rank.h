// What adapters add to a panel of outputs.
#pragma once

#include "kernels/kernels.h"
#include "kernels/simd.h"

namespace {

// Half a panel of R rows; two chains each, for an addition waits for the one before it.
template <int R>
INLINE void low_rank_half(const fastchat::LowRankHalf& half, const float* rows, long stride, float* out) {
  const float *x = rows + half.first, *weights = half.weights;
  Floats sums[2][R] = {};
  int k = 0;
  for (; k + 2 <= half.count; k += 2, weights += 2 * kWidth) {
    const Floats w0 = load(weights), w1 = load(weights + kWidth);
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
      sums[0][r] += x[r * stride + k] * w0;
      sums[1][r] += x[r * stride + k + 1] * w1;
    }
  }
  for (int r = 0; r < R; r++) {
    if (k < half.count) sums[0][r] += x[r * stride + k] * load(weights);
    store(out + 2L * r * kWidth, sums[0][r] + sums[1][r]);
  }
}

template <int R>
INLINE void low_rank_tile(const fastchat::LowRankHalf* halves, const float* rows, long stride, float* out) {
  low_rank_half<R>(halves[0], rows, stride, out);
  low_rank_half<R>(halves[1], rows, stride, out + kWidth);
}

void low_rank(const fastchat::LowRankHalf* halves, const float* rows, long stride, int count, float* out) {
  for (; count >= 4; count -= 4, rows += 4 * stride, out += 8L * kWidth) low_rank_tile<4>(halves, rows, stride, out);
  if (count == 3) low_rank_tile<3>(halves, rows, stride, out);
  if (count == 2) low_rank_tile<2>(halves, rows, stride, out);
  if (count == 1) low_rank_tile<1>(halves, rows, stride, out);
}

}  // namespace
