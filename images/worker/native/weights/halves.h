// Numbers of 16 bits: float16 (IEEE 754 binary16) and bfloat16, the upper half of a float.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace fastchat {

constexpr uint16_t kNoNumber = 0x7e00;  // in float16

inline uint32_t bits_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}

inline float float_of(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

// The nearest; the greatest finite one for what is greater.
inline uint16_t to_float16(float value) {
  const float size = std::fabs(value);
  const uint32_t bits = bits_of(size), sign = bits_of(value) >> 16 & 0x8000;
  if (size >= 65504.f) return static_cast<uint16_t>(sign | 0x7bff);
  if (size < 0x1p-14f) return static_cast<uint16_t>(sign | static_cast<uint32_t>(std::nearbyint(size * 0x1p24f)));
  const uint32_t rounded = (bits + 0xfff + (bits >> 13 & 1)) >> 13;
  return static_cast<uint16_t>(sign | (rounded - (112 << 10)));
}

inline float from_float16(uint16_t half) {
  const uint32_t size = half & 0x7fff, sign = (half & 0x8000u) << 16;
  if (size >= 0x7c00) return float_of(sign | 0x7f800000 | size << 13);
  if (size < 0x400) return float_of(sign | bits_of(static_cast<float>(size) * 0x1p-24f));
  return float_of(sign | ((size << 13) + (112u << 23)));
}

// The nearest, of two as near the even one; what is not a number stays so.
inline uint16_t to_bfloat16(float value) {
  const uint32_t bits = bits_of(value);
  if (value != value) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

inline float from_bfloat16(uint16_t half) { return float_of(static_cast<uint32_t>(half) << 16); }

}  // namespace fastchat
