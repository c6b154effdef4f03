// What AVX2 has with and without VNNI: 8 rows a vector, 16 registers.

constexpr int kTokens = 4;
constexpr int row_vectors(int tokens) { return tokens == 1 ? 4 : tokens == 2 ? 2 : 1; }
constexpr int float_row_vectors(int tokens) { return tokens <= 2 ? 4 : 2; }
constexpr int kFloatScoreQueries = 2;
constexpr int kScoreQueries = 4;
constexpr int kScoreVectors = 2;
constexpr int kValueQueries = 4;

static inline F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
static inline F fnma(F a, F b, F c) { return _mm256_fnmadd_ps(a, b, c); }
static inline F load_f16(const uint16_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}

/// Bytes 0..15 to book[i] + 128.
template <const int8_t (&book)[16]>
static inline I look_up(I indices) {
  const __m128i table = _mm_xor_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(book)), _mm_set1_epi8(-128));
  return (I)_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), (__m256i)indices);
}
static inline I shifted_left(I value, I by) { return (I)_mm256_sllv_epi32((__m256i)value, (__m256i)by); }
