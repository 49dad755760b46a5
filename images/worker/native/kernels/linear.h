// Linear layers: a tile of rows times a panel of outputs at a time.
#pragma once

#include "kernels/kernels.h"
#include "kernels/simd.h"

namespace {

using fastchat::kGroup;
using fastchat::Linear;
using fastchat::Rows;
using fastchat::Target;
using fastchat::Then;

constexpr int kPanel = 2 * kWidth;
constexpr int kTileRows = kWidth == 16 ? 12 : 6;  // as many as there are registers for
constexpr int kTileRowsGrouped = kWidth == 16 ? 6 : 3;

// Few rows leave an addition waiting for the one before it, so they sum up in several chains.
constexpr int chains(int rows) { return rows == 1 ? 4 : rows <= 3 ? 2 : 1; }

INLINE Floats wide(const float* at) { return load(at); }
INLINE Floats wide(const uint16_t* at) { return load_bfloat16(at); }

// Weights: float, or uint16_t for bfloat16.
template <int R, class Weight>
INLINE void multiply(const float* x, long stride, const Weight* weights, int inputs, Floats out[R][2]) {
  constexpr int line = 64 / sizeof(Weight);
  constexpr int C = chains(R);
  Floats sums[C][R][2] = {};
  int k = 0;
  for (; k + C <= inputs; k += C, weights += C * kPanel) {
    if (R <= 4) {
#pragma GCC unroll 8
      for (int c = 0; c < C * kPanel / line; c++) __builtin_prefetch(weights + line * (32 + c));
    }
#pragma GCC unroll 4
    for (int c = 0; c < C; c++) {
      const Floats w0 = wide(weights + c * kPanel), w1 = wide(weights + c * kPanel + kWidth);
#pragma GCC unroll 12
      for (int r = 0; r < R; r++) {
        const float value = x[r * stride + k + c];
        sums[c][r][0] += value * w0;
        sums[c][r][1] += value * w1;
      }
    }
  }
  for (; k < inputs; k++, weights += kPanel) {
#pragma GCC unroll 12
    for (int r = 0; r < R; r++) {
      sums[0][r][0] += x[r * stride + k] * wide(weights);
      sums[0][r][1] += x[r * stride + k] * wide(weights + kWidth);
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < R; r++) {
    for (int v = 0; v < 2; v++) {
      out[r][v] = sums[0][r][v];
      for (int c = 1; c < C; c++) out[r][v] += sums[c][r][v];
    }
  }
}

#include "kernels/linear_int4.h"
#include "kernels/linear_int8.h"

// Finishes a tile: bias, gate, factor, and where it goes.
template <int R>
INLINE void put(const Linear& layer, const Target& target, int panel, int row, Floats out[R][2]) {
  const float* bias = layer.bias ? layer.bias + panel * kPanel : nullptr;
  const float* added = target.added ? target.added + static_cast<long>(row - target.added_row) * kPanel : nullptr;
  for (int r = 0; r < R; r++) {
    Floats a = out[r][0], b = out[r][1];
    if (bias) a += load(bias), b += load(bias + kWidth);
    if (added) a += load(added + r * kPanel), b += load(added + r * kPanel + kWidth);
    if (layer.gated) {
      a = target.then == Then::kSilu ? silu(a) : gelu(a);
      store(target.values + (row + r) * target.stride + panel * kWidth, a * b);
      continue;
    }
    float* at = target.values + (row + r) * target.stride + panel * kPanel;
    a *= target.factor, b *= target.factor;
    if (target.then == Then::kAdd) a += load(at), b += load(at + kWidth);
    store(at, a), store(at + kWidth, b);
  }
}

template <int R, class Weight>
void tile_plain(const Linear& layer, const Rows& rows, const Target& target, int panel, int row) {
  const Weight* weights = static_cast<const Weight*>(layer.data) + static_cast<long>(panel - layer.first) * layer.inputs * kPanel;
  Floats out[R][2];
  multiply<R>(rows.values + row * rows.stride, rows.stride, weights, layer.inputs, out);
  put<R>(layer, target, panel, row, out);
}

template <int R, fastchat::Weights Type>
void tile_grouped(const Linear& layer, const Rows& rows, const Target& target, int panel, int row) {
  const uint8_t* weights = static_cast<const uint8_t*>(layer.data) + (panel - layer.first) * layer.panel_bytes();
  Floats out[R][2];
  if constexpr (Type == fastchat::Weights::kInt8) multiply_int8<R>(rows, row, weights, layer.groups(), out);
  if constexpr (Type == fastchat::Weights::kInt4) multiply_int4<R>(rows, row, weights, layer.groups(), out);
  if constexpr (Type == fastchat::Weights::kInt4Blocks) multiply_blocks<R>(rows, row, weights, layer.groups(), out);
  put<R>(layer, target, panel, row, out);
}

typedef void (*Tile)(const Linear&, const Rows&, const Target&, int panel, int row);

template <class Weight>
constexpr Tile kPlainTiles[] = {
    tile_plain<1, Weight>, tile_plain<2, Weight>, tile_plain<3, Weight>,
    tile_plain<4, Weight>, tile_plain<5, Weight>, tile_plain<6, Weight>,
#if defined(__AVX512F__)
    tile_plain<7, Weight>, tile_plain<8, Weight>, tile_plain<9, Weight>,
    tile_plain<10, Weight>, tile_plain<11, Weight>, tile_plain<12, Weight>,
#endif
};

template <fastchat::Weights Type>
constexpr Tile kGroupedTiles[] = {
    tile_grouped<1, Type>, tile_grouped<2, Type>, tile_grouped<3, Type>,
#if defined(__AVX512F__)
    tile_grouped<4, Type>, tile_grouped<5, Type>, tile_grouped<6, Type>,
#endif
};

// The tiles for weights of a type, by their heights from 1 on.
INLINE const Tile* tiles_of(fastchat::Weights type) {
  switch (type) {
    case fastchat::Weights::kFloat32: return kPlainTiles<float>;
    case fastchat::Weights::kBfloat16: return kPlainTiles<uint16_t>;
    case fastchat::Weights::kInt8: return kGroupedTiles<fastchat::Weights::kInt8>;
    case fastchat::Weights::kInt4: return kGroupedTiles<fastchat::Weights::kInt4>;
    default: return kGroupedTiles<fastchat::Weights::kInt4Blocks>;
  }
}

// One panel of outputs for the rows first … last, in tiles of equal heights as far as that goes.
void linear(const Linear& layer, const Rows& rows, const Target& target, int panel, int first, int last) {
  const int most = layer.grouped() ? kTileRowsGrouped : kTileRows;
  const Tile* tiles = tiles_of(layer.type);
  for (int row = first; row < last;) {
    const int left = last - row, number = (left + most - 1) / most, height = (left + number - 1) / number;
    tiles[height - 1](layer, rows, target, panel, row);
    row += height;
  }
}

}  // namespace
