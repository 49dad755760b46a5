// A decoder like Llama: what it is made of, and its weights.
#pragma once

#include <memory>
#include <vector>

#include "abi.h"
#include "kernels/kernels.h"
#include "memory.h"
#include "pool.h"

namespace fastchat {

// A linear layer with its memory.
class Weight {
 public:
  // Takes the memory. Throws std::bad_alloc.
  void open(const Kernels& kernels, Weights type, int outputs, int inputs, bool gated);

  // Lays out rows [count][inputs] of the weights, the first of which is output `at`, and their biases if there are any.
  // Of a gated layer the outputs of the first half are the gates.
  void pack(Pool& pool, const float* rows, const float* bias, int at, int count);

  // Output `row`'s weights, as numbers.
  void unpack(int row, float* out) const;

  const Linear& layout() const { return linear_; }
  bool empty() const { return !memory_; }

 private:
  int place(int output) const;
  void pack_row(const float* row, int place);
  void pack_group(const float* row, int panel, int output, long group);
  float unpack_grouped(int panel, int output, int input) const;

  Linear linear_;
  Memory memory_{nullptr, Unmap{0}};
  std::vector<float> bias_;
};

using Norm = std::vector<float>;  // padded with zeros; empty where there is none

struct Layer {
  Weight qkv, out, gate_up, down;
  Norm attention_norm, attention_end_norm, mlp_norm, mlp_end_norm, query_norm, key_norm;
  fc_layer shape{};
};

struct Rope {
  std::vector<float> frequencies;
  float scaling = 1;
};

class Model {
 public:
  Model(const fc_shape& shape, const Kernels& kernels, int threads);

  // What `which` of abi.h names. Returns false where the numbers are not as many as the shape says.
  bool set_linear(int layer, int which, const float* rows, const float* bias, int outputs, int inputs);
  bool set_norm(int layer, int which, const float* weight, int count);

  int query_size() const { return shape.heads * shape.head_size; }
  int kv_size() const { return shape.kv_heads * shape.head_size; }

  // Numbers of one head's keys, and of its values, in a block.
  long keys_per_block() const { return static_cast<long>(shape.head_size) * kBlock; }
  long values_per_block() const { return padded(shape.head_size) * kBlock; }
  long block_size() const { return shape.kv_heads * (keys_per_block() + values_per_block()); }

  const fc_shape shape;
  const Kernels& kernels;
  Pool pool;
  std::vector<Layer> layers;
  std::vector<Rope> ropes;
  Weight head;
  const float* embedding = nullptr;  // [vocabulary][hidden]; null where it is the head's
  Norm final_norm;

 private:
  // Embeddings and logits are made of it, so that its errors would count twice.
  Weights head_type() const {
    return shape.weights == FC_INT4 ? Weights::kInt8 : static_cast<Weights>(shape.weights);
  }
  bool fill(Weight& weight, bool gated, int all, int at, const float* rows, const float* bias, int outputs, int inputs);
};

}  // namespace fastchat
