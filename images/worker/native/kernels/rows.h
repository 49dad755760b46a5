// What is computed for one row by itself. Rows are padded with zeros, so that none of these needs a remainder.
#pragma once

#include "kernels/kernels.h"
#include "kernels/simd.h"

namespace {

void normalize(const float* row, const float* weight, int count, float epsilon, float factor, bool add, float* out) {
  const long length = fastchat::padded(count);
  Floats squares = {};
  for (long i = 0; i < length; i += kWidth) squares += load(row + i) * load(row + i);
  const float scale = 1.f / __builtin_sqrtf(sum(squares) / static_cast<float>(count) + epsilon);
  for (long i = 0; i < length; i += kWidth) {
    const Floats value = load(row + i) * scale * load(weight + i);
    store(out + i, add ? load(out + i) + value * factor : value);
  }
}

// Groups of 32 numbers in 127 steps to each side of zero. A group that is not finite gets NaN as its scale.
void quantize(const float* row, long count, int8_t* quants, float* scales, int32_t* sums) {
  for (long first = 0; first < count; first += fastchat::kGroup, scales++, sums++) {
    Floats most = {}, broken = {};
    for (int i = 0; i < fastchat::kGroup; i += kWidth) {
      const Floats value = load(row + first + i);
      most = maximum(most, maximum(value, -value));
      broken += value - value;
    }
    const float highest = greatest(most), inverse = highest > 0 ? 127.f / highest : 0.f;
    *scales = highest / 127.f + sum(broken);
    int32_t total = 0;
    for (int i = 0; i < fastchat::kGroup; i++) {
      const float step = row[first + i] * inverse;
      const int rounded = static_cast<int>((step + 12582912.f) - 12582912.f);
      quants[first + i] = static_cast<int8_t>(rounded);
      total += static_cast<int8_t>(rounded);
    }
    *sums = total;
  }
}

void cap(float* values, long count, float limit) {
  for (long i = 0; i < count; i += kWidth) {
    store(values + i, limit * hyperbolic_tangent(load(values + i) * (1.f / limit)));
  }
}

}  // namespace
