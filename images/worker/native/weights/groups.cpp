#include "weights/groups.h"

#include <algorithm>
#include <cmath>

#include "weights/grid.h"
#include "weights/halves.h"

namespace fastchat {
namespace {

bool all_finite(const float* weights, int count) {
  return std::all_of(weights, weights + count, [](float weight) { return std::isfinite(weight); });
}

Grid in_halves(Grid grid, Int4Group& group) {
  group.scale = to_float16(grid.scale), group.lowest = to_float16(grid.lowest);
  return {from_float16(group.lowest), from_float16(group.scale)};
}

}  // namespace

Int8Group round_to_int8(const float* weights, int count) {
  if (!all_finite(weights, count)) return {kNoNumber, {}};
  float most = 0;
  for (int i = 0; i < count; i++) most = std::max(most, std::fabs(weights[i]));
  Int8Group group{to_float16(most / 127.f), {}};
  const float scale = from_float16(group.scale), inverse = scale > 0 ? 1.f / scale : 0.f;
  for (int i = 0; i < count; i++) {
    group.steps[i] = static_cast<int8_t>(std::clamp(nearest(weights[i] * inverse), -127.f, 127.f));
  }
  return group;
}

Int4Group round_to_int4(const Kernels& kernels, const float* weights, const float* importances, int count) {
  if (!all_finite(weights, count)) return {kNoNumber, 0, {}};
  const Filled<kGroup> filled(weights, importances, count);
  const auto take = [&](Grid grid, Int4Group& group) {
    return kernels.take_steps(filled.weights, filled.importances, in_halves(grid, group), group.steps);
  };
  Int4Group plain{}, best{};
  const float errors = take(kernels.plain_grid(filled.weights), plain);
  const float least = take(kernels.best_grid(filled.weights, filled.importances), best);
  return least < errors ? best : plain;
}

}  // namespace fastchat
