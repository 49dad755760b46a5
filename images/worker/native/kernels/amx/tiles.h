// Tiles of AMX, and numbers in bfloat16 as they have them.
#pragma once

#include "kernels/kernels.h"
#include "kernels/simd.h"

namespace {

using fastchat::kMatrixRows;

constexpr int kStep = 32;  // inputs of a tile
constexpr int kTile = kMatrixRows * kStep, kTileBytes = 2 * kTile;
static_assert(kStep == fastchat::kGroup && kStep == fastchat::kPad);

// What LDTILECFG loads: all eight tiles have 16 rows of 64 bytes.
struct alignas(64) TileConfig {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

constexpr TileConfig kConfig;

// Two vectors of numbers in bfloat16, number by number.
INLINE __m512i pairs_of(Floats first, Floats second) {
  alignas(64) static constexpr uint16_t kOrder[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                                      8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  const __m512i apart = (__m512i)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
  return _mm512_permutexvar_epi16(_mm512_load_si512(kOrder), apart);
}

}  // namespace
