// The product of int4 weights and int8 activations in groups of 32, each with its scale (part of linear.h).
//
// weight = scale × steps + lowest, so that a group's part is scale × Σ steps × x + lowest × Σ x.

#if defined(__AVX512VNNI__)

INLINE Ints dot_steps(Ints sums, Words steps, int32_t quants) {
  return (Ints)_mm512_dpbusd_epi32((__m512i)sums, (__m512i)steps, _mm512_set1_epi32(quants));
}

INLINE Ints total(Ints sums) { return sums; }

#elif defined(__AVX2__)

// Pairs in 16 bits, which hold those of a group: 16 × 15 × 127.
INLINE Ints dot_steps(Ints sums, Words steps, int32_t quants) {
  const __m256i pairs = _mm256_maddubs_epi16((__m256i)steps, _mm256_set1_epi32(quants));
  return (Ints)_mm256_add_epi16((__m256i)sums, pairs);
}

INLINE Ints total(Ints sums) { return (Ints)_mm256_madd_epi16((__m256i)sums, _mm256_set1_epi16(1)); }

#else

INLINE Ints dot_steps(Ints sums, Words steps, int32_t quants) {
  int8_t x[4];
  __builtin_memcpy(x, &quants, 4);
  for (int i = 0; i < 4; i++) sums += (Ints)(steps >> 8 * i & 0xff) * x[i];
  return sums;
}

INLINE Ints total(Ints sums) { return sums; }

#endif

typedef uint32_t UnalignedWords __attribute__((vector_size(kWidth * 4), aligned(4), may_alias));

template <int R>
INLINE void multiply_int4(const Rows& rows, int row, const uint8_t* weights, long groups, Floats out[R][2]) {
  constexpr int kBytes = kPanel * (4 + kGroup / 2);
  const long stride = rows.stride, per_row = stride / kGroup;
  const int8_t* x = rows.quants + row * stride;
  const float* scales = rows.scales + row * per_row;
  const int32_t* sums = rows.sums + row * per_row;
  for (int r = 0; r < R; r++) out[r][0] = out[r][1] = Floats{};
  for (long group = 0; group < groups; group++, weights += kBytes) {
    if (R <= 4) {
#pragma GCC unroll 12
      for (int line = 0; line < kBytes / 64 + 1; line++) __builtin_prefetch(weights + 3072 + 64 * line);
    }
    Ints totals[R][2] = {};
#pragma GCC unroll 4
    for (int eight = 0; eight < kGroup / 8; eight++) {
      const uint8_t* at = weights + 4 * kPanel + eight * 4 * kPanel;
      const Words w0 = *reinterpret_cast<const UnalignedWords*>(at);
      const Words w1 = *reinterpret_cast<const UnalignedWords*>(at + 4 * kWidth);
#pragma GCC unroll 6
      for (int r = 0; r < R; r++) {
        int32_t quants[2];
        __builtin_memcpy(quants, x + r * stride + group * kGroup + 8 * eight, 8);
        totals[r][0] = dot_steps(totals[r][0], w0 & 0x0f0f0f0f, quants[0]);
        totals[r][1] = dot_steps(totals[r][1], w1 & 0x0f0f0f0f, quants[0]);
        totals[r][0] = dot_steps(totals[r][0], w0 >> 4 & 0x0f0f0f0f, quants[1]);
        totals[r][1] = dot_steps(totals[r][1], w1 >> 4 & 0x0f0f0f0f, quants[1]);
      }
    }
    const uint16_t* steps = reinterpret_cast<const uint16_t*>(weights);
    const Floats s0 = load_float16(steps), s1 = load_float16(steps + kWidth);
    const Floats m0 = load_float16(steps + kPanel), m1 = load_float16(steps + kPanel + kWidth);
#pragma GCC unroll 6
    for (int r = 0; r < R; r++) {
      const float scale = scales[r * per_row + group], shift = scale * static_cast<float>(sums[r * per_row + group]);
      out[r][0] += __builtin_convertvector(total(totals[r][0]), Floats) * (s0 * scale) + m0 * shift;
      out[r][1] += __builtin_convertvector(total(totals[r][1]), Floats) * (s1 * scale) + m1 * shift;
    }
  }
}
