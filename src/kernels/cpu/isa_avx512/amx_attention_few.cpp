// Attention in bf16 for a few queries without tiles, with the bits of amx_attention.cpp: products and sums in float32,
// in the order in which a tile product adds them (Intel 64 and IA-32 Software Developer's Manual, TDPBF16PS): even
// columns one after the other, odd ones, then the two sums, then what was there. A product of two bf16 numbers is exact
// in float32, so that it makes no difference whether it is fused with the addition.
//
// Why: making tiles of keys and values costs more instructions than multiplying them by up to four queries, and vector
// units multiply at half their speed beside tile products. One step's queries of a head are these few.
#include "kernels/cpu/isa_avx512/amx_attention.h"

namespace autoglm::cpu::avx512amx {
namespace {

constexpr int kMostColumns = 256;  // of keys

/// The nearest bf16, ties away from zero, as the tiles' decoder rounds.
AUTOGLM_INLINE F to_nearest(F v) {
  return bits_to_float((float_to_bits(v) + splat_int(0x8000)) & splat_int(static_cast<int32_t>(0xffff0000)));
}

/// Scores of n queries, [n][kMostColumns], with the keys of a block.
template <KvCode code, int n>
AUTOGLM_INLINE void block_scores(const void* block, const void* scales, int dim, const float* queries, Ahead& ahead,
                                 F (&scores)[n]) {
  for (int step = 0; step < dim; step += kStep) {
    F even[n] = {}, odd[n] = {};
    F scale{}, offset{};
    if constexpr (code == KvCode::q8) {
      scale = load(static_cast<const float*>(scales) + step / kScaleGroup * kBlockTokens);
      offset = key_offset(scale);
    }
    const int end = step + kStep < dim ? step + kStep : dim;
    AUTOGLM_NO_UNROLL
    for (int c = step; c < end; c += 4) {
      F columns[4];
      if constexpr (code == KvCode::bf16) {
        ask(ahead, 2);
        const auto* pairs = static_cast<const uint16_t*>(block) + c * kBlockTokens;
        for (int pair = 0; pair < 2; ++pair) {
          const I bits = load_int(pairs + pair * kStep);
          columns[2 * pair] = bits_to_float(bits << 16);
          columns[2 * pair + 1] = bits_to_float(bits & splat_int(static_cast<int32_t>(0xffff0000)));
        }
      } else {
        ask(ahead, 1);
        key_columns(static_cast<const uint8_t*>(block) + c * kBlockTokens, scale, offset, columns);
        for (F& column : columns) column = to_nearest(column);
      }
      AUTOGLM_UNROLL
      for (int q = 0; q < n; ++q) {
        const float* query = queries + q * kMostColumns + c;
        even[q] = fma(splat(query[0]), columns[0], even[q]);
        odd[q] = fma(splat(query[1]), columns[1], odd[q]);
        even[q] = fma(splat(query[2]), columns[2], even[q]);
        odd[q] = fma(splat(query[3]), columns[3], odd[q]);
      }
    }
    AUTOGLM_UNROLL
    for (int q = 0; q < n; ++q) scores[q] = step == 0 ? even[q] + odd[q] : scores[q] + (even[q] + odd[q]);
  }
}

/// Weights of a step's tokens for four queries, rounded to bf16. Those of token t begin at `at(t)`: four vectors of 16
/// tokens turn into vectors of four tokens most cheaply so.
struct StepWeights {
  alignas(64) float values[kStep * 4];

  static constexpr int at(int token) { return token / 16 * 64 + token % 4 * 16 + token % 16 / 4 * 4; }
  const float* of(int token) const { return values + at(token); }

  /// Tokens [16 half, 16 half + 16).
  AUTOGLM_INLINE_MEMBER void set(int half, const F (&rows)[4]) {
    const auto low = [](F a, F b) { return (F)_mm512_unpacklo_ps(a, b); };
    const auto high = [](F a, F b) { return (F)_mm512_unpackhi_ps(a, b); };
    const auto pairs = [](F a, F b) { return _mm512_unpacklo_pd((__m512d)a, (__m512d)b); };
    const auto rest = [](F a, F b) { return _mm512_unpackhi_pd((__m512d)a, (__m512d)b); };
    const F a = low(rows[0], rows[1]), b = high(rows[0], rows[1]), c = low(rows[2], rows[3]),
            d = high(rows[2], rows[3]);
    float* to = values + half * 64;
    store(to, (F)pairs(a, c));
    store(to + 16, (F)rest(a, c));
    store(to + 32, (F)pairs(b, d));
    store(to + 48, (F)rest(b, d));
  }
  /// Sums of the four queries' weights, even tokens and then odd ones, as if there were a column of ones.
  __m128 sums() const {
    __m128 even = _mm_setzero_ps(), odd = _mm_setzero_ps();
    AUTOGLM_UNROLL
    for (int t = 0; t < kStep; t += 2) {
      even = _mm_add_ps(even, _mm_load_ps(of(t)));
      odd = _mm_add_ps(odd, _mm_load_ps(of(t + 1)));
    }
    return _mm_add_ps(even, odd);
  }
};

/// 2^(score - reference), rounded to bf16; 0 where not seen.
AUTOGLM_INLINE F weights_of(F scores, float reference, __mmask16 seen) {
  const auto rounded = (__m256i)_mm512_cvtneps_pbh(power_of_two(scores - splat(reference), seen));
  return (F)_mm512_slli_epi32(_mm512_cvtepu16_epi32(rounded), 16);
}

template <KvCode code, int n>
class Few {
 public:
  Few(const KvTilesArgs& source, const AttendArgs& args) : source_(source), args_(args) {
    for (int q = 0; q < n; ++q) {
      for (int c = 0; c < args.key_dim; c += 16) {
        const uint16_t* from = args.queries + c / kStep * kTile + q * kStep + c % kStep;
        store(queries_ + q * kMostColumns + c, value_row<KvCode::bf16>(from, nullptr));
      }
    }
  }

  bool run() {
    const int first = source_.begin / kStep;
    __m128 sums = _mm_setzero_ps();
    for (int step = first; step * kStep < source_.end; ++step) {
      StepWeights weights;
      step_weights(step, step == first, weights);
      sums = _mm_add_ps(sums, weights.sums());
      add_values(step, step == first, weights);
    }
    float sum[4];
    _mm_storeu_ps(sum, sums);
    bool usable = true;
    for (int q = 0; q < n; ++q) {
      args_.max[q] = reference_[q] * kLn2;
      args_.sum[q] = sum[q];
      usable = usable && usable_sum(sum[q]);
    }
    return usable;
  }

 private:
  /// Positions of block b that are seen.
  __mmask16 seen(int b) const { return range(source_.begin - b * kBlockTokens, source_.end - b * kBlockTokens); }

  void step_weights(int step, bool first, StepWeights& weights) {
    F scores[2][n] = {};
    for (int half = 0; half < 2; ++half) {
      const int b = 2 * step + half;
      if (seen(b) == 0) continue;
      block_scores<code, n>(source_.keys[b], source_.key_scales[b], source_.key_dim, queries_, *source_.ahead,
                            scores[half]);
      if (args_.softcap > 0.0f) {
        for (F& row : scores[half]) row = capped(row, args_.softcap);
      }
    }
    if (first) measure_from(scores[source_.begin / kBlockTokens % 2], seen(source_.begin / kBlockTokens));
    ask(*source_.ahead, (args_.key_dim + args_.value_dim) / 16 + 1);
    for (int half = 0; half < 2; ++half) {
      const __mmask16 mask = seen(2 * step + half);
      F rows[4] = {};
      AUTOGLM_UNROLL
      for (int q = 0; q < n; ++q) rows[q] = weights_of(scores[half][q], reference_[q], mask);
      weights.set(half, rows);
    }
  }

  /// What scores are measured from: the largest of the first block, as with tiles.
  void measure_from(const F (&scores)[n], __mmask16 mask) {
    F rows[kRows];
    for (int q = 0; q < kRows; ++q) rows[q] = splat(-__builtin_inff());
    for (int q = 0; q < n; ++q) rows[q] = _mm512_mask_max_ps(rows[q], mask, scores[q], rows[q]);
    store(reference_, ceilings(rows));
  }

  /// Adds the weighted sums of a step's values to the outputs.
  void add_values(int step, bool first, const StepWeights& weights) const {
    const int tiles = args_.value_dim / 16;
    int t = 0;
    for (; t + 2 <= tiles; t += 2) add_columns<2>(step, t, first, weights);
    if (t < tiles) add_columns<1>(step, t, first, weights);
  }

  /// Columns [16 t, 16 (t + width)).
  template <int width>
  void add_columns(int step, int t, bool first, const StepWeights& weights) const {
    constexpr int64_t size = code == KvCode::bf16 ? 2 : 1;
    F even[n][width] = {}, odd[n][width] = {};
    const auto add_token = [&](int token, const uint8_t* rows, const float* scales,
                               F(&sums)[n][width]) __attribute__((always_inline)) {
      const int slot = token % kBlockTokens;
      const float* of_token = weights.of(token);
      AUTOGLM_UNROLL
      for (int i = 0; i < width; ++i) {
        const int column = (t + i) * 16;
        F value = value_row<code>(rows + (slot * source_.row_stride + column) * size,
                                  code == KvCode::bf16 ? nullptr : scales + column / kScaleGroup * kBlockTokens + slot);
        if constexpr (code == KvCode::q8) value = to_nearest(value);
        AUTOGLM_UNROLL
        for (int q = 0; q < n; ++q) sums[q][i] = fma(splat(of_token[q]), value, sums[q][i]);
      }
    };
    for (int half = 0; half < 2; ++half) {
      const int b = 2 * step + half;
      const __mmask16 mask = seen(b);
      if (mask == 0) continue;
      const auto* rows = static_cast<const uint8_t*>(source_.values[b]);
      const auto* scales = static_cast<const float*>(source_.value_scales[b]);
      if (mask == 0xffff) {
        AUTOGLM_NO_UNROLL
        for (int slot = 0; slot < kBlockTokens; slot += 2) {
          ask(*source_.ahead, code == KvCode::bf16 ? 2 : 1);
          add_token(half * kBlockTokens + slot, rows, scales, even);
          add_token(half * kBlockTokens + slot + 1, rows, scales, odd);
        }
      } else {
        for (int slot = 0; slot < kBlockTokens; ++slot) {
          if ((mask >> slot & 1) == 0) continue;  // its value counts as 0, whatever it is
          add_token(half * kBlockTokens + slot, rows, scales, slot % 2 == 0 ? even : odd);
        }
      }
    }
    AUTOGLM_UNROLL
    for (int q = 0; q < n; ++q) {
      float* out = args_.o + q * args_.o_stride + t * 16;
      AUTOGLM_UNROLL
      for (int i = 0; i < width; ++i) {
        const F sum = even[q][i] + odd[q][i];
        store(out + 16 * i, first ? sum : load(out + 16 * i) + sum);
      }
    }
  }

  const KvTilesArgs& source_;
  const AttendArgs& args_;
  alignas(64) float queries_[n * kMostColumns];
  alignas(64) float reference_[kRows];
};

template <KvCode code>
bool attend_rows(const KvTilesArgs& source, const AttendArgs& args) {
  switch (args.nq) {
    case 1:
      return Few<code, 1>(source, args).run();
    case 2:
      return Few<code, 2>(source, args).run();
    case 3:
      return Few<code, 3>(source, args).run();
    default:
      return Few<code, 4>(source, args).run();
  }
}

}  // namespace

bool attend_without_tiles(const KvTilesArgs& source, const AttendArgs& args) {
  if (args.key_dim > kMostColumns || source.begin >= source.end) return false;
  return source.code == KvCode::bf16 ? attend_rows<KvCode::bf16>(source, args) : attend_rows<KvCode::q8>(source, args);
}

}  // namespace autoglm::cpu::avx512amx
