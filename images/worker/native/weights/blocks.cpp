// Weights in int4 whose groups' scales are in bytes.
#include <algorithm>
#include <cmath>

#include "weights/grid.h"
#include "weights/groups.h"
#include "weights/halves.h"

namespace fastchat {
namespace {

constexpr float kMostScale = 255, kMostLow = 127;

// value / unit, rounded and bounded.
float in_units(float value, float unit, float least, float most) {
  return unit > 0 ? std::clamp(nearest(value / unit), least, most) : 0.f;
}

class Rounding {
 public:
  Rounding(const Kernels& kernels, const float* weights, const float* importances, int count)
      : kernels_(kernels), filled_(weights, importances, count), groups_((count + kGroup - 1) / kGroup) {}

  Int4Block block() {
    Grid best[kGroupsOfBlock];
    float scale = 0, lowest = 0;
    for (int group = 0; group < groups_; group++) {
      best[group] = kernels_.best_grid(weights(group), importances(group));
      scale = std::max(scale, best[group].scale);
      lowest = std::max(lowest, std::fabs(best[group].lowest));
    }
    block_ = {to_float16(scale / kMostScale), to_float16(lowest / kMostLow), {}, {}, {}};
    scale_ = from_float16(block_.scale), lowest_ = from_float16(block_.lowest);
    for (int group = 0; group < groups_; group++) round(group, best[group]);
    return block_;
  }

 private:
  const float* weights(int group) const { return filled_.weights + group * kGroup; }
  const float* importances(int group) const { return filled_.importances + group * kGroup; }

  // A scale that is coarse asks for another lowest weight and the other way round, so that neighbours are tried too.
  void round(int group, Grid best) {
    float least = INFINITY;
    take(group, kernels_.plain_grid(weights(group)), least);
    for (int scale = -1; scale <= 1; scale++) {
      for (int low = -1; low <= 1; low++) {
        take(group, {best.lowest + lowest_ * static_cast<float>(low), best.scale + scale_ * static_cast<float>(scale)}, least);
      }
    }
  }

  // Takes a grid, as near as the bytes can say it, where the sum of the squared errors gets less.
  void take(int group, Grid grid, float& least) {
    const float scale = in_units(grid.scale, scale_, 0, kMostScale);
    const float low = in_units(grid.lowest, lowest_, -kMostLow, kMostLow);
    uint8_t steps[kGroup];
    const Grid said{low * lowest_, scale * scale_};
    const float errors = kernels_.take_steps(weights(group), importances(group), said, steps);
    if (!(errors < least)) return;
    least = errors;
    block_.scales[group] = static_cast<uint8_t>(scale), block_.lows[group] = static_cast<int8_t>(low);
    std::copy_n(steps, kGroup, block_.steps + group * kGroup);
  }

  const Kernels& kernels_;
  const Filled<kOfBlock> filled_;
  const int groups_;
  Int4Block block_{};
  float scale_ = 0, lowest_ = 0;  // as float16 has them
};

}  // namespace

Int4Block round_to_block(const Kernels& kernels, const float* weights, const float* importances, int count) {
  const bool finite = std::all_of(weights, weights + count, [](float weight) { return std::isfinite(weight); });
  return finite ? Rounding(kernels, weights, importances, count).block() : Int4Block{kNoNumber, 0, {}, {}, {}};
}

}  // namespace fastchat
