// Groups of weights in sixteen equal steps: the grid that is nearest to them.
#pragma once

#include "kernels/kernels.h"
#include "kernels/simd.h"

namespace {

using fastchat::Grid;

constexpr int kVectors = fastchat::kGroup / kWidth;
constexpr int kTrials = 8;           // of narrower grids than from the lowest weight to the highest
constexpr float kNarrower = 0.035f;  // by which each is narrower than the one before

// A group's weights, or their steps.
struct Group {
  Floats values[kVectors];
};

// Σ term(vector) over a group's vectors.
template <class Term>
INLINE float total_of(Term term) {
  Floats all = {};
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; v++) all += term(v);
  return sum(all);
}

INLINE Group load_group(const float* weights) {
  Group group;
  for (int v = 0; v < kVectors; v++) group.values[v] = load(weights + v * kWidth);
  return group;
}

INLINE Group steps_of(const Group& weights, Grid grid) {
  const float inverse = grid.scale > 0 ? 1.f / grid.scale : 0.f;
  Group steps;
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; v++) {
    Floats step = maximum((weights.values[v] - grid.lowest) * inverse, Floats{});
    step = -maximum(-step, all(-15.f));
    steps.values[v] = (step + 12582912.f) - 12582912.f;  // the nearest
  }
  return steps;
}

// The sum of the squared errors, each times its importance.
INLINE float errors_of(const Group& weights, const Group& importance, const Group& steps, Grid grid) {
  return total_of([&](int v) {
    const Floats error = steps.values[v] * grid.scale + grid.lowest - weights.values[v];
    return importance.values[v] * error * error;
  });
}

// The grid that is nearest to the weights by least squares, where the steps stay as they are.
INLINE Grid regress(const Group& weights, const Group& importance, const Group& steps) {
  const float count = total_of([&](int v) { return importance.values[v]; });
  const float total = total_of([&](int v) { return importance.values[v] * weights.values[v]; });
  const float of_steps = total_of([&](int v) { return importance.values[v] * steps.values[v]; });
  const float squares = total_of([&](int v) { return importance.values[v] * steps.values[v] * steps.values[v]; });
  const float products = total_of([&](int v) { return importance.values[v] * steps.values[v] * weights.values[v]; });
  const float spread = count * squares - of_steps * of_steps;
  if (!(spread > 0)) return {count > 0 ? total / count : 0, 0};
  const float scale = (count * products - of_steps * total) / spread;
  return {(total - scale * of_steps) / count, scale};
}

INLINE Grid plain(const Group& weights) {
  Floats most = weights.values[0], least = -weights.values[0];
  for (int v = 1; v < kVectors; v++) {
    most = maximum(most, weights.values[v]);
    least = maximum(least, -weights.values[v]);
  }
  const float lowest = -greatest(least);
  return {lowest, (greatest(most) - lowest) / 15.f};
}

Grid plain_grid(const float* weights) { return plain(load_group(weights)); }

Grid best_grid(const float* weights, const float* importances) {
  const Group group = load_group(weights), importance = load_group(importances);
  const Grid widest = plain(group);
  Grid best = widest;
  float least = errors_of(group, importance, steps_of(group, widest), widest);
  for (int trial = 0; trial < kTrials && least > 0; trial++) {
    const float cut = widest.scale * kNarrower * static_cast<float>(trial);
    const Grid narrower{widest.lowest + 7.5f * cut, widest.scale - cut};
    const Grid moved = regress(group, importance, steps_of(group, narrower));
    const float errors = errors_of(group, importance, steps_of(group, moved), moved);
    if (errors < least) least = errors, best = moved;
  }
  return best;
}

float take_steps(const float* weights, const float* importances, Grid grid, uint8_t* taken) {
  const Group group = load_group(weights), steps = steps_of(group, grid);
  for (int v = 0; v < kVectors; v++) {
    const Ints whole = __builtin_convertvector(steps.values[v], Ints);
    for (int lane = 0; lane < kWidth; lane++) taken[v * kWidth + lane] = static_cast<uint8_t>(whole[lane]);
  }
  return errors_of(group, load_group(importances), steps, grid);
}

}  // namespace
