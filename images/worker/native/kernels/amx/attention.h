// Attention by AMX: 16 queries beside spans of tokens, whose keys and values are rounded to bfloat16 once for all queries.
//
// What a span adds to a query's sum of values is scaled to the highest score so far (arXiv:2205.14135), so that no more
// than a span's scores have to be kept.
#pragma once

#include "kernels/amx/tiles.h"
#include "kernels/kernels.h"
#include "kernels/simd.h"

namespace {

using fastchat::Attention;
using fastchat::kBlock;
using fastchat::kMatrixSpan;
using fastchat::Seen;
using fastchat::seen;

// A head's queries of 16 rows, and what they have come to.
struct Queries {
  int head, first, count;
  uint16_t* numbers;  // [head size / kStep][16][kStep]
  float* sums;        // [16][wide]: values, weighted
  float* highest;     // [16] scores
  float* totals;      // [16]: sums of weights
};

// The parts of a thread's room, attention_room() bytes. wide: numbers of a row of values and sums.
struct Places {
  long steps, wide;
  uint8_t* keys;      // [token / 16][dimension / kStep] tiles
  uint8_t* values;    // [token / kStep][dimension / 16] tiles
  float* scores;      // [16][kMatrixSpan]
  uint16_t* weights;  // [token / kStep][16][kStep]
  uint8_t* queries;
};

INLINE Places places(const Attention& a, uint8_t* room) {
  Places p;
  p.steps = fastchat::padded(a.head_size) / kStep;
  p.wide = fastchat::wide(a.head_size);
  p.keys = room;
  p.values = p.keys + 2 * kMatrixSpan * p.wide;
  p.scores = reinterpret_cast<float*>(p.values + 2 * kMatrixSpan * p.wide);
  p.weights = reinterpret_cast<uint16_t*>(p.scores + kMatrixRows * kMatrixSpan);
  p.queries = reinterpret_cast<uint8_t*>(p.weights + kMatrixRows * kMatrixSpan);
  return p;
}

INLINE Queries queries_of(const Attention& a, const Places& p, int number) {
  uint8_t* at = p.queries + number * fastchat::query_room(a.head_size);
  Queries of;
  of.head = number % a.heads;
  of.first = number / a.heads * kMatrixRows;
  of.count = a.rows - of.first < kMatrixRows ? a.rows - of.first : kMatrixRows;
  of.sums = reinterpret_cast<float*>(at);
  of.highest = of.sums + kMatrixRows * p.wide;
  of.totals = of.highest + kMatrixRows;
  of.numbers = reinterpret_cast<uint16_t*>(of.totals + kMatrixRows);
  return of;
}

// Of the next 16 numbers the `left` that there are.
INLINE __mmask16 first_of(long left) { return static_cast<__mmask16>(left >= kWidth ? 0xffff : (1u << left) - 1); }

INLINE void store_rounded(uint16_t* at, Floats values) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), (__m256i)_mm512_cvtneps_pbh((__m512)values));
}

void begin(const Attention& a, const Places& p, const Queries& of) {
  for (int row = 0; row < kMatrixRows; row++) {
    const float* from = a.query + (of.first + row) * a.query_stride + of.head * a.head_size;
    for (long d = 0; d < p.steps * kStep; d += kWidth) {
      const __mmask16 there = first_of(row < of.count && d < a.head_size ? a.head_size - d : 0);
      const Floats query = (Floats)_mm512_maskz_loadu_ps(there, from + d) * a.scaling;
      store_rounded(of.numbers + d / kStep * kTile + row * kStep + d % kStep, query);
    }
    for (long d = 0; d < p.wide; d += kWidth) store(of.sums + row * p.wide + d, Floats{});
    of.highest[row] = -__builtin_inff();
    of.totals[row] = 0;
  }
}

// Keys of a block of tokens, number `block` of the span.
void read_keys(const Attention& a, const Places& p, const float* keys, int block) {
  for (long d = 0; d < p.steps * kStep; d += 2) {
    for (int half = 0; half < kBlock / 16; half++) {
      const float* at = keys + d * kBlock + half * 16;
      const __m512i pairs = d < a.head_size ? pairs_of(load(at), load(at + kBlock)) : __m512i{};
      uint8_t* tile = p.keys + ((2 * block + half) * p.steps + d / kStep) * kTileBytes;
      _mm512_store_si512(tile + d % kStep / 2 * 64, pairs);
    }
  }
}

// Values of a block; those of tokens that no row sees, which may be anything, are zeros.
void read_values(const Attention& a, const Places& p, const float* values, int block, Seen of_block) {
  const long row = fastchat::padded(a.head_size);
  for (long token = 0; token < kBlock; token += 2) {
    const bool first = token >= of_block.first && token < of_block.last;
    const bool second = token + 1 >= of_block.first && token + 1 < of_block.last;
    for (long d = 0; d < p.wide; d += 16) {
      const float* at = values + token * row + d;
      const bool there = d < row;
      const Floats one = first && there ? load(at) : Floats{}, other = second && there ? load(at + row) : Floats{};
      _mm512_store_si512(p.values + (block * p.wide / 16 + d / 16) * kTileBytes + token / 2 * 64, pairs_of(one, other));
    }
  }
}

void read_span(const Attention& a, const Places& p, Seen span, Seen all) {
  for (long first = span.first; first < span.last; first += kBlock) {
    const long from = a.table[first / kBlock] * a.block_stride;
    const int block = static_cast<int>((first - span.first) / kBlock);
    read_keys(a, p, a.keys + from, block);
    read_values(a, p, a.values + from, block, {all.first - first, all.last - first});
  }
}

// Products of 16 rows with four columns of tiles, a number of steps each, added to the tiles 0 to 3.
INLINE void multiply_four(const uint16_t* rows, const uint8_t* columns, long column, long step, long steps) {
  for (long i = 0; i < steps; i++, rows += kTile, columns += step) {
    _tile_loadd(4, rows, 64);
    _tile_loadd(5, columns, 64);
    _tile_dpbf16ps(0, 4, 5);
    _tile_loadd(6, columns + column, 64);
    _tile_dpbf16ps(1, 4, 6);
    _tile_loadd(7, columns + 2 * column, 64);
    _tile_dpbf16ps(2, 4, 7);
    _tile_loadd(5, columns + 3 * column, 64);
    _tile_dpbf16ps(3, 4, 5);
  }
}

INLINE void store_four(float* at, long stride) {
  _tile_stored(0, at, stride);
  _tile_stored(1, at + 16, stride);
  _tile_stored(2, at + 32, stride);
  _tile_stored(3, at + 48, stride);
}

void score_span(const Places& p, const Queries& of, long tokens) {
  for (long token = 0; token < tokens; token += 64) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    const uint8_t* keys = p.keys + token / 16 * p.steps * kTileBytes;
    multiply_four(of.numbers, keys, p.steps * kTileBytes, kTileBytes, p.steps);
    store_four(p.scores + token, 4 * kMatrixSpan);
  }
}

// Scores of tokens that a row does not see.
INLINE void hide(float* scores, long first, long last) {
  for (long t = first / kWidth * kWidth; t < last; t += kWidth) {
    const auto before = first > t ? first_of(first - t) : static_cast<__mmask16>(0);
    _mm512_mask_storeu_ps(scores + t, first_of(last - t) & ~before, (__m512)all(-__builtin_inff()));
  }
}

// e to the x, where x is at most 0, with a relative error below 1.1e-4, a tenth of bfloat16's. NaN for NaN.
INLINE Floats weight_of(Floats x) {
  const Floats power = maximum(all(-125.f), x * 1.44269504f);  // of 2; numbers below are slow
  const Floats whole = (Floats)_mm512_maskz_roundscale_ps(0xffff, (__m512)power, _MM_FROUND_TO_NEAREST_INT);
  const Floats f = power - whole;
  const Floats p = ((all(0.05500828f) * f + 0.2422096f) * f + 0.69328285f) * f + 1.f;
  return (Floats)_mm512_maskz_scalef_ps(0xffff, (__m512)p, (__m512)whole);
}

// Makes weights of a row's scores, of which it sees `own`.
void soften_span(const Attention& a, const Places& p, const Queries& of, int row, Seen own, long tokens) {
  float* scores = p.scores + row * kMatrixSpan;
  for (long t = 0; a.softcap && t < tokens; t += kWidth) {
    store(scores + t, a.softcap * hyperbolic_tangent(load(scores + t) * (1.f / a.softcap)));
  }
  hide(scores, 0, own.first < tokens ? own.first : tokens);
  hide(scores, own.last > 0 ? own.last : 0, tokens);
  Floats most = all(of.highest[row]);
  for (long t = 0; t < tokens; t += kWidth) most = maximum(load(scores + t), most);
  const float highest = greatest(most);
  const float base = highest == -__builtin_inff() ? 0 : highest;  // none of the tokens so far is seen
  Floats total = {};
  for (long t = 0; t < tokens; t += kWidth) {
    const Floats weights = weight_of(load(scores + t) - base);
    store_rounded(p.weights + t / kStep * kTile + row * kStep + t % kStep, weights);
    total += weights;
  }
  const float kept = weight_of(all(of.highest[row] - base))[0];
  of.totals[row] = of.totals[row] * kept + sum(total);
  of.highest[row] = highest;
  if (kept == 1) return;
  float* sums = of.sums + row * p.wide;
  for (long d = 0; d < p.wide; d += kWidth) store(sums + d, load(sums + d) * kept);
}

void weigh_span(const Places& p, const Queries& of, long tokens) {
  const long stride = 4 * p.wide;
  for (long d = 0; d < p.wide; d += 64) {
    float* sums = of.sums + d;
    _tile_loadd(0, sums, stride);
    _tile_loadd(1, sums + 16, stride);
    _tile_loadd(2, sums + 32, stride);
    _tile_loadd(3, sums + 48, stride);
    const uint8_t* values = p.values + d / 16 * kTileBytes;
    multiply_four(p.weights, values, kTileBytes, p.wide / 16 * kTileBytes, (tokens + kStep - 1) / kStep);
    store_four(sums, stride);
  }
}

void attend_span(const Attention& a, const Places& p, const Queries& of, Seen span) {
  const long last = seen(a, of.first + of.count - 1).last;
  const long tokens = ((last < span.last ? last : span.last) - span.first + kBlock - 1) / kBlock * kBlock;
  if (tokens <= 0 || seen(a, of.first).first >= span.last) return;
  score_span(p, of, tokens);
  for (int row = 0; row < of.count; row++) {
    const Seen own = seen(a, of.first + row);
    soften_span(a, p, of, row, {own.first - span.first, own.last - span.first}, tokens);
  }
  weigh_span(p, of, tokens);
}

void end(const Attention& a, const Places& p, const Queries& of) {
  for (int row = 0; row < of.count; row++) {
    const float* sums = of.sums + row * p.wide;
    float* to = a.out + (of.first + row) * a.out_stride + of.head * a.head_size;
    for (long d = 0; d < a.head_size; d += kWidth) {
      _mm512_mask_storeu_ps(to + d, first_of(a.head_size - d), (__m512)(load(sums + d) * (1.f / of.totals[row])));
    }
  }
}

void attend_by_tiles(const Attention& a, uint8_t* room) {
  const Places p = places(a, room);
  const int number = (a.rows + kMatrixRows - 1) / kMatrixRows * a.heads;
  const Seen whole = {seen(a, 0).first, seen(a, a.rows - 1).last};
  _tile_loadconfig(&kConfig);
  for (int i = 0; i < number; i++) begin(a, p, queries_of(a, p, i));
  for (long first = whole.first / kBlock * kBlock; first < whole.last; first += kMatrixSpan) {
    const Seen span = {first, first + kMatrixSpan < whole.last ? first + kMatrixSpan : whole.last};
    read_span(a, p, span, whole);
    for (int i = 0; i < number; i++) attend_span(a, p, queries_of(a, p, i), span);
  }
  for (int i = 0; i < number; i++) end(a, p, queries_of(a, p, i));
  _tile_release();
}

}  // namespace
