// Adapters (LoRA): what is added to the outputs of linear layers, for the rows that run with one.
#pragma once

#include <array>
#include <vector>

#include "abi.h"
#include "model.h"

namespace fastchat {

// The weights that are computed in one go.
enum Fused : int { kQkv, kOut, kGateUp, kDown, kFused };

// The addition to one of them, x · aᵀ · bᵀ: the rows of a of all its parts follow each other, and each output reads those
// of its own part only.
class LowRank {
 public:
  // Throws std::bad_alloc.
  void pack(const Model& model, Fused fused, const fc_low_rank* parts, int count);

  bool empty() const { return !a_.outputs; }
  int rank() const { return a_.outputs; }

  // x · aᵀ, laid out as a linear layer in float32.
  const Linear& a() const { return a_; }
  // The two halves of a panel of the weight that this is added to.
  const LowRankHalf* halves(int panel) const { return &halves_[2 * static_cast<size_t>(panel)]; }

 private:
  struct Part {
    int at, outputs, first, rank;  // outputs from `at` on read numbers from `first` on
    const float* b;
  };

  void pack_a(const fc_low_rank* parts, int count);
  void pack_half(const std::vector<Part>& parts, const std::vector<int>& outputs);

  Linear a_;
  std::vector<float> a_data_;
  std::vector<std::vector<float>> b_data_;
  std::vector<LowRankHalf> halves_;
};

// The weight of a layer that this names.
const Weight& weight_of(const Layer& layer, Fused fused);

struct Adapter {
  explicit Adapter(const Model& model) : model(model), layers(model.layers.size()) {}

  // Returns false where a part is not of the shape that the model has.
  bool set(int layer, const fc_low_rank* parts, int count);

  const Model& model;
  std::vector<std::array<LowRank, kFused>> layers;
  int widest = 0;  // numbers of the widest x · aᵀ
};

// Rows first … last of a pass run with one adapter.
struct Adapted {
  const Adapter* adapter;
  int first, last;
};

}  // namespace fastchat
