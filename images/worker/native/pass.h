// One pass of a batch of rows through the model.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <vector>

#include "adapters/lora.h"
#include "memory.h"
#include "model.h"

namespace fastchat {

// The memory that a pass needs and the next one uses again.
struct Scratch {
  Buffer<float> hidden, normed, qkv, attended, gated, branch;
  Buffer<int8_t> quants;
  Buffer<float> scales;
  Buffer<int32_t> sums;
  Buffer<Line> parts[kParts];    // of activations, for matrix units
  Buffer<Line> room;             // [threads]: the weights, or keys and values, that a matrix unit is at
  Buffer<float> cosines, sines;  // [ropes × rows]
  Buffer<float> scores;          // [threads]
  Buffer<float> projected;       // x · aᵀ of rows with an adapter
  Buffer<float> added;           // [threads]: what adapters add to the item under way
  std::unique_ptr<std::atomic<int>[]> taken;  // items of each phase that threads take as they come to them
};

constexpr int kRowsOfItem = 192;  // of which activations stay in the cache while panels of weights pass by
constexpr long kRowsOfMatrixItem = 512;  // at most, and as many as kBytesOfMatrixItem of activations
constexpr long kBytesOfMatrixItem = 1200 << 10;
constexpr int kItemsOfThread = 4;  // at least
static_assert(kRowsOfMatrixItem >= kRowsOfItem);

// Rows first … last whose linear layers are computed in one go.
struct Part {
  int first, last;
  bool matrix;  // by matrix units
};

// Rows first … first + count follow each other in one sequence.
struct Run {
  int first, count;
  bool matrix;  // their attention is by matrix units
};

struct Pass {
  // Throws std::bad_alloc.
  Pass(Model& model, Scratch& scratch, const fc_step& step);

  void run();

  // The blocks of the row's sequence.
  const int32_t* table(int row) const { return step.tables + static_cast<long>(step.slots[row]) * step.table_width; }
  float* cache_of(int layer) const { return step.cache + layer * step.layer_stride; }
  float* cache_block(int layer, int row, long token) const {
    return cache_of(layer) + table(row)[token / kBlock] * model.block_size();
  }

  Model& model;
  Scratch& scratch;
  const fc_step& step;
  const bool grouped;  // weights are, and so are activations
  std::vector<Run> runs;
  std::array<std::vector<Part>, kFused> parts;  // of all rows, for each kind of linear layers
  std::vector<Part> sampled;                    // of those whose logits are wanted
  std::vector<bool> by_matrix;       // for each row
  bool prepared = false;             // whether linear layers read other forms of the activations than float32
  std::vector<Adapted> adapted;

 private:
  void find_runs();
  void find_matrix_rows();
  void find_parts();
  void add_parts(Fused fused);
  static void divide(const Part& all, int most, std::vector<Part>& to);
  bool follows(int row) const;
  bool many(int rows) const;  // enough for matrix units, where weights are not in groups
  void find_adapted();
  void make_room();
};

// What one thread does of a pass. All threads go through the same phases.
class Worker {
 public:
  Worker(const Pass& pass, int thread);

  void run();

 private:
  void embed();
  void angles();
  void attention(const Layer& layer, int index);
  void mlp(const Layer& layer, int index);
  void head();

  void place(const Layer& layer, int index);
  void turn(const Layer& layer, int row, int head, float* values);
  void write_cache(int index, int row, int head);
  void attend(const Layer& layer, int index);
  void attend(const Layer& layer, int index, const Run& run, int head);

  void normalize(const Norm& norm, int from, int to, bool matrix);
  void prepare(const Buffer<float>& rows, int row, bool matrix);
  void prepare_all(const Buffer<float>& rows);
  void linear(const Weight& weight, const Buffer<float>& rows, const std::vector<Part>& parts, const Target& target);
  void linear(int layer, Fused fused, const Buffer<float>& rows, const Target& target);
  template <class TargetOf>
  void items(const Weight& weight, const Buffer<float>& rows, const std::vector<Part>& parts, TargetOf target_of);
  void add(int layer, Fused fused, const Buffer<float>& rows, const Norm& end_norm);
  void project(int layer, Fused fused, const Buffer<float>& rows);
  const float* added(int layer, Fused fused, int panel, int first, int last);

  // Deals out items in turn.
  bool mine(long item) const { return item % pool_.size() == thread_; }
  // Items of a phase are taken as threads come to them.
  std::atomic<int>& next_phase() { return scratch_.taken[phase_++]; }

  const Pass& pass_;
  Model& model_;
  Scratch& scratch_;
  const fc_step& step_;
  Pool& pool_;
  const int thread_, rows_;
  int phase_ = 0;
};

}  // namespace fastchat
