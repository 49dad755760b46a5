// How weights are laid out.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "model.h"

namespace fastchat {
namespace {

// The bfloat16 that is not smaller: with it as a scale no weight is cut off.
uint16_t round_up(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return static_cast<uint16_t>((bits + 0xffff) >> 16);
}

float widen(uint16_t half) {
  const uint32_t bits = static_cast<uint32_t>(half) << 16;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

// Of one group of a panel: its scales, and where the weight of an input and an output stands.
uint16_t* scales_of(const Linear& linear, int panel, long group) {
  char* start = static_cast<char*>(linear.data) + panel * linear.panel_bytes();
  return reinterpret_cast<uint16_t*>(start + group * linear.width * (2 + kGroup));
}

long within_group(const Linear& linear, int input, int output) {
  return 2L * linear.width + input / 4 * 4L * linear.width + 4L * output + input % 4;
}

}  // namespace

void Weight::open(const Kernels& kernels, Weights type, int outputs, int inputs, bool gated) {
  linear_ = Linear{outputs, inputs, kernels.width, 0, type, kernels.offset, gated, nullptr, nullptr};
  const int each = gated ? kernels.width / 2 : kernels.width;
  linear_.panels = ((gated ? outputs / 2 : outputs) + each - 1) / each;
  memory_ = take_memory(static_cast<size_t>(linear_.panels * linear_.panel_bytes()));
  linear_.data = memory_.get();
}

int Weight::place(int output) const {
  if (!linear_.gated) return output;
  const int half = linear_.outputs / 2, each = linear_.width / 2, index = output % half;
  return index / each * linear_.width + index % each + (output < half ? 0 : each);
}

void Weight::pack(Pool& pool, const float* rows, const float* bias, int at, int count) {
  if (bias && bias_.empty()) {
    bias_.assign(static_cast<size_t>(linear_.panels) * linear_.width, 0.f);
    linear_.bias = bias_.data();
  }
  pool.run([&](int thread) {
    const long first = static_cast<long>(count) * thread / pool.size();
    const long last = static_cast<long>(count) * (thread + 1) / pool.size();
    for (long row = first; row < last; row++) {
      const int to = place(at + static_cast<int>(row));
      pack_row(rows + row * linear_.inputs, to);
      if (bias) bias_[to] = bias[row];
    }
  });
}

void Weight::pack_row(const float* row, int place) {
  if (linear_.type == Weights::kInt8) {
    for (long group = 0; group < linear_.groups(); group++) pack_group(row, place, group);
    return;
  }
  const int panel = place / linear_.width, output = place % linear_.width;
  float* to = static_cast<float*>(linear_.data) + static_cast<long>(panel) * linear_.inputs * linear_.width + output;
  for (int input = 0; input < linear_.inputs; input++) to[static_cast<long>(input) * linear_.width] = row[input];
}

void Weight::pack_group(const float* row, int place, long group) {
  const int panel = place / linear_.width, output = place % linear_.width;
  const int count = static_cast<int>(std::min<long>(kGroup, linear_.inputs - group * kGroup));
  const float* from = row + group * kGroup;
  float most = 0;
  for (int i = 0; i < count; i++) most = std::max(most, std::fabs(from[i]));
  uint16_t* scales = scales_of(linear_, panel, group);
  scales[output] = round_up(most / 127.f);
  const float scale = widen(scales[output]), inverse = scale > 0 ? 1.f / scale : 0.f;
  uint8_t* weights = reinterpret_cast<uint8_t*>(scales);
  for (int i = 0; i < kGroup; i++) {
    const int step = i < count ? static_cast<int>(std::nearbyint(from[i] * inverse)) : 0;
    weights[within_group(linear_, i, output)] = static_cast<uint8_t>(std::clamp(step, -127, 127) + linear_.offset);
  }
}

void Weight::unpack(int row, float* out) const {
  const int to = place(row), panel = to / linear_.width, output = to % linear_.width;
  if (linear_.type == Weights::kFloat32) {
    const float* from = static_cast<const float*>(linear_.data) +
                        static_cast<long>(panel) * linear_.inputs * linear_.width + output;
    for (int input = 0; input < linear_.inputs; input++) out[input] = from[static_cast<long>(input) * linear_.width];
    return;
  }
  for (int input = 0; input < linear_.inputs; input++) {
    const uint16_t* scales = scales_of(linear_, panel, input / kGroup);
    const uint8_t stored = reinterpret_cast<const uint8_t*>(scales)[within_group(linear_, input % kGroup, output)];
    out[input] = static_cast<int8_t>(stored - linear_.offset) * widen(scales[output]);
  }
}

}  // namespace fastchat
