// Blocks of weights as GGUF files have them (ggml's ggml-common.h describes them).
#pragma once

#include <cstdint>

#include "weights/groups.h"

namespace fastchat {

enum class Format : int { kQ4_0 = 2, kQ4_1 = 3, kQ8_0 = 8, kQ4_K = 12 };  // by ggml's numbers

struct FormatSize {
  int weights, bytes;  // of a block; 0 for a format that is not known
  Weights type;        // what holds all of its numbers
};

FormatSize size_of(Format format);

// One block of Q8_0; of Q4_0 or Q4_1; of Q4_K.
Int8Group read_int8(const uint8_t* block);
Int4Group read_int4(Format format, const uint8_t* block);
Int4Block read_block(const uint8_t* block);

}  // namespace fastchat
