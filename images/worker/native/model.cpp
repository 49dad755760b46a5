#include "model.h"

#include <algorithm>

namespace fastchat {

Model::Model(const fc_shape& shape, const Kernels& kernels, int threads)
    : shape(shape),
      kernels(kernels),
      pool(threads),
      layers(shape.layers),
      ropes(shape.ropes),
      head_type_(static_cast<Weights>(shape.weights)) {
  for (Layer& layer : layers) layer.types.fill(static_cast<Weights>(shape.weights));
}

void Model::set_type(int index, int which, Weights type) {
  (which == FC_HEAD ? head_type_ : layers[index].types[which]) = type;
}

Model::Place Model::place_of(int index, int which) {
  Layer* layer = which == FC_HEAD ? nullptr : &layers[index];
  const int query = query_size(), kv = kv_size();
  switch (which) {
    case FC_QUERY: return {&layer->qkv, 0, query};
    case FC_KEY: return {&layer->qkv, query, kv};
    case FC_VALUE: return {&layer->qkv, query + kv, kv};
    case FC_OUT: return {&layer->out, 0, shape.hidden};
    case FC_GATE: return {&layer->gate_up, 0, shape.mlp};
    case FC_UP: return {&layer->gate_up, shape.mlp, shape.mlp};
    case FC_DOWN: return {&layer->down, 0, shape.hidden};
    case FC_HEAD: return {&head, 0, shape.vocabulary};
    default: return {nullptr, 0, 0};
  }
}

// All that stand in one weight, with their types.
void Model::open(int index, int which, Weight& weight, int inputs) {
  std::vector<Weight::Rows> rows;
  if (which == FC_HEAD) rows.push_back({shape.vocabulary, head_type_});
  for (int other = 0; which != FC_HEAD && other < FC_HEAD; other++) {
    const Place place = place_of(index, other);
    if (place.weight == &weight) rows.push_back({place.outputs, layers[index].types[other]});
  }
  weight.open(kernels, memory_, rows, inputs, which == FC_GATE || which == FC_UP);
}

bool Model::set_linear(int index, int which, const fc_linear& linear) {
  const Place place = place_of(index, which);
  if (!place.weight || linear.outputs != place.outputs) return false;
  Weight& weight = *place.weight;
  if (weight.empty()) open(index, which, weight, linear.inputs);
  if (weight.layout().inputs != linear.inputs) return false;
  return weight.pack(pool, linear, place.at, linear.outputs);
}

long Model::bytes() const {
  long bytes = head.bytes();
  for (const Layer& layer : layers) {
    bytes += layer.qkv.bytes() + layer.out.bytes() + layer.gate_up.bytes() + layer.down.bytes();
  }
  return bytes;
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
