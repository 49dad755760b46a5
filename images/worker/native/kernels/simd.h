// Vectors of floats as wide as the file is compiled for, by GCC's and clang's vector extensions.
//
// Only files of kernels include this: each is compiled for its own instruction set, so that everything here has internal
// linkage. An inline function of the standard library could be emitted with AVX-512 in it and be linked into the others.
#pragma once

#include <stdint.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int kWidth = 16;
#elif defined(__AVX2__)
constexpr int kWidth = 8;
#else
constexpr int kWidth = 4;
#endif

#define INLINE static inline __attribute__((always_inline))

typedef float Floats __attribute__((vector_size(kWidth * 4)));
typedef int32_t Ints __attribute__((vector_size(kWidth * 4)));
typedef float UnalignedFloats __attribute__((vector_size(kWidth * 4), aligned(4), may_alias));
typedef uint16_t Halves __attribute__((vector_size(kWidth * 2), aligned(2), may_alias));
typedef uint32_t Words __attribute__((vector_size(kWidth * 4)));
typedef uint32_t UnalignedWords __attribute__((vector_size(kWidth * 4), aligned(4), may_alias));
typedef uint8_t Bytes __attribute__((vector_size(kWidth), aligned(1), may_alias));
typedef int8_t SignedBytes __attribute__((vector_size(kWidth), aligned(1), may_alias));

INLINE Floats load(const float* at) { return *reinterpret_cast<const UnalignedFloats*>(at); }
INLINE void store(float* at, Floats values) { *reinterpret_cast<UnalignedFloats*>(at) = values; }
INLINE Floats all(float value) { return Floats{} + value; }
INLINE Floats maximum(Floats a, Floats b) { return a > b ? a : b; }

// Numbers in bfloat16, the upper half of a float.
INLINE Floats load_bfloat16(const uint16_t* at) {
  return (Floats)(__builtin_convertvector(*reinterpret_cast<const Halves*>(at), Words) << 16);
}

// Numbers in a byte each, Bytes or SignedBytes.
template <class Vector>
INLINE Floats small(const uint8_t* at) {
  return __builtin_convertvector(__builtin_convertvector(*reinterpret_cast<const Vector*>(at), Ints), Floats);
}

// Numbers in float16.
INLINE Floats load_float16(const uint16_t* at) {
#if defined(__AVX512F__)
  return (Floats)_mm512_maskz_cvtph_ps(0xffff, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
#elif defined(__F16C__)
  return (Floats)_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
#else
  const Words bits = __builtin_convertvector(*reinterpret_cast<const Halves*>(at), Words);
  const Floats size = (Floats)((bits & 0x7fff) << 13) * 5.192296858534828e33f;  // 2^112, for the exponents' bases
  const Words exact = (bits & 0x7fff) >= 0x7c00 ? (bits & 0x7fff) << 13 | 0x7f800000 : (Words)size;
  return (Floats)(exact | (bits & 0x8000) << 16);
#endif
}

// The numbers of a vector, each with that of the lane whose index differs in one bit.
INLINE Floats swapped(Floats values, int bit) {
#if defined(__clang__)
  Floats found;
  for (int i = 0; i < kWidth; i++) found[i] = values[i ^ bit];
  return found;
#else
  Ints lanes;
  for (int i = 0; i < kWidth; i++) lanes[i] = i ^ bit;
  return __builtin_shuffle(values, lanes);
#endif
}

INLINE float sum(Floats values) {
#pragma GCC unroll 4
  for (int bit = kWidth / 2; bit; bit /= 2) values += swapped(values, bit);
  return values[0];
}

INLINE float greatest(Floats values) {
#pragma GCC unroll 4
  for (int bit = kWidth / 2; bit; bit /= 2) values = maximum(values, swapped(values, bit));
  return values[0];
}

// e to the x with a relative error below 2e-7; 0 below -87.3, NaN for NaN. The polynomial is that of Cephes' expf.
INLINE Floats exponential(Floats x) {
  const Floats lowest = all(-87.3f), highest = all(88.3f), magic = all(12582912.f);
  const Floats given = x;
  x = x < lowest ? lowest : x;
  x = x > highest ? highest : x;
  const Floats whole = (x * 1.44269504f + magic) - magic;  // rounds to the nearest integer
  x = x - whole * 0.693359375f;
  x = x + whole * 2.12194440e-4f;
  Floats p = all(1.9875691500e-4f);
  p = p * x + 1.3981999507e-3f;
  p = p * x + 8.3334519073e-3f;
  p = p * x + 4.1665795894e-2f;
  p = p * x + 1.6666665459e-1f;
  p = p * x + 5.0000001201e-1f;
  p = p * (x * x) + x + 1.f;
  const Ints exponent = (__builtin_convertvector(whole, Ints) + 127) << 23;
  const Floats power = p * (Floats)exponent;
  return given < lowest ? Floats{} : power;
}

// 1 / x with a relative error below 2e-7, for numbers that are not far from 1.
INLINE Floats reciprocal(Floats x) {
#if defined(__AVX512F__)
  const Floats near = (Floats)_mm512_maskz_rcp14_ps(0xffff, (__m512)x);
  return near * (2.f - x * near);
#else
  return 1.f / x;
#endif
}

INLINE Floats sigmoid(Floats x) { return reciprocal(1.f + exponential(-x)); }
INLINE Floats hyperbolic_tangent(Floats x) { return 2.f * sigmoid(2.f * x) - 1.f; }
INLINE Floats silu(Floats x) { return x * sigmoid(x); }

// GELU by its approximation with tanh, as Gemma has it (arXiv:1606.08415).
INLINE Floats gelu(Floats x) { return x * sigmoid(1.5957691216f * (x + 0.044715f * x * x * x)); }

}  // namespace
