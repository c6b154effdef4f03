// Attention over KV blocks of 16 tokens. A vector of scores holds tokens, a vector of outputs holds columns.

template <int n>
struct Count {
  static constexpr int value = n;
};

/// Calls f(first, constant) for tiles of at most `most` queries that cover nq, sizes as equal as they can be.
template <int most, typename F>
AUTOGLM_INLINE void for_query_tiles(int nq, F f) {
  int first = 0;
  while (first < nq) {
    const int left = nq - first, tiles = (left + most - 1) / most, take = (left + tiles - 1) / tiles;
    switch (take) {
      case 1:
        f(first, Count<1>{});
        break;
      case 2:
        f(first, Count<2>{});
        break;
      case 3:
        f(first, Count<most >= 3 ? 3 : 1>{});
        break;
      case 4:
        f(first, Count<most >= 4 ? 4 : 1>{});
        break;
      case 5:
        f(first, Count<most >= 5 ? 5 : 1>{});
        break;
      default:
        f(first, Count<most >= 6 ? 6 : 1>{});
        break;
    }
    first += take;
  }
}

/// Scales [at, at + W) of a block's keys or values.
template <KvCode code>
AUTOGLM_INLINE F scale_lanes(const void* scales, int at) {
  if constexpr (code == KvCode::q4) {
    const Halves halves = *reinterpret_cast<const HalvesUnaligned*>(static_cast<const uint16_t*>(scales) + at);
    return bits_to_float(__builtin_convertvector(halves, I) << 16);
  } else {
    return load(static_cast<const float*>(scales) + at);
  }
}

#include "kernels/cpu/simd/scores.inl"
#include "kernels/cpu/simd/softmax.inl"
#include "kernels/cpu/simd/values.inl"
