// Positions, the cache and attention of a pass.
#include <algorithm>

#include "pass.h"

namespace fastchat {

// Turns queries and keys by their positions and writes keys and values into the cache.
void Worker::place(const Layer& layer, int index) {
  const fc_shape& shape = model_.shape;
  const int turned = shape.heads + shape.kv_heads;
  for (int row = 0; row < rows_; row++) {
    for (int head = 0; head < turned; head++) {
      if (!mine(static_cast<long>(row) * turned + head)) continue;
      turn(layer, row, head, scratch_.qkv.at(row) + head * shape.head_size);
      if (head >= shape.heads) write_cache(index, row, head - shape.heads);
    }
  }
}

void Worker::turn(const Layer& layer, int row, int head, float* values) {
  const fc_shape& shape = model_.shape;
  const Norm& norm = head < shape.heads ? layer.query_norm : layer.key_norm;
  if (!norm.empty()) {
    float padded_values[512] = {};
    std::copy_n(values, shape.head_size, padded_values);
    model_.kernels.normalize(padded_values, norm.data(), shape.head_size, shape.epsilon, 1, false, padded_values);
    std::copy_n(padded_values, shape.head_size, values);
  }
  if (layer.shape.rope < 0) return;
  const int half = static_cast<int>(model_.ropes[layer.shape.rope].frequencies.size());
  const float* cosines = scratch_.cosines.at(static_cast<long>(layer.shape.rope) * rows_ + row);
  const float* sines = scratch_.sines.at(static_cast<long>(layer.shape.rope) * rows_ + row);
  for (int i = 0; i < half; i++) {
    const float a = values[i], b = values[i + half];
    values[i] = a * cosines[i] - b * sines[i];
    values[i + half] = b * cosines[i] + a * sines[i];
  }
}

void Worker::write_cache(int index, int row, int head) {
  const int size = model_.shape.head_size;
  const long token = step_.positions[row];
  float* keys = pass_.cache_block(index, row, token) + head * (model_.keys_per_block() + model_.values_per_block());
  float* values = keys + model_.keys_per_block() + token % kBlock * padded(size);
  const float* key = scratch_.qkv.at(row) + model_.query_size() + head * size;
  for (int i = 0; i < size; i++) keys[i * kBlock + token % kBlock] = key[i];
  std::copy_n(key + model_.kv_size(), size, values);
}

void Worker::attend(const Layer& layer, int index) {
  const int heads = model_.shape.kv_heads, items = static_cast<int>(pass_.runs.size()) * heads;
  std::atomic<int>& taken = next_phase();
  for (int item; (item = taken.fetch_add(1, std::memory_order_relaxed)) < items;) {
    attend(layer, index, pass_.runs[item / heads], item % heads);
  }
}

void Worker::attend(const Layer& layer, int index, const Run& run, int head) {
  const fc_shape& shape = model_.shape;
  const int group = shape.heads / shape.kv_heads, at = head * group * shape.head_size;
  const float* keys = pass_.cache_of(index) + head * (model_.keys_per_block() + model_.values_per_block());
  Attention task;
  task.query = scratch_.qkv.at(run.first) + at;
  task.query_stride = scratch_.qkv.stride();
  task.out = scratch_.attended.at(run.first) + at;
  task.out_stride = scratch_.attended.stride();
  task.keys = keys;
  task.values = keys + model_.keys_per_block();
  task.table = pass_.table(run.first);
  task.block_stride = model_.block_size();
  task.rows = run.count;
  task.heads = group;
  task.head_size = shape.head_size;
  task.position = step_.positions[run.first];
  task.window = layer.shape.window;
  task.scaling = layer.shape.scaling;
  task.softcap = layer.shape.softcap;
  task.scores = scratch_.scores.at(thread_);
  if (run.matrix) {
    model_.kernels.matrix->attend(task, scratch_.room.at(thread_)->bytes);
  } else {
    model_.kernels.attend(task);
  }
}

}  // namespace fastchat
