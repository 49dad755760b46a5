#include "adapters/lora.h"

#include <algorithm>
#include <climits>

#include "pass.h"
#include "weights/halves.h"

namespace fastchat {
namespace {

// Where the outputs of `which` begin in the weight that they are part of, how many they are, and what they are made of.
struct Shape {
  Fused fused;
  int at, outputs, inputs;
};

Shape shape_of(const Model& model, int which) {
  const int query = model.query_size(), kv = model.kv_size(), hidden = model.shape.hidden, mlp = model.shape.mlp;
  switch (which) {
    case FC_QUERY: return {kQkv, 0, query, hidden};
    case FC_KEY: return {kQkv, query, kv, hidden};
    case FC_VALUE: return {kQkv, query + kv, kv, hidden};
    case FC_OUT: return {kOut, 0, hidden, query};
    case FC_GATE: return {kGateUp, 0, mlp, hidden};
    case FC_UP: return {kGateUp, mlp, mlp, hidden};
    case FC_DOWN: return {kDown, 0, hidden, mlp};
    default: return {kFused, 0, 0, 0};
  }
}

// Room for the weights of one half, all of them zero.
LowRankHalf open(const Model& model, Arena& arena, int first, int count) {
  const Weights type = model.shape.weights == FC_FLOAT32 ? Weights::kFloat32 : Weights::kBfloat16;
  const size_t size = type == Weights::kFloat32 ? sizeof(float) : sizeof(uint16_t);
  return {arena.take(static_cast<size_t>(count) * model.kernels.width / 2 * size), first, count, type};
}

void put(const LowRankHalf& half, long at, float value) {
  if (half.type == Weights::kFloat32) {
    static_cast<float*>(half.weights)[at] = value;
  } else {
    static_cast<uint16_t*>(half.weights)[at] = to_bfloat16(value);
  }
}

}  // namespace

const Weight& weight_of(const Layer& layer, Fused fused) {
  const Weight* weights[] = {&layer.qkv, &layer.out, &layer.gate_up, &layer.down};
  return *weights[fused];
}

bool Adapter::set(int layer, const fc_low_rank* parts, int count) {
  const Fused fused = count > 0 ? shape_of(model, parts[0].which).fused : kFused;
  for (int part = 0; part < count; part++) {
    const Shape shape = shape_of(model, parts[part].which);
    if (fused == kFused || shape.fused != fused || parts[part].rank < 1 || parts[part].outputs != shape.outputs ||
        parts[part].inputs != shape.inputs) {
      return false;
    }
  }
  if (fused == kFused) return false;
  layers[layer][fused].pack(model, arena_, fused, parts, count);
  widest = std::max(widest, static_cast<int>(layers[layer][fused].a().size()));
  return true;
}

void LowRank::pack(const Model& model, Arena& arena, Fused fused, const fc_low_rank* parts, int count) {
  const Linear& base = weight_of(model.layers[0], fused).layout();
  a_.clear(), b_.clear();
  pack_a(model, arena, parts, count);
  std::vector<Part> placed;
  for (int part = 0, first = 0; part < count; first += parts[part++].rank) {
    const Shape shape = shape_of(model, parts[part].which);
    placed.push_back({shape.at, shape.outputs, first, parts[part].rank, parts[part].b});
  }
  const int each = base.width / 2, gates = base.outputs / 2;
  for (int half = 0; half < 2 * base.panels; half++) {
    std::vector<int> outputs(static_cast<size_t>(each));
    for (int lane = 0; lane < each; lane++) {
      const int index = half / 2 * each + lane;  // of a gate and of what it lets through
      outputs[lane] = !base.gated ? half * each + lane : index >= gates ? base.outputs : half % 2 * gates + index;
    }
    pack_b(model, arena, placed, outputs);
  }
}

void LowRank::pack_a(const Model& model, Arena& arena, const fc_low_rank* parts, int count) {
  const int each = model.kernels.width / 2;
  for (int part = 0, output = 0; part < count; part++) {
    for (int row = 0; row < parts[part].rank; row++, output++) {
      if (output % each == 0) a_.push_back(open(model, arena, 0, parts[part].inputs));
      const float* from = parts[part].a + static_cast<long>(row) * parts[part].inputs;
      for (int k = 0; k < parts[part].inputs; k++) put(a_.back(), static_cast<long>(k) * each + output % each, from[k]);
    }
  }
}

// outputs: of each lane of the half; beyond the last there are none. Where lanes belong to different parts the half reads
// the numbers of all of these, times zero for those that are not its own.
void LowRank::pack_b(const Model& model, Arena& arena, const std::vector<Part>& parts, const std::vector<int>& outputs) {
  const int each = static_cast<int>(outputs.size());
  const auto reads = [](const Part& part, int output) { return output >= part.at && output < part.at + part.outputs; };
  int first = INT_MAX, last = 0;
  for (const Part& part : parts) {
    if (!std::any_of(outputs.begin(), outputs.end(), [&](int output) { return reads(part, output); })) continue;
    first = std::min(first, part.first), last = std::max(last, part.first + part.rank);
  }
  if (last <= first) first = last = 0;
  b_.push_back(open(model, arena, first, last - first));
  for (const Part& part : parts) {
    for (int lane = 0; lane < each; lane++) {
      if (!reads(part, outputs[lane])) continue;
      const float* from = part.b + static_cast<long>(outputs[lane] - part.at) * part.rank;
      for (int k = 0; k < part.rank; k++) put(b_.back(), static_cast<long>(part.first - first + k) * each + lane, from[k]);
    }
  }
}

void Pass::find_adapted() {
  for (int row = 0; step.adapters && row < step.rows; row++) {
    const auto* adapter = static_cast<const Adapter*>(step.adapters[row]);
    if (!adapter) continue;
    if (!adapted.empty() && adapted.back().adapter == adapter && adapted.back().last == row) {
      adapted.back().last++;
    } else {
      adapted.push_back({adapter, row, row + 1});
    }
  }
}

// x · aᵀ for all rows with an adapter; every thread has it whole when this returns.
void Worker::project(int layer, Fused fused, const Buffer<float>& rows) {
  const Buffer<float>& to = scratch_.projected;
  std::atomic<int>& taken = next_phase();
  int begin = 0, item = taken.fetch_add(1, std::memory_order_relaxed);
  for (const Adapted& each : pass_.adapted) {
    const std::vector<LowRankHalf>& a = each.adapter->layers[layer][fused].a();
    const int halves = static_cast<int>(a.size());
    const int parts = (each.last - each.first + kRowsOfItem - 1) / kRowsOfItem, items = halves * parts;
    for (; item < begin + items; item = taken.fetch_add(1, std::memory_order_relaxed)) {
      const int half = (item - begin) % halves, first = each.first + (item - begin) / halves * kRowsOfItem;
      model_.kernels.low_rank(&a[half], 1, rows.at(first), rows.stride(), std::min(each.last - first, kRowsOfItem),
                              to.at(first) + half * model_.kernels.width / 2, to.stride());
    }
    begin += items;
  }
  pool_.barrier();
}

// What adapters add to one panel of the rows first … last; null where they add nothing.
const float* Worker::added(int layer, Fused fused, int panel, int first, int last) {
  float* out = nullptr;
  for (const Adapted& each : pass_.adapted) {
    const LowRank& low_rank = each.adapter->layers[layer][fused];
    const int from = std::max(first, each.first), to = std::min(last, each.last);
    if (low_rank.empty() || from >= to) continue;
    if (!out) {
      out = scratch_.added.at(thread_);
      std::fill_n(out, static_cast<long>(last - first) * model_.kernels.width, 0.f);
    }
    const int width = model_.kernels.width;
    model_.kernels.low_rank(low_rank.b(panel), 2, scratch_.projected.at(from), scratch_.projected.stride(), to - from,
                            out + static_cast<long>(from - first) * width, width);
  }
  return out;
}

}  // namespace fastchat
