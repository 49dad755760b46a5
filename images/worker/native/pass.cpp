#include "pass.h"

#include <algorithm>

namespace fastchat {
namespace {

constexpr int kPhasesOfLayer = 5 + kFused;  // that take items as they come
constexpr int kRowsOfRun = kQueries;

}  // namespace

Pass::Pass(Model& model, Scratch& scratch, const fc_step& step)
    : model(model), scratch(scratch), step(step), grouped(model.shape.weights >= FC_INT8) {
  find_runs();
  find_adapted();
  make_room();
}

void Pass::run() {
  model.pool.run([this](int thread) { Worker(*this, thread).run(); });
}

void Pass::find_runs() {
  for (int row = 0; row < step.rows; row++) {
    const bool follows = row && step.slots[row] == step.slots[row - 1] &&
                         step.positions[row] == step.positions[row - 1] + 1 && runs.back().count < kRowsOfRun;
    if (follows) {
      runs.back().count++;
    } else {
      runs.push_back({row, 1});
    }
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
  if (grouped) {
    const long widest = std::max({hidden, query, mlp});
    scratch.quants.resize(rows, widest);
    scratch.scales.resize(rows, widest / kGroup);
    scratch.sums.resize(rows, widest / kGroup);
  }
  scratch.cosines.resize(rows * shape.ropes, padded(shape.head_size));
  scratch.sines.resize(rows * shape.ropes, padded(shape.head_size));
  const int last = *std::max_element(step.positions, step.positions + step.rows);
  scratch.scores.resize(model.pool.size(), kQueries * (last / kBlock + 1L) * kBlock);
  if (!adapted.empty()) {
    const auto wider = [](const Adapted& a, const Adapted& b) { return a.adapter->widest < b.adapter->widest; };
    const int widest = std::max_element(adapted.begin(), adapted.end(), wider)->adapter->widest;
    scratch.projected.resize(rows, widest * model.kernels.width / 2);
    scratch.added.resize(model.pool.size(), std::min<long>(rows, kRowsOfItem) * model.kernels.width);
  }
  const int phases = shape.layers * kPhasesOfLayer + 1;
  if (!scratch.taken) scratch.taken = std::make_unique<std::atomic<int>[]>(phases);
  for (int phase = 0; phase < phases; phase++) scratch.taken[phase].store(0, std::memory_order_relaxed);
}

}  // namespace fastchat
