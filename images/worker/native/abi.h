// The functions of the library, for any language that can call C.
//
// Those that return int return 0, or -1 where memory is short, or -2 where what is given does not fit the model.
// A model is used from one thread at a time.
#pragma once

#include <stdint.h>

extern "C" {

enum fc_linear_name { FC_QUERY, FC_KEY, FC_VALUE, FC_OUT, FC_GATE, FC_UP, FC_DOWN, FC_HEAD };
enum fc_norm_name {
  FC_ATTENTION_NORM, FC_ATTENTION_END_NORM, FC_MLP_NORM, FC_MLP_END_NORM, FC_QUERY_NORM, FC_KEY_NORM, FC_FINAL_NORM
};

enum fc_weights { FC_FLOAT32, FC_BFLOAT16, FC_INT8, FC_INT4, FC_INT4_BLOCKS };

typedef struct fc_shape {
  int32_t layers, hidden, heads, kv_heads, head_size, mlp, vocabulary, ropes;
  int32_t weights;  // what they are kept in, fc_weights, where fc_set_type says nothing else
  int32_t gelu;  // the gate's function: GELU by tanh; else SiLU
  float epsilon;
  float embedding_factor, residual_factor, logits_factor;
  float logits_cap;  // 0: none
} fc_shape;

typedef struct fc_layer {
  int32_t window;  // tokens that a row sees, itself included; 0: all
  int32_t rope;    // index of its frequencies; -1: positions play no part
  float scaling, softcap;
} fc_layer;

// Weights of a linear layer: rows [outputs][inputs], or, where `blocks` is given, those of a GGUF file as they are there, in
// ggml's format of this number: Q4_0 or Q4_1, to be kept in FC_INT4, Q8_0 in FC_INT8, Q4_K in FC_INT4_BLOCKS.
typedef struct fc_linear {
  int32_t outputs, inputs, format;
  const float* rows;
  const void* blocks;
  const float* bias;         // null: none
  const float* importances;  // [inputs], what the squared error of an input's weight counts; null: all the same
} fc_linear;

// One step. Rows of one sequence that follow each other stand together.
//
// tables: [sequences][table_width], the blocks of a layer's cache in which the tokens of a sequence stand, 32 in each, in
// their order. slots: [rows], the sequence of each row. blocks: that a layer's cache has. layer_stride: floats from one
// layer's cache to the next one's. sampled: rows whose logits are wanted, [samples][padded vocabulary], or, where `hidden`
// is given, their last hidden states, [samples][hidden].
typedef struct fc_step {
  int32_t rows, samples, sequences, table_width, blocks;
  const int32_t *tokens, *positions, *slots, *tables;
  const int32_t* sampled;
  float* cache;
  int64_t layer_stride;
  float *logits, *hidden;
  const void* const* adapters;  // of each row, null where it has none; null: no row has one
} fc_step;

// What an adapter adds to one of a layer's linear layers. a: [rank][inputs]; b: [outputs][rank].
typedef struct fc_low_rank {
  int32_t which, rank, outputs, inputs;
  const float *a, *b;
} fc_low_rank;

// Name of the kernels that `fc_model_new` takes; null for a name that is unknown or whose instructions are not here.
const char* fc_kernels(const char* name);

void* fc_model_new(const fc_shape* shape, const char* kernels, int32_t threads);
void fc_model_free(void* model);

int32_t fc_set_layer(void* model, int32_t layer, const fc_layer* shape);
int32_t fc_set_rope(void* model, int32_t rope, const float* frequencies, int32_t count, float scaling);

// What a linear layer is kept in; before any of those that are computed with it is set (fc_adapter_set names them). Beside
// the model's own type only those in groups (FC_INT8 and those after it), and only where the model's is one of them.
int32_t fc_set_type(void* model, int32_t layer, int32_t which, int32_t weights);
int32_t fc_set_linear(void* model, int32_t layer, int32_t which, const fc_linear* linear);
int32_t fc_set_norm(void* model, int32_t layer, int32_t which, const float* weight, int32_t count);

// Without it tokens are embedded by the rows of the head. The numbers have to stay where they are.
void fc_set_embedding(void* model, const float* rows);

// When all linear layers are set: moves them into huge pages where the system had none for them.
void fc_join(void* model);

// What the first row of a linear layer becomes where it is kept in `weights`, as numbers [inputs].
int32_t fc_round(int32_t weights, const fc_linear* linear, float* out);

// The numbers of blocks of a GGUF file, in ggml's format of this number.
int32_t fc_unpack(int32_t format, const void* blocks, int64_t count, float* out);

int64_t fc_weight_bytes(const void* model);  // of all linear layers and the head
int64_t fc_block_size(const void* model);   // floats of a block of one layer's cache
int32_t fc_block_tokens(void);
int32_t fc_padded(int32_t count);           // floats from one row of so many logits to the next

// An adapter of a model, which has to be there for as long as the adapter. It is made while steps run, on any thread.
void* fc_adapter_new(const void* model);
void fc_adapter_free(void* adapter);

// Of linear layers that are computed together: query, key and value; out; gate and up; down. All of them in one call.
int32_t fc_adapter_set(void* adapter, int32_t layer, const fc_low_rank* parts, int32_t count);

int32_t fc_run(void* model, const fc_step* step);
}
