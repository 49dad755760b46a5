// Adapters (LoRA): what is added to the outputs of linear layers, for the rows that run with one.
#pragma once

#include <array>
#include <vector>

#include "abi.h"
#include "memory.h"
#include "model.h"

namespace fastchat {

// The weights that are computed in one go.
enum Fused : int { kQkv, kOut, kGateUp, kDown, kFused };

// The addition to one of them, x · aᵀ · bᵀ: the rows of a of all its parts follow each other, and each output reads those
// of its own part only. Beside weights in float32 both are in float32, else in bfloat16.
class LowRank {
 public:
  // Throws std::bad_alloc.
  void pack(const Model& model, Arena& arena, Fused fused, const fc_low_rank* parts, int count);

  bool empty() const { return a_.empty(); }

  // x · aᵀ.
  const std::vector<LowRankHalf>& a() const { return a_; }
  // The two halves of a panel of the weight that this is added to.
  const LowRankHalf* b(int panel) const { return &b_[2 * static_cast<size_t>(panel)]; }

 private:
  struct Part {
    int at, outputs, first, rank;  // outputs from `at` on read numbers from `first` on
    const float* b;
  };

  void pack_a(const Model& model, Arena& arena, const fc_low_rank* parts, int count);
  void pack_b(const Model& model, Arena& arena, const std::vector<Part>& parts, const std::vector<int>& outputs);

  std::vector<LowRankHalf> a_, b_;
};

// The weight of a layer that this names.
const Weight& weight_of(const Layer& layer, Fused fused);

struct Adapter {
  explicit Adapter(const Model& model) : model(model), layers(model.layers.size()) {}

  // Returns false where a part is not of the shape that the model has.
  bool set(int layer, const fc_low_rank* parts, int count);

  const Model& model;
  std::vector<std::array<LowRank, kFused>> layers;
  int widest = 0;  // halves of the widest x · aᵀ

 private:
  Arena arena_;
};

// Rows first … last of a pass run with one adapter.
struct Adapted {
  const Adapter* adapter;
  int first, last;
};

}  // namespace fastchat
