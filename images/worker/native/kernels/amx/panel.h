// A panel of weights as tiles of AMX: 32 inputs of 16 outputs, where a row has two inputs of each output, in bfloat16.
#pragma once

#include "kernels/amx/tiles.h"
#include "kernels/kernels.h"
#include "kernels/simd.h"

namespace {

using fastchat::kGroup;
using fastchat::Linear;

constexpr int kPartBytes = 2 * kTileBytes;  // a part has two halves of outputs

// Where the tiles of a panel stand: for each step of inputs two halves of outputs.
struct Panel {
  const uint8_t* at;
  long step, half, row;  // bytes from one to the next
  long part;             // from one part to the next; 0: there is one
};

// The parts of two vectors, a kPartBytes from each to the next.
INLINE void store_parts(Floats first, Floats second, uint8_t* to) {
  for (int part = 0; part < fastchat::kParts; part++, to += kPartBytes) {
    const __m512i pairs = pairs_of(first, second);
    _mm512_store_si512(to, pairs);
    first -= (Floats)((Words)pairs << 16);
    second -= (Floats)((Words)pairs & 0xffff0000);
  }
}

Panel unpack_float32(const Linear& layer, const float* weights, uint8_t* room) {
  constexpr int kOutputs = 2 * kWidth, kStepBytes = fastchat::kParts * kPartBytes;
  const long all = fastchat::padded(layer.inputs);
  for (long input = 0; input < all; input += 2, weights += 2 * kOutputs) {
    uint8_t* to = room + input / kStep * kStepBytes + input % kStep / 2 * 64;
    for (int half = 0; half < 2; half++) {
      const Floats first = input < layer.inputs ? load(weights + half * kWidth) : Floats{};
      const Floats second = input + 1 < layer.inputs ? load(weights + kOutputs + half * kWidth) : Floats{};
      store_parts(first, second, to + half * kTileBytes);
    }
  }
  return {room, kStepBytes, kTileBytes, 64, kPartBytes};
}

// Four inputs of 16 outputs, a byte each, as two rows of a tile: byte × scale + shift.
INLINE void unpack_bytes(__m512i bytes, Floats scale, Floats shift, uint8_t* to) {
  Floats inputs[4];
  for (int i = 0; i < 4; i++) {
    const Words value = (Words)bytes >> 8 * i & 0xff;
    inputs[i] = __builtin_convertvector((Ints)value, Floats) * scale + shift;
  }
  _mm512_store_si512(to, pairs_of(inputs[0], inputs[1]));
  _mm512_store_si512(to + 64, pairs_of(inputs[2], inputs[3]));
}

Panel unpack_int8(const Linear& layer, const uint8_t* weights, uint8_t* room) {
  const __m512i turn = _mm512_set1_epi8(static_cast<char>(128 - layer.offset));  // to where zero is 128
  for (long group = 0; group < layer.groups(); group++, weights += layer.group_bytes()) {
    for (int half = 0; half < 2; half++) {
      const Floats scale = load_float16(reinterpret_cast<const uint16_t*>(weights) + half * kWidth);
      const uint8_t* from = weights + 4 * kWidth + half * 64;
      uint8_t* to = room + group * kPartBytes + half * kTileBytes;
      for (int quad = 0; quad < kGroup / 4; quad++) {
        const __m512i bytes = _mm512_xor_si512(_mm512_loadu_si512(from + quad * 128), turn);
        unpack_bytes(bytes, scale, -128.f * scale, to + quad * 128);
      }
    }
  }
  return {room, kPartBytes, kTileBytes, 64, 0};
}

// A group of 16 outputs of a panel, its steps of 4 bits from `from` on.
INLINE void unpack_steps(const uint8_t* from, Floats scale, Floats lowest, uint8_t* to) {
  const __m512i lower = _mm512_set1_epi8(15);
  for (int eight = 0; eight < kGroup / 8; eight++) {
    const __m512i steps = _mm512_loadu_si512(from + eight * 128);
    unpack_bytes(_mm512_and_si512(steps, lower), scale, lowest, to + eight * 256);
    unpack_bytes(_mm512_and_si512(_mm512_srli_epi16(steps, 4), lower), scale, lowest, to + eight * 256 + 128);
  }
}

Panel unpack_int4(const Linear& layer, const uint8_t* weights, uint8_t* room) {
  for (long group = 0; group < layer.groups(); group++, weights += layer.group_bytes()) {
    for (int half = 0; half < 2; half++) {
      const uint16_t* scales = reinterpret_cast<const uint16_t*>(weights) + half * kWidth;
      const Floats scale = load_float16(scales), lowest = load_float16(scales + 2 * kWidth);
      unpack_steps(weights + 8 * kWidth + half * 64, scale, lowest, room + group * kPartBytes + half * kTileBytes);
    }
  }
  return {room, kPartBytes, kTileBytes, 64, 0};
}

Panel unpack_blocks(const Linear& layer, const uint8_t* weights, uint8_t* room) {
  const uint16_t* head = nullptr;
  for (long group = 0; group < layer.groups(); group++, weights += layer.group_bytes()) {
    if (group % fastchat::kGroupsOfBlock == 0) {
      head = reinterpret_cast<const uint16_t*>(weights);
      weights += 8 * kWidth;
    }
    for (int half = 0; half < 2; half++) {
      const uint8_t* scales = weights + half * kWidth;
      const Floats scale = load_float16(head + half * kWidth) * small<Bytes>(scales);
      const Floats lowest = load_float16(head + (2 + half) * kWidth) * small<SignedBytes>(scales + 2 * kWidth);
      unpack_steps(weights + 4 * kWidth + half * 64, scale, lowest, room + group * kPartBytes + half * kTileBytes);
    }
  }
  return {room, kPartBytes, kTileBytes, 64, 0};
}

// room: as matrix_room() says; not needed for weights that are in bfloat16 already.
Panel unpack(const Linear& layer, int panel, uint8_t* room) {
  const uint8_t* weights = static_cast<const uint8_t*>(layer.data) + (panel - layer.first) * layer.panel_bytes();
  switch (layer.type) {
    case fastchat::Weights::kFloat32: return unpack_float32(layer, reinterpret_cast<const float*>(weights), room);
    case fastchat::Weights::kBfloat16: return {weights, kPartBytes, 64, 128, 0};
    case fastchat::Weights::kInt8: return unpack_int8(layer, weights, room);
    case fastchat::Weights::kInt4: return unpack_int4(layer, weights, room);
    default: return unpack_blocks(layer, weights, room);
  }
}

}  // namespace
