// What is computed by kernels for the instruction sets that there are, and the types that they share.
#pragma once

#include <cstdint>

#include "weights/grid.h"

namespace fastchat {

constexpr int kBlock = 32;    // tokens of a block of keys and values
constexpr int kGroup = 32;    // weights or activations that share a scale, where they are int8 or int4
constexpr int kGroupsOfBlock = 8;  // groups whose scales share a scale, where they are int4 in blocks
constexpr int kPad = 32;      // rows of numbers are padded with zeros to a multiple of this
constexpr int kQueries = 8;   // rows that attention takes at once
constexpr int kMatrixRows = 16;  // rows of a tile of a matrix unit
constexpr int kParts = 3;        // numbers in bfloat16 that one in float32 is

__attribute__((always_inline)) constexpr long padded(long count) { return (count + kPad - 1) / kPad * kPad; }

enum class Weights : int { kFloat32 = 0, kBfloat16 = 1, kInt8 = 2, kInt4 = 3, kInt4Blocks = 4 };

// The weights of a linear layer in panels: as many outputs as two vectors have numbers, input by input.
//
// float32: [panel][input][output of the panel].
// bfloat16: [panel][input / 2][output of the panel][2], inputs padded with zeros to a multiple of kPad.
// int8: [panel][group] of scales in float16 [output of the panel] and [input / 4][output of the panel][4], where `offset`
// is added to each weight.
// int4: [panel][group] of scales and of lowest weights in float16, each [output of the panel], and [input / 8][output of
// the panel][4] bytes: the lower halves are the first four inputs' steps above the lowest weight, the upper the others'.
// int4 in blocks: [panel][block of 8 groups], which begins with the scale of the groups' scales and that of their lowest
// weights in float16, each [output of the panel]; then [group] of scales (uint8) and lowest weights (int8), each [output of
// the panel], and of steps as above.
struct Linear {
  int outputs = 0;
  int inputs = 0;
  int width = 0;   // outputs of a panel
  int first = 0;   // panels before, which are of another type
  int panels = 0;
  Weights type = Weights::kFloat32;
  int offset = 0;
  bool gated = false;  // the first half of a panel are gates, the second what they let through
  void* data = nullptr;
  float* bias = nullptr;  // [panels × width] in the order of the panels

  __attribute__((always_inline)) long groups() const { return (inputs + kGroup - 1) / kGroup; }
  __attribute__((always_inline)) bool grouped() const { return type >= Weights::kInt8; }
  __attribute__((always_inline)) long group_bytes() const {
    return width * (type == Weights::kInt8 ? 2 + kGroup : type == Weights::kInt4 ? 4 + kGroup / 2 : 2 + kGroup / 2);
  }
  __attribute__((always_inline)) long block_bytes() const { return 4 * width + kGroupsOfBlock * group_bytes(); }
  __attribute__((always_inline)) long panel_bytes() const {
    if (type == Weights::kFloat32) return 4L * inputs * width;
    if (type == Weights::kBfloat16) return 2 * padded(inputs) * width;
    const long heads = type == Weights::kInt4Blocks ? (groups() + kGroupsOfBlock - 1) / kGroupsOfBlock : 0;
    return groups() * group_bytes() + heads * 4 * width;
  }
};

// Activations, a row for each token: in float32, and of the other forms the one that its kernel reads.
struct Rows {
  const float* values = nullptr;
  // Groups of int8 with a scale and a sum each.
  const int8_t* quants = nullptr;
  const float* scales = nullptr;
  const int32_t* sums = nullptr;
  // Parts in bfloat16, each of what the ones before leave: [row / kMatrixRows][stride / kPad][kMatrixRows][kPad].
  const uint16_t* parts[kParts] = {};
  long stride = 0;  // numbers from one row to the next; a row has stride / kGroup scales and sums
};

// Of activations, beside weights of a type.
__attribute__((always_inline)) constexpr int parts_beside(Weights type) {
  return type == Weights::kFloat32 ? 3 : type == Weights::kBfloat16 ? 2 : 1;
}

enum class Then : int { kStore, kAdd, kSilu, kGelu };

// Where the outputs go: value × factor is stored or added; with a gate half as many outputs are stored.
struct Target {
  float* values = nullptr;
  long stride = 0;
  Then then = Then::kStore;
  float factor = 1;
  const float* added = nullptr;  // what adapters add to the outputs of a panel, for the rows from `added_row` on
  int added_row = 0;
};

// A vector of outputs, which is half a panel: of `count` numbers of a row, from `first` on, the weights [count][width / 2]
// in float32 or bfloat16.
struct LowRankHalf {
  void* weights;
  int first, count;
  Weights type;
};

// Attention of rows of one sequence that follow each other, for the query heads that share a head of keys and values.
//
// keys: blocks of [head_size][kBlock]; values: blocks of [kBlock][padded(head_size)]. table: which of the blocks are the
// sequence's, in the order of its tokens. Row i sees the tokens up to position + i, and of them the last `window`; 0: all.
// scores: room for kQueries rows of all blocks.
struct Attention {
  const float* query = nullptr;
  long query_stride = 0;
  float* out = nullptr;
  long out_stride = 0;
  const float* keys = nullptr;
  const float* values = nullptr;
  const int32_t* table = nullptr;
  long block_stride = 0;
  int rows = 0;
  int heads = 0;
  int head_size = 0;
  long position = 0;
  long window = 0;
  float scaling = 1;
  float softcap = 0;  // 0: none
  float* scores = nullptr;
};

// The tokens first … last that one row sees.
struct Seen {
  long first, last;
};

__attribute__((always_inline)) inline Seen seen(const Attention& a, int row) {
  const long last = a.position + row + 1;
  return {a.window && last > a.window ? last - a.window : 0, last};
}

// Linear layers and attention of many rows by matrix units: products of numbers in bfloat16, added up in float32.
//
// Weights in float32 are three such numbers each, as their activations are; of the products those are left out that are
// less than 2^-24 of the whole. Weights in bfloat16 are one and their activations two, those in groups and theirs one.
struct Matrix {
  // As Kernels' `linear`. room: for the weights of a panel, matrix_room(inputs) bytes in lines of 64.
  void (*linear)(const Linear&, const Rows&, const Target&, int panel, int first, int last, uint8_t* room);
  // As many parts of a row as are not null; each kPad numbers are a tile from the next ones.
  void (*split)(const float* row, long count, uint16_t* const parts[kParts]);
  // As Kernels' `attend`, of at most kRowsOfMatrixRun rows and heads of an even size. Queries, keys, weights and values
  // are rounded to one number in bfloat16 each. room: attention_room(…) bytes in lines of 64.
  void (*attend)(const Attention&, uint8_t* room);
};

constexpr int kMatrixSpan = 256;      // tokens whose keys and values attention rounds at a time
constexpr int kRowsOfMatrixRun = 32;  // that attention takes at once

__attribute__((always_inline)) constexpr long matrix_room(long inputs) {
  return padded(inputs) * kParts * 64 + kMatrixRows * 256;  // the parts of 32 outputs, and two rows of sums' tiles
}

// A row of values in whole columns of four tiles.
__attribute__((always_inline)) constexpr long wide(long head_size) { return (head_size + 63) / 64 * 64; }

// Of 16 queries of a head: sums, highest scores and totals in float32, and the queries.
__attribute__((always_inline)) constexpr long query_room(long head_size) {
  return kMatrixRows * (4 * wide(head_size) + 8 + 2 * padded(head_size));
}

__attribute__((always_inline)) constexpr long attention_room(long head_size, long heads) {
  const long span = kMatrixSpan * (4 * wide(head_size) + 6 * kMatrixRows);  // keys and values, scores and weights
  return span + kRowsOfMatrixRun / kMatrixRows * heads * query_room(head_size);
}

struct Kernels {
  const char* name;
  int width;        // outputs of a panel
  int offset;       // what is added to weights in int8
  void (*linear)(const Linear&, const Rows&, const Target&, int panel, int first, int last);
  void (*attend)(const Attention&);
  // RMSNorm of one row. count: its numbers; with `add` the result is added to what stands in `out`.
  void (*normalize)(const float* row, const float* weight, int count, float epsilon, float factor, bool add, float* out);
  void (*quantize)(const float* row, long count, int8_t* quants, float* scales, int32_t* sums);
  void (*cap)(float* values, long count, float limit);
  // So many halves of panels for `count` rows that follow each other. strides: from one row to the next, of rows and out.
  void (*low_rank)(const LowRankHalf* halves, int number, const float* rows, long stride, int count, float* out,
                   long out_stride);

  // Of a group of weights. From the lowest weight to the highest; the best of several that are narrower and moved to where
  // they are nearest by least squares, or that one. The nearest step of a grid to each weight and the sum of the squared
  // errors. importances: what each weight's squared error counts.
  Grid (*plain_grid)(const float* weights);
  Grid (*best_grid)(const float* weights, const float* importances);
  float (*take_steps)(const float* weights, const float* importances, Grid grid, uint8_t* steps);

  const Matrix* matrix = nullptr;  // where the CPU has matrix units
};

extern const Kernels kPlain;
#if defined(__x86_64__)
extern const Kernels kAvx2;
extern const Kernels kAvx512;
extern const Matrix kAmx;
#endif

// The best that this CPU has; by name where one is asked for, null where that is unknown or cannot run here.
const Kernels* pick_kernels(const char* name);

}  // namespace fastchat
