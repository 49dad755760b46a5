// Numbers of blocks of weights as GGUF files have them (ggml's ggml-common.h describes them).
#pragma once

#include <cstdint>

namespace fastchat {

// Writes `count` numbers of whole blocks that follow each other. Returns false for a format, by ggml's number, that is
// not known here, and where the count is not of whole blocks.
bool unpack(int format, const uint8_t* blocks, int64_t count, float* out);

}  // namespace fastchat
