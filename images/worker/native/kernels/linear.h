// Linear layers: a tile of rows times a panel of outputs at a time.
#pragma once

#include "kernels/finish.h"
#include "kernels/kernels.h"
#include "kernels/simd.h"

namespace {

using fastchat::kGroup;
using fastchat::Rows;

// As many as there are registers for.
constexpr int kTileRowsFloat32 = kWidth == 16 ? 14 : 6;
constexpr int kTileRowsBfloat16 = kWidth == 16 ? 12 : 6;
constexpr int kTileRowsGrouped = kWidth == 16 ? 6 : 3;

// Few rows leave an addition waiting for the one before it, so they sum up in several chains.
constexpr int chains(int rows) { return rows == 1 ? 4 : rows <= 3 ? 2 : 1; }

template <int R>
INLINE void multiply_float32(const float* x, long stride, const float* weights, int inputs, Floats out[R][2]) {
  constexpr int line = 64 / sizeof(float), kAhead = 96;  // lines: as long as memory takes, at its full speed
  constexpr int C = chains(R);
  Floats sums[C][R][2] = {};
  int k = 0;
  for (; k + C <= inputs; k += C, weights += C * kPanel) {
#pragma GCC unroll 8
    for (int c = 0; c < C * kPanel / line; c++) __builtin_prefetch(weights + line * (kAhead + c));
#pragma GCC unroll 4
    for (int c = 0; c < C; c++) {
      const Floats w0 = load(weights + c * kPanel), w1 = load(weights + c * kPanel + kWidth);
#pragma GCC unroll 14
      for (int r = 0; r < R; r++) {
        const float value = x[r * stride + k + c];
        sums[c][r][0] += value * w0;
        sums[c][r][1] += value * w1;
      }
    }
  }
  for (; k < inputs; k++, weights += kPanel) {
#pragma GCC unroll 14
    for (int r = 0; r < R; r++) {
      sums[0][r][0] += x[r * stride + k] * load(weights);
      sums[0][r][1] += x[r * stride + k] * load(weights + kWidth);
    }
  }
#pragma GCC unroll 14
  for (int r = 0; r < R; r++) {
    for (int v = 0; v < 2; v++) {
      out[r][v] = sums[0][r][v];
      for (int c = 1; c < C; c++) out[r][v] += sums[c][r][v];
    }
  }
}

#include "kernels/linear_bfloat16.h"
#include "kernels/linear_int4.h"
#include "kernels/linear_int8.h"

template <int R, fastchat::Weights Type>
void tile(const Linear& layer, const Rows& rows, const Target& target, int panel, int row) {
  using fastchat::Weights;
  const void* weights = static_cast<const uint8_t*>(layer.data) + (panel - layer.first) * layer.panel_bytes();
  const float* x = rows.values + row * rows.stride;
  Floats out[R][2];
  if constexpr (Type == Weights::kFloat32) {
    multiply_float32<R>(x, rows.stride, static_cast<const float*>(weights), layer.inputs, out);
  } else if constexpr (Type == Weights::kBfloat16) {
    multiply_bfloat16<R>(x, rows.stride, static_cast<const uint16_t*>(weights), layer.inputs, out);
  } else if constexpr (Type == Weights::kInt8) {
    multiply_int8<R>(rows, row, static_cast<const uint8_t*>(weights), layer.groups(), out);
  } else if constexpr (Type == Weights::kInt4) {
    multiply_int4<R>(rows, row, static_cast<const uint8_t*>(weights), layer.groups(), out);
  } else {
    multiply_blocks<R>(rows, row, static_cast<const uint8_t*>(weights), layer.groups(), out);
  }
  put<R>(layer, target, panel, row, out);
}

typedef void (*Tile)(const Linear&, const Rows&, const Target&, int panel, int row);

template <fastchat::Weights Type>
constexpr Tile kTiles[] = {
    tile<1, Type>, tile<2, Type>, tile<3, Type>,
#if defined(__AVX512F__)
    tile<4, Type>, tile<5, Type>, tile<6, Type>,
#endif
};

template <fastchat::Weights Type>
constexpr Tile kHighTiles[] = {
    tile<1, Type>, tile<2, Type>, tile<3, Type>, tile<4, Type>, tile<5, Type>, tile<6, Type>,
#if defined(__AVX512F__)
    tile<7, Type>, tile<8, Type>, tile<9, Type>, tile<10, Type>, tile<11, Type>, tile<12, Type>, tile<13, Type>,
    tile<14, Type>,
#endif
};

// The tiles for weights of a type, by their heights from 1 on.
INLINE const Tile* tiles_of(fastchat::Weights type) {
  using fastchat::Weights;
  switch (type) {
    case Weights::kFloat32: return kHighTiles<Weights::kFloat32>;
    case Weights::kBfloat16: return kHighTiles<Weights::kBfloat16>;
    case Weights::kInt8: return kTiles<Weights::kInt8>;
    case Weights::kInt4: return kTiles<Weights::kInt4>;
    default: return kTiles<Weights::kInt4Blocks>;
  }
}

INLINE int most_rows(fastchat::Weights type) {
  using fastchat::Weights;
  if (type == Weights::kFloat32) return kTileRowsFloat32;
  return type == Weights::kBfloat16 ? kTileRowsBfloat16 : kTileRowsGrouped;
}

// One panel of outputs for the rows first … last, in tiles. The first is as high as can be: it computes while it waits for
// the panel to come from memory. The others are of equal heights as far as that goes.
void linear(const Linear& layer, const Rows& rows, const Target& target, int panel, int first, int last) {
  const int most = most_rows(layer.type);
  const Tile* tiles = tiles_of(layer.type);
  for (int row = first; row < last;) {
    const int left = last - row, number = (left + most - 1) / most;
    const int height = row > first ? (left + number - 1) / number : left < most ? left : most;
    tiles[height - 1](layer, rows, target, panel, row);
    row += height;
  }
}

}  // namespace
