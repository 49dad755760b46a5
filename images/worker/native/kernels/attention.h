// Attention over blocks of keys and values: all scores of a few rows, their softmax, the sum of the values.
#pragma once

#include "kernels/kernels.h"
#include "kernels/simd.h"

namespace {

using fastchat::Attention;
using fastchat::kBlock;
using fastchat::kQueries;
using fastchat::Seen;
using fastchat::seen;

constexpr int kMostHeadSize = 512;
constexpr int kTileQueries = kWidth == 16 ? kQueries : 4;

INLINE void fetch_line(const float* at) {
#pragma GCC unroll 2
  for (int line = 0; line < kBlock / 16; line++) __builtin_prefetch(at + 16 * line);
}

// Scores of the tokens of blocks first … last, for Q queries whose numbers stand in turn: query [head_size][Q]. What is
// read next, of another block or the values, is fetched meanwhile: blocks are anywhere.
template <int Q>
INLINE void score(const Attention& a, const float* query, long first, long last, long stride) {
  for (long block = first; block < last; block++) {
    const float* keys = a.keys + a.table[block] * a.block_stride;
    const float* next = block + 1 < last ? a.keys + a.table[block + 1] * a.block_stride
                                         : a.values + a.table[first] * a.block_stride;
    for (int token = 0; token < kBlock; token += 2 * kWidth) {
      Floats sums[Q][2] = {};
      for (int d = 0; d < a.head_size; d++) {
        fetch_line(next + d * kBlock);
        const Floats k0 = load(keys + d * kBlock + token), k1 = load(keys + d * kBlock + token + kWidth);
#pragma GCC unroll 8
        for (int q = 0; q < Q; q++) {
          sums[q][0] += query[d * Q + q] * k0;
          sums[q][1] += query[d * Q + q] * k1;
        }
      }
#pragma GCC unroll 8
      for (int q = 0; q < Q; q++) {
        float* at = a.scores + q * stride + block * kBlock + token;
        store(at, sums[q][0]), store(at + kWidth, sums[q][1]);
      }
    }
  }
}

// Makes weights of the scores first … last of one query, of which it sees `own`; returns 1 / their sum.
INLINE float soften(float* scores, long first, long last, Seen own, float softcap) {
  if (softcap) {
    for (long t = first; t < last; t += kWidth) {
      store(scores + t, softcap * hyperbolic_tangent(load(scores + t) * (1.f / softcap)));
    }
  }
  for (long t = first; t < own.first; t++) scores[t] = -__builtin_inff();
  for (long t = own.last; t < last; t++) scores[t] = -__builtin_inff();
  Floats most = load(scores + first);
  for (long t = first + kWidth; t < last; t += kWidth) most = maximum(most, load(scores + t));
  const float highest = greatest(most);
  Floats total = {};
  for (long t = first; t < last; t += kWidth) {
    const Floats weights = exponential(load(scores + t) - highest);
    store(scores + t, weights);
    total += weights;
  }
  return 1.f / sum(total);
}

// The values of the tokens first … last, weighted; `part` numbers of them from d on, at most two vectors.
template <int Q>
INLINE void weigh(const Attention& a, long first, long last, long stride, int d, Floats out[Q][2]) {
  const long row = fastchat::padded(a.head_size);
  for (int q = 0; q < Q; q++) out[q][0] = out[q][1] = Floats{};
  for (long block = first / kBlock; block * kBlock < last; block++) {
    const float* values = a.values + a.table[block] * a.block_stride + d;
    const long ahead = (block + 1) * kBlock < last ? (a.table[block + 1] - a.table[block]) * a.block_stride : 0;
    const long from = block * kBlock < first ? first : block * kBlock;
    const long to = (block + 1) * kBlock < last ? (block + 1) * kBlock : last;
    for (long token = from; token < to; token++) {
      const float* value = values + (token - block * kBlock) * row;
      fetch_line(value + ahead);
      const Floats v0 = load(value), v1 = load(value + kWidth);
#pragma GCC unroll 8
      for (int q = 0; q < Q; q++) {
        const float weight = a.scores[q * stride + token];
        out[q][0] += weight * v0;
        out[q][1] += weight * v1;
      }
    }
  }
}

INLINE void copy_out(float* out, int left, Floats a, Floats b) {
  if (left >= 2 * kWidth) {
    store(out, a), store(out + kWidth, b);
    return;
  }
  for (int i = 0; i < left; i++) out[i] = i < kWidth ? a[i] : b[i - kWidth];
}

// Queries number … number + Q of the task, counted head by head and row by row.
template <int Q>
void attend_tile(const Attention& a, int number) {
  float query[kMostHeadSize * Q], shares[Q];
  for (int q = 0; q < Q; q++) {
    const float* from = a.query + (number + q) / a.heads * a.query_stride + (number + q) % a.heads * a.head_size;
    for (int d = 0; d < a.head_size; d++) query[d * Q + q] = from[d] * a.scaling;
  }
  const Seen early = seen(a, number / a.heads), late = seen(a, (number + Q - 1) / a.heads);
  const long first = early.first / kBlock, last = (late.last + kBlock - 1) / kBlock, stride = last * kBlock;
  score<Q>(a, query, first, last, stride);
  for (int q = 0; q < Q; q++) {
    const Seen own = seen(a, (number + q) / a.heads);
    shares[q] = soften(a.scores + q * stride, first * kBlock, last * kBlock, own, a.softcap);
  }
  for (int d = 0; d < a.head_size; d += 2 * kWidth) {
    Floats out[Q][2];
    weigh<Q>(a, early.first, late.last, stride, d, out);
    for (int q = 0; q < Q; q++) {
      float* to = a.out + (number + q) / a.heads * a.out_stride + (number + q) % a.heads * a.head_size + d;
      copy_out(to, a.head_size - d, out[q][0] * shares[q], out[q][1] * shares[q]);
    }
  }
}

constexpr void (*kAttendTiles[])(const Attention&, int) = {
    attend_tile<1>, attend_tile<2>, attend_tile<3>, attend_tile<4>,
#if defined(__AVX512F__)
    attend_tile<5>, attend_tile<6>, attend_tile<7>, attend_tile<8>,
#endif
};

void attend(const Attention& a) {
  const int queries = a.rows * a.heads;
  for (int number = 0; number < queries;) {
    const int left = queries - number, tiles = (left + kTileQueries - 1) / kTileQueries;
    const int height = (left + tiles - 1) / tiles;
    kAttendTiles[height - 1](a, number);
    number += height;
  }
}

}  // namespace
