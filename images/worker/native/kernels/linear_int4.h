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

// Activations of R rows, by group.
struct Inputs {
  Inputs(const Rows& rows, int row)
      : stride(rows.stride),
        per_row(rows.stride / kGroup),
        quants(rows.quants + row * stride),
        scales(rows.scales + row * per_row),
        sums(rows.sums + row * per_row) {}
  const long stride, per_row;
  const int8_t* quants;
  const float* scales;
  const int32_t* sums;
};

INLINE void prefetch(const uint8_t* weights, int bytes) {
#pragma GCC unroll 12
  for (int line = 0; line < bytes / 64 + 1; line++) __builtin_prefetch(weights + 3072 + 64 * line);
}

// Σ steps × x of a group.
template <int R>
INLINE void dot_group(const Inputs& x, long group, const uint8_t* steps, Ints totals[R][2]) {
  for (int r = 0; r < R; r++) totals[r][0] = totals[r][1] = Ints{};
#pragma GCC unroll 4
  for (int eight = 0; eight < kGroup / 8; eight++) {
    const uint8_t* at = steps + eight * 4 * kPanel;
    const Words w0 = *reinterpret_cast<const UnalignedWords*>(at);
    const Words w1 = *reinterpret_cast<const UnalignedWords*>(at + 4 * kWidth);
#pragma GCC unroll 6
    for (int r = 0; r < R; r++) {
      int32_t quants[2];
      __builtin_memcpy(quants, x.quants + r * x.stride + group * kGroup + 8 * eight, 8);
      totals[r][0] = dot_steps(totals[r][0], w0 & 0x0f0f0f0f, quants[0]);
      totals[r][1] = dot_steps(totals[r][1], w1 & 0x0f0f0f0f, quants[0]);
      totals[r][0] = dot_steps(totals[r][0], w0 >> 4 & 0x0f0f0f0f, quants[1]);
      totals[r][1] = dot_steps(totals[r][1], w1 >> 4 & 0x0f0f0f0f, quants[1]);
    }
  }
}

// Adds a group's part: scales and lowest weights are those of the panel's two vectors.
template <int R>
INLINE void add_group(const Inputs& x, long group, Ints totals[R][2], const Floats scales[2], const Floats lowest[2],
                      Floats out[R][2]) {
#pragma GCC unroll 6
  for (int r = 0; r < R; r++) {
    const long index = r * x.per_row + group;
    const float scale = x.scales[index], shift = scale * static_cast<float>(x.sums[index]);
    for (int v = 0; v < 2; v++) {
      out[r][v] += __builtin_convertvector(total(totals[r][v]), Floats) * (scales[v] * scale) + lowest[v] * shift;
    }
  }
}

template <int R>
INLINE void multiply_int4(const Rows& rows, int row, const uint8_t* weights, long groups, Floats out[R][2]) {
  constexpr int kBytes = kPanel * (4 + kGroup / 2);
  const Inputs x(rows, row);
  for (int r = 0; r < R; r++) out[r][0] = out[r][1] = Floats{};
  for (long group = 0; group < groups; group++, weights += kBytes) {
    if (R <= 4) prefetch(weights, kBytes);
    Ints totals[R][2];
    dot_group<R>(x, group, weights + 4 * kPanel, totals);
    const uint16_t* halves = reinterpret_cast<const uint16_t*>(weights);
    const Floats scales[2] = {load_float16(halves), load_float16(halves + kWidth)};
    const Floats lowest[2] = {load_float16(halves + kPanel), load_float16(halves + kPanel + kWidth)};
    add_group<R>(x, group, totals, scales, lowest, out);
  }
}

// Scales and lowest weights in bytes, times those of their block.
template <int R>
INLINE void multiply_blocks(const Rows& rows, int row, const uint8_t* weights, long groups, Floats out[R][2]) {
  constexpr int kBytes = kPanel * (2 + kGroup / 2);
  const Inputs x(rows, row);
  for (int r = 0; r < R; r++) out[r][0] = out[r][1] = Floats{};
  for (long first = 0; first < groups; first += fastchat::kGroupsOfBlock) {
    const uint16_t* halves = reinterpret_cast<const uint16_t*>(weights);
    const Floats d[2] = {load_float16(halves), load_float16(halves + kWidth)};
    const Floats m[2] = {load_float16(halves + kPanel), load_float16(halves + kPanel + kWidth)};
    const long left = groups - first, end = first + (left < fastchat::kGroupsOfBlock ? left : fastchat::kGroupsOfBlock);
    weights += 4 * kPanel;
    for (long group = first; group < end; group++, weights += kBytes) {
      if (R <= 4) prefetch(weights, kBytes);
      Ints totals[R][2];
      dot_group<R>(x, group, weights + 2 * kPanel, totals);
      const Floats scales[2] = {d[0] * small<Bytes>(weights), d[1] * small<Bytes>(weights + kWidth)};
      const uint8_t* low = weights + kPanel;
      const Floats lowest[2] = {m[0] * small<SignedBytes>(low), m[1] * small<SignedBytes>(low + kWidth)};
      add_group<R>(x, group, totals, scales, lowest, out);
    }
  }
}
