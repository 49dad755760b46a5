// What becomes of the sums of a linear layer.
#pragma once

#include "kernels/kernels.h"
#include "kernels/simd.h"

namespace {

using fastchat::Linear;
using fastchat::Target;
using fastchat::Then;

constexpr int kPanel = 2 * kWidth;

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

}  // namespace
