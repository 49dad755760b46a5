// The layers of a pass, as each thread goes through them.
#include <algorithm>
#include <cmath>

#include "pass.h"

namespace fastchat {
namespace {

uint16_t* numbers(const Buffer<Line>& lines) { return reinterpret_cast<uint16_t*>(lines.at()); }

}  // namespace

Worker::Worker(const Pass& pass, int thread)
    : pass_(pass),
      model_(pass.model),
      scratch_(pass.scratch),
      step_(pass.step),
      pool_(pass.model.pool),
      thread_(thread),
      rows_(pass.step.rows) {}

void Worker::run() {
  embed();
  angles();
  for (int index = 0; index < model_.shape.layers; index++) {
    attention(model_.layers[index], index);
    mlp(model_.layers[index], index);
  }
  head();
}

void Worker::embed() {
  const int hidden = model_.shape.hidden;
  for (int row = 0; row < rows_; row++) {
    if (!mine(row)) continue;
    float* to = scratch_.hidden.at(row);
    const int token = step_.tokens[row];
    if (model_.embedding) {
      std::copy_n(model_.embedding + static_cast<long>(token) * hidden, hidden, to);
    } else {
      model_.head.unpack(token, to);
    }
    for (int i = 0; i < hidden; i++) to[i] *= model_.shape.embedding_factor;
    std::fill(to + hidden, to + scratch_.hidden.stride(), 0.f);  // NaN where the row's last token was not finite
  }
}

// Cosines and sines of the rows' positions, in float32 as transformers has them.
void Worker::angles() {
  for (int rope = 0; rope < model_.shape.ropes; rope++) {
    const Rope& frequencies = model_.ropes[rope];
    for (int row = 0; row < rows_; row++) {
      if (!mine(row)) continue;
      float* cosines = scratch_.cosines.at(static_cast<long>(rope) * rows_ + row);
      float* sines = scratch_.sines.at(static_cast<long>(rope) * rows_ + row);
      for (size_t i = 0; i < frequencies.frequencies.size(); i++) {
        const float angle = static_cast<float>(step_.positions[row]) * frequencies.frequencies[i];
        cosines[i] = std::cos(angle) * frequencies.scaling;
        sines[i] = std::sin(angle) * frequencies.scaling;
      }
    }
  }
}

void Worker::attention(const Layer& layer, int index) {
  for (int row = 0; row < rows_; row++) {
    if (mine(row)) normalize(layer.attention_norm, row, row, pass_.by_matrix[row]);
  }
  pool_.barrier();
  linear(index, kQkv, scratch_.normed, {scratch_.qkv.at(), scratch_.qkv.stride(), Then::kStore, 1});
  place(layer, index);
  pool_.barrier();
  attend(layer, index);
  pool_.barrier();
  prepare_all(scratch_.attended);
  add(index, kOut, scratch_.attended, layer.attention_end_norm);
}

void Worker::mlp(const Layer& layer, int index) {
  for (int row = 0; row < rows_; row++) {
    if (mine(row)) normalize(layer.mlp_norm, row, row, pass_.by_matrix[row]);
  }
  pool_.barrier();
  const Then gate = model_.shape.gelu ? Then::kGelu : Then::kSilu;
  linear(index, kGateUp, scratch_.normed, {scratch_.gated.at(), scratch_.gated.stride(), gate, 1});
  prepare_all(scratch_.gated);
  add(index, kDown, scratch_.gated, layer.mlp_end_norm);
}

void Worker::head() {
  const fc_shape& shape = model_.shape;
  const long stride = padded(shape.vocabulary);
  for (int sample = 0; sample < step_.samples; sample++) {
    if (!mine(sample)) continue;
    normalize(model_.final_norm, step_.sampled[sample], sample, !pass_.sampled.empty() && pass_.sampled[0].matrix);
    if (step_.hidden) {
      std::copy_n(scratch_.normed.at(sample), shape.hidden, step_.hidden + static_cast<long>(sample) * shape.hidden);
    }
  }
  if (step_.hidden || !step_.samples) return;
  pool_.barrier();
  linear(model_.head, scratch_.normed, pass_.sampled, {step_.logits, stride, Then::kStore, shape.logits_factor});
  if (!shape.logits_cap) return;
  for (int sample = 0; sample < step_.samples; sample++) {
    if (mine(sample)) model_.kernels.cap(step_.logits + sample * stride, stride, shape.logits_cap);
  }
}

// Row `from` of the hidden states, normalized, becomes row `to` of what the next layer reads.
void Worker::normalize(const Norm& norm, int from, int to, bool matrix) {
  const fc_shape& shape = model_.shape;
  float* out = scratch_.normed.at(to);
  model_.kernels.normalize(scratch_.hidden.at(from), norm.data(), shape.hidden, shape.epsilon, 1, false, out);
  prepare(scratch_.normed, to, matrix);
}

// Makes of a row what the kernels read instead of it.
void Worker::prepare(const Buffer<float>& rows, int row, bool matrix) {
  const long stride = rows.stride(), groups = stride / kGroup;
  if (matrix) {
    const long at = row / kMatrixRows * kMatrixRows * stride + row % kMatrixRows * kPad;
    uint16_t* parts[kParts];
    for (int part = 0; part < kParts; part++) {
      uint16_t* const all = numbers(scratch_.parts[part]);
      parts[part] = all ? all + at : nullptr;
    }
    model_.kernels.matrix->split(rows.at(row), stride, parts);
  } else if (pass_.grouped) {
    model_.kernels.quantize(rows.at(row), stride, scratch_.quants.at() + row * stride, scratch_.scales.at() + row * groups,
                            scratch_.sums.at() + row * groups);
  }
}

void Worker::prepare_all(const Buffer<float>& rows) {
  if (!pass_.prepared) return;
  for (int row = 0; row < rows_; row++) {
    if (mine(row)) prepare(rows, row, pass_.by_matrix[row]);
  }
  pool_.barrier();
}

// A linear layer over the rows of the parts; every thread has it whole when this returns.
void Worker::linear(const Weight& weight, const Buffer<float>& rows, const std::vector<Part>& parts,
                    const Target& target) {
  items(weight, rows, parts, [&target](int, int, int) -> const Target& { return target; });
}

// target_of: what becomes of a panel of the outputs of rows first … last.
template <class TargetOf>
void Worker::items(const Weight& weight, const Buffer<float>& rows, const std::vector<Part>& parts, TargetOf target_of) {
  const Linear& layout = weight.layout();
  Rows from{rows.at(), scratch_.quants.at(), scratch_.scales.at(), scratch_.sums.at()};
  for (int part = 0; part < kParts; part++) from.parts[part] = numbers(scratch_.parts[part]);
  from.stride = rows.stride();
  const int items = layout.panels * static_cast<int>(parts.size());
  std::atomic<int>& taken = next_phase();
  for (int item; (item = taken.fetch_add(1, std::memory_order_relaxed)) < items;) {
    const auto [first, last, matrix] = parts[item / layout.panels];
    const int panel = item % layout.panels;
    const Linear& part = weight.part_of(panel);
    const Target& target = target_of(panel, first, last);
    if (matrix) {
      model_.kernels.matrix->linear(part, from, target, panel, first, last, scratch_.room.at(thread_)->bytes);
    } else {
      model_.kernels.linear(part, from, target, panel, first, last);
    }
  }
  pool_.barrier();
}

// One of a layer's over all rows, with what adapters add to it.
void Worker::linear(int layer, Fused fused, const Buffer<float>& rows, const Target& target) {
  const Weight& weight = weight_of(model_.layers[layer], fused);
  const auto adds = [&](const Adapted& each) { return !each.adapter->layers[layer][fused].empty(); };
  if (std::none_of(pass_.adapted.begin(), pass_.adapted.end(), adds)) {
    return linear(weight, rows, pass_.parts[fused], target);
  }
  project(layer, fused, rows);
  items(weight, rows, pass_.parts[fused], [&](int panel, int first, int last) {
    Target with = target;
    with.added = added(layer, fused, panel, first, last);
    with.added_row = first;
    return with;
  });
}

// Adds what a branch ends with to the hidden states, normalized first where the model has a norm for that.
void Worker::add(int layer, Fused fused, const Buffer<float>& rows, const Norm& end_norm) {
  const fc_shape& shape = model_.shape;
  const float factor = shape.residual_factor;
  if (end_norm.empty()) {
    linear(layer, fused, rows, {scratch_.hidden.at(), scratch_.hidden.stride(), Then::kAdd, factor});
    return;
  }
  linear(layer, fused, rows, {scratch_.branch.at(), scratch_.branch.stride(), Then::kStore, 1});
  for (int row = 0; row < rows_; row++) {
    if (!mine(row)) continue;
    model_.kernels.normalize(scratch_.branch.at(row), end_norm.data(), shape.hidden, shape.epsilon, factor, true,
                             scratch_.hidden.at(row));
  }
}

}  // namespace fastchat
