#include "weights/unpack.h"

#include <cstring>

#include "weights/halves.h"

namespace fastchat {
namespace {

constexpr int kSmall = 32, kLarge = 256;  // weights of a block

float half_at(const uint8_t* bytes) {
  uint16_t half;
  std::memcpy(&half, bytes, 2);
  return from_float16(half);
}

// Steps of 4 bits: those of the first half of the weights are in the lower halves of the bytes.
void halves(const uint8_t* bytes, int count, float scale, float lowest, float* lower, float* upper) {
  for (int i = 0; i < count; i++) lower[i] = static_cast<float>(bytes[i] & 15) * scale + lowest;
  for (int i = 0; i < count; i++) upper[i] = static_cast<float>(bytes[i] >> 4) * scale + lowest;
}

void q4_0(const uint8_t* block, float* out) {
  const float scale = half_at(block);
  for (int i = 0; i < kSmall / 2; i++) {
    out[i] = static_cast<float>((block[2 + i] & 15) - 8) * scale;
    out[i + kSmall / 2] = static_cast<float>((block[2 + i] >> 4) - 8) * scale;
  }
}

void q4_1(const uint8_t* block, float* out) {
  halves(block + 4, kSmall / 2, half_at(block), half_at(block + 2), out, out + kSmall / 2);
}

void q8_0(const uint8_t* block, float* out) {
  const float scale = half_at(block);
  const int8_t* steps = reinterpret_cast<const int8_t*>(block + 2);
  for (int i = 0; i < kSmall; i++) out[i] = static_cast<float>(steps[i]) * scale;
}

// Eight scales and eight minima of 6 bits in 12 bytes: the last four of each have their upper two bits in those before.
void q4_k(const uint8_t* block, float* out) {
  const float unit = half_at(block), least = half_at(block + 2);
  const uint8_t *packed = block + 4, *bytes = block + 16;
  float scales[8], minima[8];
  for (int i = 0; i < 4; i++) {
    scales[i] = unit * static_cast<float>(packed[i] & 63);
    minima[i] = -least * static_cast<float>(packed[i + 4] & 63);
    scales[i + 4] = unit * static_cast<float>((packed[i + 8] & 15) | packed[i] >> 6 << 4);
    minima[i + 4] = -least * static_cast<float>(packed[i + 8] >> 4 | packed[i + 4] >> 6 << 4);
  }
  for (int group = 0; group < 8; group++) {
    const uint8_t* from = bytes + group / 2 * kSmall;
    float* to = out + group * kSmall;
    const int shift = group % 2 * 4;
    for (int i = 0; i < kSmall; i++) to[i] = static_cast<float>(from[i] >> shift & 15) * scales[group] + minima[group];
  }
}

// Steps of 6 bits from -32: four lower bits, two upper ones, and 16 scales of a byte.
void q6_k(const uint8_t* block, float* out) {
  const uint8_t *low = block, *high = block + 128;
  const int8_t* scales = reinterpret_cast<const int8_t*>(block + 192);
  const float unit = half_at(block + 208);
  for (int part = 0; part < 8; part++) {  // of 32 weights
    const uint8_t* lower = low + part / 4 * 64 + part % 2 * 32;
    const uint8_t* upper = high + part / 4 * 32;
    const int shift = part % 4 / 2 * 4, above = part % 4 * 2;
    for (int i = 0; i < 32; i++) {
      const int step = (lower[i] >> shift & 15) | (upper[i] >> above & 3) << 4;
      out[part * 32 + i] = unit * static_cast<float>(scales[part * 2 + i / 16]) * static_cast<float>(step - 32);
    }
  }
}

void f16(const uint8_t* number, float* out) { *out = half_at(number); }

void bf16(const uint8_t* number, float* out) {
  uint16_t half;
  std::memcpy(&half, number, 2);
  *out = from_bfloat16(half);
}

struct Format {
  int id, weights, bytes;
  void (*unpack)(const uint8_t* block, float* out);
};

constexpr Format kFormats[] = {
    {1, 1, 2, f16},          {2, kSmall, 18, q4_0},   {3, kSmall, 20, q4_1},  {8, kSmall, 34, q8_0},
    {12, kLarge, 144, q4_k}, {14, kLarge, 210, q6_k}, {30, 1, 2, bf16},
};

}  // namespace

bool unpack(int format, const uint8_t* blocks, int64_t count, float* out) {
  for (const Format& known : kFormats) {
    if (known.id != format) continue;
    if (count % known.weights != 0) return false;
    for (int64_t at = 0; at < count; at += known.weights) {
      known.unpack(blocks + at / known.weights * known.bytes, out + at);
    }
    return true;
  }
  return false;
}

}  // namespace fastchat
