// The product of int8 weights and int8 activations in groups of 32, each with its scale (part of linear.h).

#if defined(__AVX512VNNI__)

constexpr int kOffset = 128;  // weights are unsigned; 128 × the sum of the activations is taken away at the start

INLINE Ints dot(Ints sums, const uint8_t* weights, int32_t quants) {
  return (Ints)_mm512_dpbusd_epi32((__m512i)sums, _mm512_loadu_si512(weights), _mm512_set1_epi32(quants));
}

#elif defined(__AVX2__)

constexpr int kOffset = 0;

INLINE Ints dot(Ints sums, const uint8_t* weights, int32_t quants) {
  const __m256i w = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights));
  // The weights' signs go to the activations: 2 × 127 × 127 fits into the 16 bits that this instruction has.
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(_mm256_set1_epi32(quants), w));
  return (Ints)_mm256_add_epi32((__m256i)sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

#else

constexpr int kOffset = 0;

INLINE Ints dot(Ints sums, const uint8_t* weights, int32_t quants) {
  int8_t x[4];
  __builtin_memcpy(x, &quants, 4);
  for (int output = 0; output < kWidth; output++) {
    const int8_t* w = reinterpret_cast<const int8_t*>(weights) + 4 * output;
    sums[output] += w[0] * x[0] + w[1] * x[1] + w[2] * x[2] + w[3] * x[3];
  }
  return sums;
}

#endif

template <int R>
INLINE void multiply_int8(const Rows& rows, int row, const uint8_t* weights, long groups, Floats out[R][2]) {
  const long stride = rows.stride, per_row = stride / kGroup;
  const int8_t* x = rows.quants + row * stride;
  const float* scales = rows.scales + row * per_row;
  const int32_t* sums = rows.sums + row * per_row;
  for (int r = 0; r < R; r++) out[r][0] = out[r][1] = Floats{};
  for (long group = 0; group < groups; group++, weights += kPanel * (2 + kGroup)) {
    if (R <= 4) {
#pragma GCC unroll 20
      for (int line = 0; line < kPanel * (2 + kGroup) / 64 + 1; line++) __builtin_prefetch(weights + 3072 + 64 * line);
    }
    Ints totals[R][2];
#pragma GCC unroll 6
    for (int r = 0; r < R; r++) totals[r][0] = totals[r][1] = Ints{} - kOffset * sums[r * per_row + group];
#pragma GCC unroll 8
    for (int quad = 0; quad < kGroup / 4; quad++) {
      const uint8_t* w = weights + 2 * kPanel + quad * 4 * kPanel;
#pragma GCC unroll 6
      for (int r = 0; r < R; r++) {
        int32_t quants;
        __builtin_memcpy(&quants, x + r * stride + group * kGroup + 4 * quad, 4);
        totals[r][0] = dot(totals[r][0], w, quants);
        totals[r][1] = dot(totals[r][1], w + 4 * kWidth, quants);
      }
    }
    const uint16_t* steps = reinterpret_cast<const uint16_t*>(weights);
    const Floats s0 = load_float16(steps), s1 = load_float16(steps + kWidth);
#pragma GCC unroll 6
    for (int r = 0; r < R; r++) {
      const float scale = scales[r * per_row + group];
      out[r][0] += __builtin_convertvector(totals[r][0], Floats) * (s0 * scale);
      out[r][1] += __builtin_convertvector(totals[r][1], Floats) * (s1 * scale);
    }
  }
}
