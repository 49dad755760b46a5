#include "weights/gguf.h"

#include <cstring>

#include "weights/halves.h"

namespace fastchat {
namespace {

uint16_t half_at(const uint8_t* bytes) {
  uint16_t half;
  std::memcpy(&half, bytes, 2);
  return half;
}

}  // namespace

FormatSize size_of(Format format) {
  switch (format) {
    case Format::kQ4_0: return {kGroup, 18, Weights::kInt4};
    case Format::kQ4_1: return {kGroup, 20, Weights::kInt4};
    case Format::kQ8_0: return {kGroup, 34, Weights::kInt8};
    case Format::kQ4_K: return {kOfBlock, 144, Weights::kInt4Blocks};
    default: return {0, 0, Weights::kFloat32};
  }
}

Int8Group read_int8(const uint8_t* block) {
  Int8Group group{half_at(block), {}};
  std::memcpy(group.steps, block + 2, kGroup);
  return group;
}

// The lower halves of the bytes are the first 16 steps. Q4_0 has no lowest weight: its steps count from -8.
Int4Group read_int4(Format format, const uint8_t* block) {
  const uint16_t scale = half_at(block);
  const bool stated = format == Format::kQ4_1;
  Int4Group group{scale, stated ? half_at(block + 2) : to_float16(-8 * from_float16(scale)), {}};
  const uint8_t* bytes = block + (stated ? 4 : 2);
  for (int i = 0; i < kGroup / 2; i++) {
    group.steps[i] = bytes[i] & 15;
    group.steps[i + kGroup / 2] = bytes[i] >> 4;
  }
  return group;
}

// Eight scales and eight minima of 6 bits in 12 bytes: the last four of each have their upper two bits in those before.
// Minima are subtracted there.
Int4Block read_block(const uint8_t* from) {
  Int4Block block{half_at(from), half_at(from + 2), {}, {}, {}};
  const uint8_t *packed = from + 4, *bytes = from + 16;
  for (int i = 0; i < 4; i++) {
    block.scales[i] = packed[i] & 63;
    block.lows[i] = static_cast<int8_t>(-(packed[i + 4] & 63));
    block.scales[i + 4] = static_cast<uint8_t>((packed[i + 8] & 15) | packed[i] >> 6 << 4);
    block.lows[i + 4] = static_cast<int8_t>(-(packed[i + 8] >> 4 | packed[i + 4] >> 6 << 4));
  }
  for (int pair = 0; pair < kGroupsOfBlock / 2; pair++, bytes += kGroup) {
    for (int i = 0; i < kGroup; i++) {
      block.steps[2 * pair * kGroup + i] = bytes[i] & 15;
      block.steps[(2 * pair + 1) * kGroup + i] = bytes[i] >> 4;
    }
  }
  return block;
}

}  // namespace fastchat
