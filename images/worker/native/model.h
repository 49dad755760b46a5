// A decoder like Llama: what it is made of, and its weights.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "abi.h"
#include "kernels/kernels.h"
#include "memory.h"
#include "pool.h"
#include "weights/gguf.h"

namespace fastchat {

// A linear layer, or several that are computed together.
class Weight {
 public:
  // Outputs that follow each other, and what their weights are kept in.
  struct Rows {
    int count;
    Weights type;
  };

  // Takes memory of the arena. Of a gated layer the outputs of the first half are the gates. Throws std::bad_alloc.
  void open(const Kernels& kernels, Arena& arena, const std::vector<Rows>& rows, int inputs, bool gated);

  // Lays out `count` rows, the first of which is output `at`. Returns false where it has blocks of a GGUF file for outputs
  // that are kept in something else.
  bool pack(Pool& pool, const fc_linear& linear, int at, int count);

  // Output `row`'s weights, as numbers.
  void unpack(int row, float* out) const;

  // All panels; what they are kept in is that of the first one.
  const Linear& layout() const { return linear_; }

  // Where a panel's weights are.
  const Linear& part_of(int panel) const;

  bool empty() const { return parts_.empty(); }
  long bytes() const { return bytes_; }

 private:
  int place(int output) const;
  void take_parts(Arena& arena, const std::vector<Weights>& types);
  void add_bias(const float* bias, int at, int count);
  bool pack_blocks(Pool& pool, Format format, const uint8_t* blocks, int at, int count);
  template <class PackRow>
  void each_row(Pool& pool, int at, int count, PackRow pack_row);
  void pack_row(const float* row, const float* importances, int place);
  void round_group(const Linear& to, const float* weights, const float* counts, int count, int place, long index);
  void pack_block(Format format, const uint8_t* block, int place, long index);
  void put(const Int8Group& group, int place, long index);
  void put(const Int4Group& group, int place, long index);
  void put(const Int4Block& block, int place, long index);
  float unpack_grouped(const Linear& from, int panel, int output, int input) const;

  const Kernels* kernels_ = nullptr;
  Linear linear_;
  std::vector<Linear> parts_;  // panels of one type each
  long bytes_ = 0;
  std::vector<float> bias_;
};

using Norm = std::vector<float>;  // padded with zeros; empty where there is none

struct Layer {
  Weight qkv, out, gate_up, down;
  Norm attention_norm, attention_end_norm, mlp_norm, mlp_end_norm, query_norm, key_norm;
  fc_layer shape{};
  std::array<Weights, FC_HEAD> types;  // what its linear layers are kept in
};

struct Rope {
  std::vector<float> frequencies;
  float scaling = 1;
};

class Model {
 public:
  Model(const fc_shape& shape, const Kernels& kernels, int threads);

  // What `which` of abi.h names. Those that return bool return false where the numbers are not as many as the shape says.
  void set_type(int layer, int which, Weights type);
  bool set_linear(int layer, int which, const fc_linear& linear);
  bool set_norm(int layer, int which, const float* weight, int count);

  // Of all linear layers and the head.
  long bytes() const;

  // When they are set: moves them into huge pages.
  void join() { memory_.join(); }

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
  struct Place {
    Weight* weight;
    int at, outputs;
  };

  // Where the outputs of `which` stand; no weight where it names nothing.
  Place place_of(int layer, int which);
  void open(int layer, int which, Weight& weight, int inputs);

  Weights head_type_;
  Arena memory_{64 << 20};  // of all weights, for each alone may be smaller than a huge page
};

}  // namespace fastchat
