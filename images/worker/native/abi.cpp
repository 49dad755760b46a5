#include "abi.h"

#include <algorithm>
#include <memory>
#include <new>

#include "pass.h"
#include "weights/unpack.h"

namespace {

constexpr int32_t kDone = 0, kNoMemory = -1, kMisfit = -2;

struct Handle {
  Handle(const fc_shape& shape, const fastchat::Kernels& kernels, int threads) : model(shape, kernels, threads) {}
  fastchat::Model model;
  fastchat::Scratch scratch;
};

fastchat::Model& model_of(void* handle) { return static_cast<Handle*>(handle)->model; }

// Nothing that is thrown may reach the caller.
template <class Action>
int32_t guarded(Action action) {
  try {
    return action() ? kDone : kMisfit;
  } catch (const std::bad_alloc&) {
    return kNoMemory;
  }
}

bool has_layer(const fastchat::Model& model, int32_t layer) { return layer >= 0 && layer < model.shape.layers; }

bool is_type(int32_t weights) { return weights >= FC_FLOAT32 && weights <= FC_INT4_BLOCKS; }

bool all_below(const int32_t* values, int32_t count, int32_t limit) {
  return std::all_of(values, values + count, [limit](int32_t value) { return value >= 0 && value < limit; });
}

// Every block that a row reads or writes is one of the cache's.
bool has_blocks(const fc_step& step) {
  for (int32_t row = 0; row < step.rows; row++) {
    const int32_t slot = step.slots[row], used = step.positions[row] / fastchat::kBlock + 1;
    if (used > step.table_width) return false;
    const bool more = row + 1 < step.rows && step.slots[row + 1] == slot && step.positions[row + 1] > step.positions[row];
    const int32_t* table = step.tables + static_cast<long>(slot) * step.table_width;
    if (!more && !all_below(table, used, step.blocks)) return false;
  }
  return true;
}

bool fits(const fastchat::Model& model, const fc_step& step) {
  return step.rows > 0 && all_below(step.tokens, step.rows, model.shape.vocabulary) &&
         all_below(step.sampled, step.samples, step.rows) && all_below(step.positions, step.rows, INT32_MAX) &&
         all_below(step.slots, step.rows, step.sequences) && has_blocks(step);
}

}  // namespace

#define EXPORT __attribute__((visibility("default")))

extern "C" {

EXPORT const char* fc_kernels(const char* name) {
  const fastchat::Kernels* kernels = fastchat::pick_kernels(name);
  return kernels ? kernels->name : nullptr;
}

EXPORT void* fc_model_new(const fc_shape* shape, const char* kernels, int32_t threads) {
  const fastchat::Kernels* picked = fastchat::pick_kernels(kernels);
  if (!picked || threads < 1) return nullptr;
  try {
    return new Handle(*shape, *picked, threads);
  } catch (const std::exception&) {  // memory or threads are short
    return nullptr;
  }
}

EXPORT void fc_model_free(void* model) { delete static_cast<Handle*>(model); }

EXPORT int32_t fc_set_layer(void* model, int32_t layer, const fc_layer* shape) {
  if (!has_layer(model_of(model), layer)) return kMisfit;
  model_of(model).layers[layer].shape = *shape;
  return kDone;
}

EXPORT int32_t fc_set_rope(void* model, int32_t rope, const float* frequencies, int32_t count, float scaling) {
  fastchat::Model& of = model_of(model);
  if (rope < 0 || rope >= of.shape.ropes || 2 * count > of.shape.head_size) return kMisfit;
  return guarded([&] {
    of.ropes[rope] = fastchat::Rope{{frequencies, frequencies + count}, scaling};
    return true;
  });
}

EXPORT int32_t fc_set_type(void* model, int32_t layer, int32_t which, int32_t weights) {
  fastchat::Model& of = model_of(model);
  if (which < 0 || which > FC_HEAD || (which != FC_HEAD && !has_layer(of, layer))) return kMisfit;
  if (!is_type(weights) || (weights != of.shape.weights && std::min(weights, of.shape.weights) < FC_INT8)) return kMisfit;
  of.set_type(layer, which, static_cast<fastchat::Weights>(weights));
  return kDone;
}

EXPORT int32_t fc_set_linear(void* model, int32_t layer, int32_t which, const fc_linear* linear) {
  fastchat::Model& of = model_of(model);
  if (which != FC_HEAD && !has_layer(of, layer)) return kMisfit;
  return guarded([&] { return of.set_linear(layer, which, *linear); });
}

EXPORT int32_t fc_set_norm(void* model, int32_t layer, int32_t which, const float* weight, int32_t count) {
  fastchat::Model& of = model_of(model);
  if (which < 0 || which > FC_FINAL_NORM || (which != FC_FINAL_NORM && !has_layer(of, layer))) return kMisfit;
  return guarded([&] { return of.set_norm(layer, which, weight, count); });
}

EXPORT void fc_join(void* model) { model_of(model).join(); }

EXPORT void fc_set_embedding(void* model, const float* rows) { model_of(model).embedding = rows; }

EXPORT int32_t fc_round(int32_t weights, const fc_linear* linear, float* out) {
  if (!is_type(weights) || linear->inputs < 1) return kMisfit;
  return guarded([&] {
    fastchat::Pool pool(1);
    fastchat::Arena memory;
    fastchat::Weight weight;
    weight.open(*fastchat::pick_kernels("plain"), memory, {{1, static_cast<fastchat::Weights>(weights)}}, linear->inputs, false);
    if (!weight.pack(pool, *linear, 0, 1)) return false;
    weight.unpack(0, out);
    return true;
  });
}

EXPORT int32_t fc_unpack(int32_t format, const void* blocks, int64_t count, float* out) {
  return fastchat::unpack(format, static_cast<const uint8_t*>(blocks), count, out) ? kDone : kMisfit;
}

EXPORT int64_t fc_weight_bytes(const void* model) { return static_cast<const Handle*>(model)->model.bytes(); }
EXPORT int64_t fc_block_size(const void* model) { return static_cast<const Handle*>(model)->model.block_size(); }
EXPORT int32_t fc_block_tokens(void) { return fastchat::kBlock; }
EXPORT int32_t fc_padded(int32_t count) { return static_cast<int32_t>(fastchat::padded(count)); }

EXPORT void* fc_adapter_new(const void* model) {
  try {
    return new fastchat::Adapter(static_cast<const Handle*>(model)->model);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

EXPORT void fc_adapter_free(void* adapter) { delete static_cast<fastchat::Adapter*>(adapter); }

EXPORT int32_t fc_adapter_set(void* adapter, int32_t layer, const fc_low_rank* parts, int32_t count) {
  fastchat::Adapter& of = *static_cast<fastchat::Adapter*>(adapter);
  if (!has_layer(of.model, layer)) return kMisfit;
  return guarded([&] { return of.set(layer, parts, count); });
}

EXPORT int32_t fc_run(void* model, const fc_step* step) {
  Handle& handle = *static_cast<Handle*>(model);
  if (!fits(handle.model, *step)) return kMisfit;
  return guarded([&] {
    fastchat::Pass(handle.model, handle.scratch, *step).run();
    return true;
  });
}
}
