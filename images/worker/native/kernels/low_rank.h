// Products with the two matrices of an adapter.
#pragma once

#include "kernels/kernels.h"
#include "kernels/linear.h"
#include "kernels/simd.h"

namespace {

using fastchat::LowRankHalf;
using fastchat::Weights;

constexpr int kTileRowsLowRank = 8;
constexpr int kAhead = 4096;  // bytes that are fetched ahead: one adapter's weights take turns with the others'

INLINE Floats wide(const float* at) { return load(at); }
INLINE Floats wide(const uint16_t* at) { return load_bfloat16(at); }

// One half for R rows. Few rows are two chains each, for an addition waits for the one before it.
template <int R, class Weight>
INLINE void low_rank_half(const LowRankHalf& half, const float* rows, long stride, float* out, long out_stride) {
  constexpr int C = R <= 4 ? 2 : 1;
  const float* x = rows + half.first;
  const Weight* weights = static_cast<const Weight*>(half.weights);
  Floats sums[C][R] = {};
  int k = 0;
  for (; k + C <= half.count; k += C, weights += C * kWidth) {
    if (R <= 4) __builtin_prefetch(reinterpret_cast<const char*>(weights) + kAhead);
#pragma GCC unroll 2
    for (int c = 0; c < C; c++) {
      const Floats w = wide(weights + c * kWidth);
#pragma GCC unroll 8
      for (int r = 0; r < R; r++) sums[c][r] += x[r * stride + k + c] * w;
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; r++) {
    if (k < half.count) sums[0][r] += x[r * stride + k] * wide(weights);
    store(out + r * out_stride, C == 2 ? sums[0][r] + sums[C - 1][r] : sums[0][r]);
  }
}

template <int R>
void low_rank_tile(const LowRankHalf* halves, int number, const float* rows, long stride, float* out, long out_stride) {
  for (int half = 0; half < number; half++, out += kWidth) {
    if (halves[half].type == Weights::kFloat32) {
      low_rank_half<R, float>(halves[half], rows, stride, out, out_stride);
    } else {
      low_rank_half<R, uint16_t>(halves[half], rows, stride, out, out_stride);
    }
  }
}

constexpr void (*kLowRankTiles[])(const LowRankHalf*, int, const float*, long, float*, long) = {
    low_rank_tile<1>, low_rank_tile<2>, low_rank_tile<3>, low_rank_tile<4>,
    low_rank_tile<5>, low_rank_tile<6>, low_rank_tile<7>, low_rank_tile<8>,
};

void low_rank(const LowRankHalf* halves, int number, const float* rows, long stride, int count, float* out,
              long out_stride) {
  while (count) {
    const int height = count < kTileRowsLowRank ? count : kTileRowsLowRank;
    kLowRankTiles[height - 1](halves, number, rows, stride, out, out_stride);
    rows += height * stride, out += height * out_stride, count -= height;
  }
}

}  // namespace
