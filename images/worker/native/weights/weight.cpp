// How weights are laid out.
#include <algorithm>
#include <numeric>

#include "model.h"
#include "weights/halves.h"

namespace fastchat {
namespace {

// Where a group of a panel begins, with its scales; of int4 in blocks after what the block begins with.
uint8_t* group_of(const Linear& linear, int panel, long group) {
  uint8_t* begin = static_cast<uint8_t*>(linear.data) + (panel - linear.first) * linear.panel_bytes();
  if (linear.type != Weights::kInt4Blocks) return begin + group * linear.group_bytes();
  const long block = group / kGroupsOfBlock, within = group % kGroupsOfBlock;
  return begin + block * linear.block_bytes() + 4L * linear.width + within * linear.group_bytes();
}

uint16_t* halves_of(uint8_t* bytes) { return reinterpret_cast<uint16_t*>(bytes); }

// What the block of a group begins with.
uint16_t* head_of(const Linear& linear, int panel, long group) {
  return halves_of(group_of(linear, panel, group / kGroupsOfBlock * kGroupsOfBlock) - 4L * linear.width);
}

// Where the byte of an input and an output stands in a group.
long int8_at(const Linear& linear, int input, int output) {
  return 2L * linear.width + input / 4 * 4L * linear.width + 4L * output + input % 4;
}

long int4_at(const Linear& linear, int input, int output) {
  const long before = linear.type == Weights::kInt4 ? 4L : 2L;
  return before * linear.width + input / 8 * 4L * linear.width + 4L * output + input % 4;
}

// Where a weight stands among those in bfloat16, which lie in pairs.
long bfloat16_at(const Linear& linear, int panel, long input, int output) {
  return (panel - linear.first) * linear.panel_bytes() / 2 + (input / 2 * linear.width + output) * 2 + input % 2;
}

// By how many bits its half of the byte is shifted.
int shift_of(int input) { return input % 8 / 4 * 4; }

void put_steps(const Linear& linear, uint8_t* group, int output, const uint8_t* steps) {
  for (int i = 0; i < kGroup; i++) group[int4_at(linear, i, output)] |= steps[i] << shift_of(i);
}

// A panel that is of two parts takes the type of the one that loses nothing by it.
Weights finer(Weights a, Weights b) { return a == b ? a : Weights::kInt8; }

}  // namespace

void Weight::open(const Kernels& kernels, Arena& arena, const std::vector<Rows>& rows, int inputs, bool gated) {
  kernels_ = &kernels;
  const int width = kernels.width, each = gated ? width / 2 : width;
  const int outputs = std::accumulate(rows.begin(), rows.end(), 0, [](int sum, Rows of) { return sum + of.count; });
  linear_ = Linear{outputs, inputs, width, 0, 0, rows[0].type, kernels.offset, gated, nullptr, nullptr};
  linear_.panels = ((gated ? outputs / 2 : outputs) + each - 1) / each;
  std::vector<Weights> types(static_cast<size_t>(linear_.panels), Weights::kFloat32);
  std::vector<bool> known(types.size());
  int output = 0;
  for (const Rows& of : rows) {
    for (const int end = output + of.count; output < end; output++) {
      const size_t panel = static_cast<size_t>(place(output) / width);
      types[panel] = known[panel] ? finer(types[panel], of.type) : of.type;
      known[panel] = true;
    }
  }
  take_parts(arena, types);
}

void Weight::take_parts(Arena& arena, const std::vector<Weights>& types) {
  long bytes = 0;
  std::vector<long> begins;
  for (int panel = 0; panel < linear_.panels; panel++) {
    if (parts_.empty() || parts_.back().type != types[panel]) {
      parts_.push_back(linear_);
      parts_.back().type = types[panel], parts_.back().first = panel;
      begins.push_back(bytes);
    }
    bytes += parts_.back().panel_bytes();
  }
  const auto memory = static_cast<uint8_t*>(arena.take(static_cast<size_t>(bytes)));
  bytes_ = bytes;
  for (size_t part = 0; part < parts_.size(); part++) {
    parts_[part].data = memory + begins[part];
  }
}

const Linear& Weight::part_of(int panel) const {
  size_t part = parts_.size() - 1;
  while (parts_[part].first > panel) part--;
  return parts_[part];
}

int Weight::place(int output) const {
  if (!linear_.gated) return output;
  const int half = linear_.outputs / 2, each = linear_.width / 2, index = output % half;
  return index / each * linear_.width + index % each + (output < half ? 0 : each);
}

void Weight::add_bias(const float* bias, int at, int count) {
  if (!bias) return;
  if (bias_.empty()) {
    bias_.assign(static_cast<size_t>(linear_.panels) * linear_.width, 0.f);
    for (Linear& part : parts_) part.bias = bias_.data();
  }
  for (int row = 0; row < count; row++) bias_[place(at + row)] = bias[row];
}

// Calls `pack_row` for rows 0 … count with the place of each.
template <class PackRow>
void Weight::each_row(Pool& pool, int at, int count, PackRow pack_row) {
  pool.run([&](int thread) {
    const long first = static_cast<long>(count) * thread / pool.size();
    const long last = static_cast<long>(count) * (thread + 1) / pool.size();
    for (long row = first; row < last; row++) pack_row(row, place(at + static_cast<int>(row)));
  });
}

bool Weight::pack(Pool& pool, const fc_linear& linear, int at, int count) {
  add_bias(linear.bias, at, count);
  if (linear.blocks) {
    const uint8_t* blocks = static_cast<const uint8_t*>(linear.blocks);
    return pack_blocks(pool, static_cast<Format>(linear.format), blocks, at, count);
  }
  each_row(pool, at, count, [&](long row, int place) {
    pack_row(linear.rows + row * linear_.inputs, linear.importances, place);
  });
  return true;
}

bool Weight::pack_blocks(Pool& pool, Format format, const uint8_t* blocks, int at, int count) {
  const FormatSize size = size_of(format);
  if (!size.weights || linear_.inputs % size.weights) return false;
  for (int row = 0; row < count; row++) {
    if (part_of(place(at + row) / linear_.width).type != size.type) return false;
  }
  const long number = linear_.inputs / size.weights;
  each_row(pool, at, count, [&](long row, int place) {
    for (long block = 0; block < number; block++) {
      pack_block(format, blocks + (row * number + block) * size.bytes, place, block);
    }
  });
  return true;
}

void Weight::pack_row(const float* row, const float* importances, int place) {
  const int panel = place / linear_.width, output = place % linear_.width, inputs = linear_.inputs;
  const Linear& to = part_of(panel);
  const long first = static_cast<long>(panel - to.first) * inputs * to.width + output;
  const int size = to.type == Weights::kInt4Blocks ? kOfBlock : kGroup;
  switch (to.type) {
    case Weights::kFloat32:
      for (long i = 0; i < inputs; i++) static_cast<float*>(to.data)[first + i * to.width] = row[i];
      return;
    case Weights::kBfloat16:
      for (long i = 0; i < inputs; i++) {
        static_cast<uint16_t*>(to.data)[bfloat16_at(to, panel, i, output)] = to_bfloat16(row[i]);
      }
      return;
    default:
      for (int at = 0; at < inputs; at += size) {
        const float* counts = importances ? importances + at : nullptr;
        round_group(to, row + at, counts, std::min(size, inputs - at), place, at / size);
      }
  }
}

void Weight::round_group(const Linear& to, const float* weights, const float* counts, int count, int place, long index) {
  switch (to.type) {
    case Weights::kInt8: return put(round_to_int8(weights, count), place, index);
    case Weights::kInt4: return put(round_to_int4(*kernels_, weights, counts, count), place, index);
    default: return put(round_to_block(*kernels_, weights, counts, count), place, index);
  }
}

void Weight::pack_block(Format format, const uint8_t* block, int place, long index) {
  switch (format) {
    case Format::kQ8_0: return put(read_int8(block), place, index);
    case Format::kQ4_K: return put(read_block(block), place, index);
    default: return put(read_int4(format, block), place, index);
  }
}

void Weight::put(const Int8Group& group, int place, long index) {
  const int panel = place / linear_.width, output = place % linear_.width;
  const Linear& linear = part_of(panel);
  uint8_t* to = group_of(linear, panel, index);
  halves_of(to)[output] = group.scale;
  for (int i = 0; i < kGroup; i++) {
    to[int8_at(linear, i, output)] = static_cast<uint8_t>(group.steps[i] + linear.offset);
  }
}

void Weight::put(const Int4Group& group, int place, long index) {
  const int panel = place / linear_.width, output = place % linear_.width;
  const Linear& linear = part_of(panel);
  uint8_t* to = group_of(linear, panel, index);
  halves_of(to)[output] = group.scale;
  halves_of(to)[linear.width + output] = group.lowest;
  put_steps(linear, to, output, group.steps);
}

void Weight::put(const Int4Block& block, int place, long index) {
  const int panel = place / linear_.width, output = place % linear_.width;
  const Linear& linear = part_of(panel);
  const long first = index * kGroupsOfBlock, groups = std::min<long>(kGroupsOfBlock, linear.groups() - first);
  head_of(linear, panel, first)[output] = block.scale;
  head_of(linear, panel, first)[linear.width + output] = block.lowest;
  for (int group = 0; group < groups; group++) {
    uint8_t* to = group_of(linear, panel, first + group);
    to[output] = block.scales[group];
    to[linear.width + output] = static_cast<uint8_t>(block.lows[group]);
    put_steps(linear, to, output, block.steps + group * kGroup);
  }
}

void Weight::unpack(int row, float* out) const {
  const int to = place(row), panel = to / linear_.width, output = to % linear_.width;
  const Linear& from = part_of(panel);
  const long first = static_cast<long>(panel - from.first) * linear_.inputs * linear_.width + output;
  for (int input = 0; input < linear_.inputs; input++) {
    switch (from.type) {
      case Weights::kFloat32:
        out[input] = static_cast<const float*>(from.data)[first + static_cast<long>(input) * linear_.width];
        break;
      case Weights::kBfloat16:
        out[input] = from_bfloat16(static_cast<const uint16_t*>(from.data)[bfloat16_at(from, panel, input, output)]);
        break;
      default: out[input] = unpack_grouped(from, panel, output, input);
    }
  }
}

float Weight::unpack_grouped(const Linear& from, int panel, int output, int input) const {
  uint8_t* group = group_of(from, panel, input / kGroup);
  const int of_group = input % kGroup, width = from.width;
  if (from.type == Weights::kInt8) {
    const float scale = from_float16(halves_of(group)[output]);
    return static_cast<int8_t>(group[int8_at(from, of_group, output)] - from.offset) * scale;
  }
  const float steps = static_cast<float>(group[int4_at(from, of_group, output)] >> shift_of(of_group) & 15);
  if (from.type == Weights::kInt4) {
    return steps * from_float16(halves_of(group)[output]) + from_float16(halves_of(group)[width + output]);
  }
  const uint16_t* head = head_of(from, panel, input / kGroup);
  const float scale = from_float16(head[output]) * group[output];
  return steps * scale + from_float16(head[width + output]) * static_cast<int8_t>(group[width + output]);
}

}  // namespace fastchat
