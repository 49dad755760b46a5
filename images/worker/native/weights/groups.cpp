#include "weights/groups.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "weights/halves.h"

namespace fastchat {
namespace {

constexpr int kTrials = 4;          // of narrower ranges than from the lowest weight to the highest
constexpr float kNarrower = 0.06f;  // by which each is narrower than the one before
constexpr int kLanes = 8;           // sums that the compiler can add up at once

struct Range {
  float lowest, scale;
};

// Without a call, so that loops become vectors. Below 2^22.
float nearest(float value) { return (value + 12582912.f) - 12582912.f; }

template <class Term>
float sum_of_group(Term term) {
  float lanes[kLanes] = {};
  for (int first = 0; first < kGroup; first += kLanes) {
    for (int lane = 0; lane < kLanes; lane++) lanes[lane] += term(first + lane);
  }
  return std::accumulate(lanes, lanes + kLanes, 0.f);
}

// Steps with a scale and a lowest weight as float16 has them; returns the sum of the squared errors.
float take_steps(const float* weights, Range range, Int4Group& group) {
  group.scale = to_float16(range.scale);
  group.lowest = to_float16(range.lowest);
  const float scale = from_float16(group.scale), lowest = from_float16(group.lowest);
  const float inverse = scale > 0 ? 1.f / scale : 0.f;
  float steps[kGroup];
  for (int i = 0; i < kGroup; i++) {
    steps[i] = nearest(std::min(std::max((weights[i] - lowest) * inverse, 0.f), 15.f));
  }
  for (int i = 0; i < kGroup; i++) group.steps[i] = static_cast<uint8_t>(static_cast<int>(steps[i]));
  return sum_of_group([&](int i) {
    const float error = steps[i] * scale + lowest - weights[i];
    return error * error;
  });
}

// The scale and the lowest weight that are nearest to the weights by least squares, where the steps stay as they are.
Range regress(const float* weights, const Int4Group& group) {
  const float steps = sum_of_group([&](int i) { return static_cast<float>(group.steps[i]); });
  const float squares = sum_of_group([&](int i) { return static_cast<float>(group.steps[i] * group.steps[i]); });
  const float products = sum_of_group([&](int i) { return static_cast<float>(group.steps[i]) * weights[i]; });
  const float sum = sum_of_group([&](int i) { return weights[i]; });
  const float spread = kGroup * squares - steps * steps;
  if (!(spread > 0)) return {sum / kGroup, 0};
  const float scale = (kGroup * products - steps * sum) / spread;
  return {(sum - scale * steps) / kGroup, scale};
}

bool all_finite(const float* weights, int count) {
  return std::all_of(weights, weights + count, [](float weight) { return std::isfinite(weight); });
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

Int4Group round_to_int4(const float* weights, int count) {
  if (!all_finite(weights, count)) return {kNoNumber, 0, {}};
  float group[kGroup];
  std::fill(std::copy_n(weights, count, group), group + kGroup, weights[0]);
  const auto [lowest, highest] = std::minmax_element(group, group + kGroup);
  const float from = *lowest, span = *highest - *lowest;
  Int4Group best{}, tried{};
  float least = take_steps(group, {from, span / 15.f}, best);
  for (int trial = 0; trial < kTrials && least > 0; trial++) {
    const float cut = span * kNarrower * static_cast<float>(trial);
    take_steps(group, {from + cut / 2, (span - cut) / 15.f}, tried);
    const float errors = take_steps(group, regress(group, tried), tried);
    if (errors < least) least = errors, best = tried;
  }
  return best;
}

}  // namespace fastchat
