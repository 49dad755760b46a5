// Linear layers by AMX: 32 rows times a panel of 32 outputs at a time, in four tiles of sums.
#pragma once

#include "kernels/amx/panel.h"
#include "kernels/amx/tiles.h"
#include "kernels/finish.h"
#include "kernels/kernels.h"
#include "kernels/simd.h"

namespace {

using fastchat::Rows;

// Tiles 0 to 3 are sums of two rows of tiles, 4 and 5 the activations of these, 6 and 7 the halves of a panel's weights.
// Tiles are loaded as late as they can be: a load waits for what still reads the tile. Null: the tile stays as it is.
// Tall: there is a second row of tiles.
template <bool Tall>
INLINE void multiply(const uint16_t* rows, long stride, const uint8_t* weights, const Panel& panel) {
  if (rows) _tile_loadd(4, rows, 64);
  if (weights) _tile_loadd(6, weights, panel.row);
  _tile_dpbf16ps(0, 4, 6);
  if (weights) _tile_loadd(7, weights + panel.half, panel.row);
  _tile_dpbf16ps(1, 4, 7);
  if (!Tall) return;
  if (rows) _tile_loadd(5, rows + stride, 64);
  _tile_dpbf16ps(2, 5, 6);
  _tile_dpbf16ps(3, 5, 7);
}

template <bool Tall>
INLINE void store_sums(float* sums) {
  _tile_stored(0, sums, 4 * kPanel);
  _tile_stored(1, sums + 16, 4 * kPanel);
  if (Tall) {
    _tile_stored(2, sums + 16 * kPanel, 4 * kPanel);
    _tile_stored(3, sums + 16 * kPanel + 16, 4 * kPanel);
  }
}

// The products of one step. Each pair of parts has one in common with the pair before, whose tiles stay.
template <bool Tall, fastchat::Weights Type>
INLINE void multiply_step(const uint16_t* const rows[], long at, long stride, const uint8_t* weights, const Panel& panel) {
  if constexpr (Type == fastchat::Weights::kFloat32) {
    multiply<Tall>(rows[2] + at, stride, weights, panel);
    multiply<Tall>(rows[1] + at, stride, nullptr, panel);
    multiply<Tall>(rows[0] + at, stride, nullptr, panel);
    multiply<Tall>(nullptr, stride, weights + 2 * panel.part, panel);
    multiply<Tall>(nullptr, stride, weights + panel.part, panel);
    multiply<Tall>(rows[1] + at, stride, nullptr, panel);
  } else if constexpr (Type == fastchat::Weights::kBfloat16) {
    multiply<Tall>(rows[1] + at, stride, weights, panel);
    multiply<Tall>(rows[0] + at, stride, nullptr, panel);
  } else {
    multiply<Tall>(rows[0] + at, stride, weights, panel);
  }
}

// row: a multiple of kMatrixRows. sums: [32 or 16][kPanel].
template <bool Tall, fastchat::Weights Type>
void multiply_block(const Rows& rows, int row, const Panel& panel, long steps, float* sums) {
  const long first = row * rows.stride, stride = kMatrixRows * rows.stride;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (long step = 0; step < steps; step++) {
    multiply_step<Tall, Type>(rows.parts, first + step * kTile, stride, panel.at + step * panel.step, panel);
  }
  store_sums<Tall>(sums);
}

typedef void (*Block)(const Rows&, int row, const Panel&, long steps, float* sums);

template <bool Tall>
INLINE Block block_of(fastchat::Weights type) {
  using fastchat::Weights;
  if (type == Weights::kFloat32) return multiply_block<Tall, Weights::kFloat32>;
  if (type == Weights::kBfloat16) return multiply_block<Tall, Weights::kBfloat16>;
  return multiply_block<Tall, Weights::kInt8>;  // and the others in groups: what is unpacked is alike
}

void linear_by_tiles(const Linear& layer, const Rows& rows, const Target& target, int panel, int first, int last,
                     uint8_t* room) {
  const Panel tiles = unpack(layer, panel, room);
  const long steps = fastchat::padded(layer.inputs) / kStep;
  float* sums = reinterpret_cast<float*>(room + fastchat::matrix_room(layer.inputs)) - 2 * kMatrixRows * kPanel;
  const Block tall = block_of<true>(layer.type), low = block_of<false>(layer.type);
  _tile_loadconfig(&kConfig);
  for (int block = first / kMatrixRows * kMatrixRows; block < last; block += 2 * kMatrixRows) {
    (block + kMatrixRows < last ? tall : low)(rows, block, tiles, steps, sums);
    for (int row = block < first ? first : block; row < last && row < block + 2 * kMatrixRows; row++) {
      const float* from = sums + (row - block) * kPanel;
      Floats out[1][2] = {{load(from), load(from + kWidth)}};
      put<1>(layer, target, panel, row, out);
    }
  }
  _tile_release();  // the thread is not ours alone
}

void split(const float* row, long count, uint16_t* const parts[fastchat::kParts]) {
  for (long i = 0; i < count; i += kWidth) {
    const long to = i / kStep * kTile + i % kStep;
    Floats left = load(row + i);
    for (int part = 0; part < fastchat::kParts && parts[part]; part++) {
      const __m256i rounded = (__m256i)_mm512_cvtneps_pbh((__m512)left);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(parts[part] + to), rounded);
      left -= (Floats)(__builtin_convertvector((Halves)rounded, Words) << 16);
    }
  }
}

}  // namespace
