// The product of weights in bfloat16 and activations in float32 (part of linear.h).
//
// A word has an output's weights for two inputs, of which each is the upper half of a float.

INLINE Words words_at(const uint16_t* at) { return *reinterpret_cast<const UnalignedWords*>(at); }
INLINE Floats first_of(Words pairs) { return (Floats)(pairs << 16); }
INLINE Floats second_of(Words pairs) { return (Floats)(pairs & 0xffff0000); }

template <int R>
INLINE void multiply_bfloat16(const float* x, long stride, const uint16_t* weights, int inputs, Floats out[R][2]) {
  constexpr int line = 64 / sizeof(uint16_t);
  constexpr int C = R <= 3 ? 2 : 1;
  Floats sums[C][R][2] = {};
  for (int k = 0; k < inputs; k += 2, weights += 2 * kPanel) {
    if (R <= 4) {
#pragma GCC unroll 4
      for (int c = 0; c < 2 * kPanel / line; c++) __builtin_prefetch(weights + line * (32 + c));
    }
    const Words w0 = words_at(weights), w1 = words_at(weights + 2 * kWidth);
#pragma GCC unroll 12
    for (int r = 0; r < R; r++) {
      const float first = x[r * stride + k], second = x[r * stride + k + 1];
      sums[0][r][0] += first * first_of(w0);
      sums[0][r][1] += first * first_of(w1);
      sums[C - 1][r][0] += second * second_of(w0);
      sums[C - 1][r][1] += second * second_of(w1);
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < R; r++) {
    for (int v = 0; v < 2; v++) out[r][v] = C == 1 ? sums[0][r][v] : sums[0][r][v] + sums[C - 1][r][v];
  }
}
