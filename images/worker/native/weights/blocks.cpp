// Weights in int4 whose groups' scales are in bytes.
#include <algorithm>
#include <cmath>

#include "weights/grid.h"
#include "weights/groups.h"
#include "weights/halves.h"

namespace fastchat {
namespace {

constexpr float kMostScale = 255, kMostLow = 127;

struct Units {
  float scale, lowest;  // as float16 has them
};

uint8_t to_byte(float value, float unit, float most) {
  return static_cast<uint8_t>(unit > 0 ? std::clamp(nearest(value / unit), 0.f, most) : 0.f);
}

int8_t to_signed(float value, float unit) {
  return static_cast<int8_t>(unit > 0 ? std::clamp(nearest(value / unit), -kMostLow, kMostLow) : 0.f);
}

// Takes the grid nearest to one that the bytes can say; returns the sum of the squared errors.
float take(const Kernels& kernels, const float* weights, Grid grid, Units units, uint8_t& scale, int8_t& low, uint8_t* steps) {
  scale = to_byte(grid.scale, units.scale, kMostScale);
  low = to_signed(grid.lowest, units.lowest);
  return kernels.take_steps(weights, {units.lowest * static_cast<float>(low), units.scale * static_cast<float>(scale)}, steps);
}

// Not more than what was there before.
void improve(const Kernels& kernels, const float* weights, Grid grid, Units units, Int4Block& block, int group, float& least) {
  uint8_t scale, steps[kGroup];
  int8_t low;
  const float errors = take(kernels, weights, grid, units, scale, low, steps);
  if (!(errors < least)) return;
  least = errors;
  block.scales[group] = scale, block.lows[group] = low;
  std::copy_n(steps, kGroup, block.steps + group * kGroup);
}

// A scale that is coarse asks for another lowest weight and the other way round, so that neighbours are tried too.
void round_group(const Kernels& kernels, const float* weights, Grid best, Units units, Int4Block& block, int group) {
  uint8_t* steps = block.steps + group * kGroup;
  float least = take(kernels, weights, kernels.plain_grid(weights), units, block.scales[group], block.lows[group], steps);
  for (int scale = -1; scale <= 1; scale++) {
    for (int low = -1; low <= 1; low++) {
      const Grid near{best.lowest + units.lowest * static_cast<float>(low),
                      best.scale + units.scale * static_cast<float>(scale)};
      improve(kernels, weights, near, units, block, group, least);
    }
  }
}

}  // namespace

Int4Block round_to_block(const Kernels& kernels, const float* weights, int count) {
  if (!std::all_of(weights, weights + count, [](float weight) { return std::isfinite(weight); })) {
    return {kNoNumber, 0, {}, {}, {}};
  }
  const int groups = (count + kGroup - 1) / kGroup;
  float filled[kOfBlock];
  std::fill(std::copy_n(weights, count, filled), filled + kOfBlock, weights[count - 1]);
  Grid best[kGroupsOfBlock];
  float scale = 0, lowest = 0;
  for (int group = 0; group < groups; group++) {
    best[group] = kernels.best_grid(filled + group * kGroup);
    scale = std::max(scale, best[group].scale);
    lowest = std::max(lowest, std::fabs(best[group].lowest));
  }
  Int4Block block{to_float16(scale / kMostScale), to_float16(lowest / kMostLow), {}, {}, {}};
  const Units units{from_float16(block.scale), from_float16(block.lowest)};
  for (int group = 0; group < groups; group++) round_group(kernels, filled + group * kGroup, best[group], units, block, group);
  return block;
}

}  // namespace fastchat
