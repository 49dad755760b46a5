// How weights are laid out.
#include <algorithm>

#include "model.h"
#include "weights/groups.h"
#include "weights/halves.h"

namespace fastchat {
namespace {

// Where a group of a panel begins, with its scales.
uint8_t* group_of(const Linear& linear, int panel, long group) {
  return static_cast<uint8_t*>(linear.data) + panel * linear.panel_bytes() + group * linear.group_bytes();
}

uint16_t* scales_of(uint8_t* group) { return reinterpret_cast<uint16_t*>(group); }

// Where the byte of an input and an output stands in a group.
long int8_at(const Linear& linear, int input, int output) {
  return 2L * linear.width + input / 4 * 4L * linear.width + 4L * output + input % 4;
}

long int4_at(const Linear& linear, int input, int output) {
  return 4L * linear.width + input / 8 * 4L * linear.width + 4L * output + input % 4;
}

// By how many bits its half of the byte is shifted.
int shift_of(int input) { return input % 8 / 4 * 4; }

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
  const int panel = place / linear_.width, output = place % linear_.width;
  const long first = static_cast<long>(panel) * linear_.inputs * linear_.width + output;
  if (linear_.grouped()) {
    for (long group = 0; group < linear_.groups(); group++) pack_group(row, panel, output, group);
  } else if (linear_.type == Weights::kFloat32) {
    float* to = static_cast<float*>(linear_.data) + first;
    for (long input = 0; input < linear_.inputs; input++) to[input * linear_.width] = row[input];
  } else {
    uint16_t* to = static_cast<uint16_t*>(linear_.data) + first;
    for (long input = 0; input < linear_.inputs; input++) to[input * linear_.width] = to_bfloat16(row[input]);
  }
}

void Weight::pack_group(const float* row, int panel, int output, long group) {
  const int count = static_cast<int>(std::min<long>(kGroup, linear_.inputs - group * kGroup));
  uint8_t* to = group_of(linear_, panel, group);
  if (linear_.type == Weights::kInt8) {
    const Int8Group rounded = round_to_int8(row + group * kGroup, count);
    scales_of(to)[output] = rounded.scale;
    for (int i = 0; i < kGroup; i++) {
      to[int8_at(linear_, i, output)] = static_cast<uint8_t>(rounded.steps[i] + linear_.offset);
    }
    return;
  }
  const Int4Group rounded = round_to_int4(row + group * kGroup, count);
  scales_of(to)[output] = rounded.scale;
  scales_of(to)[linear_.width + output] = rounded.lowest;
  for (int i = 0; i < kGroup; i++) to[int4_at(linear_, i, output)] |= rounded.steps[i] << shift_of(i);
}

void Weight::unpack(int row, float* out) const {
  const int to = place(row), panel = to / linear_.width, output = to % linear_.width;
  const long first = static_cast<long>(panel) * linear_.inputs * linear_.width + output;
  for (int input = 0; input < linear_.inputs; input++) {
    const long index = first + static_cast<long>(input) * linear_.width;
    switch (linear_.type) {
      case Weights::kFloat32: out[input] = static_cast<const float*>(linear_.data)[index]; break;
      case Weights::kBfloat16: out[input] = from_bfloat16(static_cast<const uint16_t*>(linear_.data)[index]); break;
      default: out[input] = unpack_grouped(panel, output, input);
    }
  }
}

float Weight::unpack_grouped(int panel, int output, int input) const {
  uint8_t* group = group_of(linear_, panel, input / kGroup);
  const float scale = from_float16(scales_of(group)[output]);
  const int of_group = input % kGroup;
  if (linear_.type == Weights::kInt8) {
    return static_cast<int8_t>(group[int8_at(linear_, of_group, output)] - linear_.offset) * scale;
  }
  const int steps = group[int4_at(linear_, of_group, output)] >> shift_of(of_group) & 15;
  return static_cast<float>(steps) * scale + from_float16(scales_of(group)[linear_.width + output]);
}

}  // namespace fastchat
