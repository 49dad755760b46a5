#include "model.h"

#include <algorithm>

namespace fastchat {

Model::Model(const fc_shape& shape, const Kernels& kernels, int threads)
    : shape(shape), kernels(kernels), pool(threads), layers(shape.layers), ropes(shape.ropes) {}

bool Model::set_linear(int index, int which, const float* rows, const float* bias, int outputs, int inputs) {
  Layer* layer = which == FC_HEAD ? nullptr : &layers[index];
  const int query = query_size(), kv = kv_size(), hidden = shape.hidden, mlp = shape.mlp;
  switch (which) {
    case FC_QUERY: return fill(layer->qkv, false, query + 2 * kv, 0, rows, bias, outputs, inputs);
    case FC_KEY: return fill(layer->qkv, false, query + 2 * kv, query, rows, bias, outputs, inputs);
    case FC_VALUE: return fill(layer->qkv, false, query + 2 * kv, query + kv, rows, bias, outputs, inputs);
    case FC_OUT: return fill(layer->out, false, hidden, 0, rows, bias, outputs, inputs);
    case FC_GATE: return fill(layer->gate_up, true, 2 * mlp, 0, rows, bias, outputs, inputs);
    case FC_UP: return fill(layer->gate_up, true, 2 * mlp, mlp, rows, bias, outputs, inputs);
    case FC_DOWN: return fill(layer->down, false, hidden, 0, rows, bias, outputs, inputs);
    case FC_HEAD: return fill(head, false, shape.vocabulary, 0, rows, bias, outputs, inputs);
    default: return false;
  }
}

bool Model::fill(Weight& weight, bool gated, int all, int at, const float* rows, const float* bias, int outputs,
                 int inputs) {
  if (at + outputs > all) return false;
  if (weight.empty()) {
    weight.open(kernels, &weight == &head ? head_type() : static_cast<Weights>(shape.weights), all, inputs, gated);
  }
  if (weight.layout().inputs != inputs) return false;
  weight.pack(pool, rows, bias, at, outputs);
  return true;
}

bool Model::set_norm(int index, int which, const float* weight, int count) {
  const bool of_head = which == FC_QUERY_NORM || which == FC_KEY_NORM;
  if (count != (of_head ? shape.head_size : shape.hidden)) return false;
  Norm norm(static_cast<size_t>(padded(count)), 0.f);
  std::copy(weight, weight + count, norm.begin());
  if (which == FC_FINAL_NORM) {
    final_norm = std::move(norm);
    return true;
  }
  Layer& layer = layers[index];
  Norm* norms[] = {&layer.attention_norm, &layer.attention_end_norm, &layer.mlp_norm,
                   &layer.mlp_end_norm,   &layer.query_norm,         &layer.key_norm};
  *norms[which] = std::move(norm);
  return true;
}

}  // namespace fastchat
