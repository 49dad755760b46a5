// Groups of weights in few bits with a common scale.
#pragma once

#include <cstdint>

#include "kernels/kernels.h"

namespace fastchat {

// weight = scale × step, steps from -127 to 127; as GGUF's Q8_0 has it, whose groups come back as they were.
struct Int8Group {
  uint16_t scale;  // float16
  int8_t steps[kGroup];
};

// weight = scale × step + lowest, steps from 0 to 15; as GGUF's Q4_1 has it, whose groups come back as they were.
struct Int4Group {
  uint16_t scale, lowest;  // float16
  uint8_t steps[kGroup];
};

// weight = scale × its group's scale × step + lowest × its group's lowest; GGUF's Q4_K is a case of it.
struct Int4Block {
  uint16_t scale, lowest;  // float16
  uint8_t scales[kGroupsOfBlock];
  int8_t lows[kGroupsOfBlock];
  uint8_t steps[kGroupsOfBlock * kGroup];
};

constexpr int kOfBlock = kGroupsOfBlock * kGroup;

// Weights filled up to a group or a block by such as widen no grid and do not count.
template <int Size>
struct Filled {
  Filled(const float* from, const float* counts, int count) {
    for (int i = 0; i < Size; i++) {
      weights[i] = i < count ? from[i] : from[count - 1];
      importances[i] = i < count ? (counts ? counts[i] : 1.f) : 0.f;
    }
  }
  float weights[Size], importances[Size];
};

// Of the first `count` weights; the steps after them are of no weights. Where one is not finite the scale is not a number,
// a block's too. importances: what the squared error of each counts; null: all the same.
Int8Group round_to_int8(const float* weights, int count);
Int4Group round_to_int4(const Kernels& kernels, const float* weights, const float* importances, int count);
Int4Block round_to_block(const Kernels& kernels, const float* weights, const float* importances, int count);

}  // namespace fastchat
