#include "pass.h"

#include <algorithm>

namespace fastchat {
namespace {

constexpr int kPhasesOfLayer = 5 + kFused;  // that take items as they come
// Rows from which on a matrix unit is the faster one, although it has to unpack the weights first.
constexpr int kRowsOfMatrix[] = {48, 4};  // of weights in float32, in bfloat16
constexpr int kTokensOfMatrix = 32;       // of one sequence; of weights in groups

}  // namespace

Pass::Pass(Model& model, Scratch& scratch, const fc_step& step)
    : model(model), scratch(scratch), step(step), grouped(model.shape.weights >= FC_INT8) {
  find_matrix_rows();
  find_parts();
  find_runs();
  find_adapted();
  make_room();
}

void Pass::run() {
  model.pool.run([this](int thread) { Worker(*this, thread).run(); });
}

// Whether the row is of the same sequence as the one before it and next to it.
bool Pass::follows(int row) const {
  return row && step.slots[row] == step.slots[row - 1] && step.positions[row] == step.positions[row - 1] + 1;
}

// Attention rounds as linear layers do, and so only where they do it.
void Pass::find_runs() {
  const bool there = model.kernels.matrix && grouped && model.shape.head_size % 2 == 0;
  for (int row = 0; row < step.rows; row++) {
    const bool matrix = there && by_matrix[row];
    if (follows(row) && runs.back().count < (matrix ? kRowsOfMatrixRun : kQueries)) {
      runs.back().count++;
    } else {
      runs.push_back({row, 1, matrix});
    }
  }
}

// Where weights are in groups matrix units round activations in another way than the rest does. So that what a sequence
// gets does not depend on the others, only what is read of its prompt goes there, and only if that is long.
void Pass::find_matrix_rows() {
  const bool there = model.kernels.matrix != nullptr;
  by_matrix.assign(static_cast<size_t>(step.rows), there && !grouped && many(step.rows));
  for (int first = 0, last; there && grouped && first < step.rows; first = last) {
    for (last = first + 1; last < step.rows && follows(last);) last++;
    std::fill(by_matrix.begin() + first, by_matrix.begin() + last, last - first >= kTokensOfMatrix);
  }
  prepared = grouped || std::any_of(by_matrix.begin(), by_matrix.end(), [](bool matrix) { return matrix; });
}

bool Pass::many(int rows) const { return rows >= kRowsOfMatrix[model.shape.weights]; }

void Pass::find_parts() {
  for (int fused = 0; fused < kFused; fused++) add_parts(static_cast<Fused>(fused));
  const bool matrix = model.kernels.matrix && !grouped && many(step.samples);
  for (int first = 0; first < step.samples; first += kRowsOfItem) {
    sampled.push_back({first, std::min(step.samples, first + kRowsOfItem), matrix});
  }
}

// All rows, in parts of which so many are left to each thread that all end together.
void Pass::add_parts(Fused fused) {
  const Linear& layout = weight_of(model.layers[0], fused).layout();
  const long row = 2 * padded(layout.inputs) * parts_beside(static_cast<Weights>(model.shape.weights));
  const long share = static_cast<long>(step.rows) * layout.panels / (kItemsOfThread * model.pool.size());
  const int most_of_matrix = static_cast<int>(std::min({kBytesOfMatrixItem / row, share, kRowsOfMatrixItem}));
  for (int first = 0, last; first < step.rows; first = last) {
    for (last = first + 1; last < step.rows && by_matrix[last] == by_matrix[first];) last++;
    const bool matrix = by_matrix[first];
    divide({first, last, matrix}, matrix ? std::max(most_of_matrix, 2 * kMatrixRows) : kRowsOfItem, parts[fused]);
  }
}

// In parts of at most so many rows, which are alike but for what a tile of a matrix unit takes.
void Pass::divide(const Part& all, int most, std::vector<Part>& to) {
  const int rows = all.last - all.first, number = (rows + most - 1) / most;
  const int equal = ((rows + number - 1) / number + kMatrixRows - 1) / kMatrixRows * kMatrixRows;
  const int height = all.matrix ? equal : most;
  for (int first = all.first; first < all.last; first += height) {
    to.push_back({first, std::min(all.last, first + height), all.matrix});
  }
}

void Pass::make_room() {
  const fc_shape& shape = model.shape;
  const long rows = std::max(step.rows, step.samples);
  const long hidden = padded(shape.hidden), query = padded(model.query_size()), mlp = padded(shape.mlp);
  scratch.hidden.resize(rows, hidden);
  scratch.normed.resize(rows, hidden);
  scratch.branch.resize(rows, hidden);
  scratch.qkv.resize(rows, padded(model.query_size() + 2 * model.kv_size()));
  scratch.attended.resize(rows, query);
  scratch.gated.resize(rows, mlp);
  const long widest = std::max({hidden, query, mlp});
  if (grouped) {
    scratch.quants.resize(rows, widest);
    scratch.scales.resize(rows, widest / kGroup);
    scratch.sums.resize(rows, widest / kGroup);
  }
  if (model.kernels.matrix) {
    const long whole = (rows + kMatrixRows - 1) / kMatrixRows * kMatrixRows;
    const int parts = parts_beside(static_cast<Weights>(shape.weights));
    for (int part = 0; part < parts; part++) scratch.parts[part].resize(whole, widest / kPad);
    const long most = std::max(matrix_room(widest), attention_room(shape.head_size, shape.heads / shape.kv_heads));
    scratch.room.resize(model.pool.size(), most / 64);
  }
  scratch.cosines.resize(rows * shape.ropes, padded(shape.head_size));
  scratch.sines.resize(rows * shape.ropes, padded(shape.head_size));
  const int last = *std::max_element(step.positions, step.positions + step.rows);
  scratch.scores.resize(model.pool.size(), kQueries * (last / kBlock + 1L) * kBlock);
  if (!adapted.empty()) {
    const auto wider = [](const Adapted& a, const Adapted& b) { return a.adapter->widest < b.adapter->widest; };
    const int widest = std::max_element(adapted.begin(), adapted.end(), wider)->adapter->widest;
    scratch.projected.resize(rows, widest * model.kernels.width / 2);
    scratch.added.resize(model.pool.size(), std::min<long>(rows, kRowsOfMatrixItem) * model.kernels.width);
  }
  const int phases = shape.layers * kPhasesOfLayer + 1;
  if (!scratch.taken) scratch.taken = std::make_unique<std::atomic<int>[]>(phases);
  for (int phase = 0; phase < phases; phase++) scratch.taken[phase].store(0, std::memory_order_relaxed);
}

}  // namespace fastchat
