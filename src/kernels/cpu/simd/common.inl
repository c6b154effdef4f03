// Vectors of W float32 or int32 lanes in the compiler's own vector notation, which clang and GCC share. Included inside
// the namespace of an ISA, after its `W`; the ISA's simd.h adds what the notation cannot say (fma, integer dot
// products, float16).

typedef float F __attribute__((vector_size(W * 4)));
typedef int32_t I __attribute__((vector_size(W * 4)));
typedef float FloatUnaligned __attribute__((vector_size(W * 4), aligned(4), may_alias));
typedef int32_t IntUnaligned __attribute__((vector_size(W * 4), aligned(1), may_alias));
typedef uint32_t Bits __attribute__((vector_size(W * 4)));
typedef int8_t Bytes __attribute__((vector_size(W)));
typedef int8_t BytesUnaligned __attribute__((vector_size(W), aligned(1), may_alias));
typedef uint8_t UnsignedBytes __attribute__((vector_size(W), aligned(1), may_alias));
typedef uint16_t Halves __attribute__((vector_size(W * 2)));
typedef int16_t Words __attribute__((vector_size(W * 2)));
typedef int16_t WordsUnaligned __attribute__((vector_size(W * 2), aligned(2), may_alias));
typedef uint16_t HalvesUnaligned __attribute__((vector_size(W * 2), aligned(2), may_alias));

static inline F load(const float* p) { return *reinterpret_cast<const FloatUnaligned*>(p); }
static inline void store(float* p, F v) { *reinterpret_cast<FloatUnaligned*>(p) = v; }
static inline I load_int(const void* p) { return *reinterpret_cast<const IntUnaligned*>(p); }
static inline F splat(float v) { return v - F{}; }
static inline I splat_int(int32_t v) { return v - I{}; }
static inline F to_float(I v) { return __builtin_convertvector(v, F); }
static inline F bits_to_float(I v) { return reinterpret_cast<F>(v); }
static inline I float_to_bits(F v) { return reinterpret_cast<I>(v); }

/// Asks for the next `lines` lines, as far as there are any.
static inline __attribute__((always_inline)) void ask(Ahead& ahead, int64_t lines) {
  for (; lines > 0 && ahead.count > 0; --lines) {
    __builtin_prefetch(static_cast<const char*>(*ahead.pieces) + ahead.at, 0, 2);
    ahead.at += 64;
    if (ahead.at < ahead.bytes) continue;
    ahead.at = 0;
    ++ahead.pieces;
    --ahead.count;
  }
}

/// The first n < W lanes; the others are 0.
static inline F load_part(const float* p, int64_t n) {
  float lanes[W] = {};
  for (int64_t i = 0; i < n; ++i) lanes[i] = p[i];
  return load(lanes);
}
static inline void store_part(float* p, F v, int64_t n) {
  float lanes[W];
  store(lanes, v);
  for (int64_t i = 0; i < n; ++i) p[i] = lanes[i];
}

/// 1.5 x 2^23: added to |v| < 2^22 it leaves no fraction bits, so the sum is rounded to the nearest integer, ties to
/// even, and the low 22 bits of its bits are that integer's. kMagicBits are its own.
constexpr float kMagic = 12582912.0f;
constexpr uint32_t kMagicBits = 0x4b400000u;
static inline F round_even(F v) { return (v + splat(kMagic)) - splat(kMagic); }

// A NaN compares false and passes through.
static inline F at_most(F v, float limit) { return v > splat(limit) ? splat(limit) : v; }
static inline F at_least(F v, float limit) { return v < splat(limit) ? splat(limit) : v; }

/// Swaps halves of 2 * step lanes: lane i gets lane i ^ step. Building block of the reductions, whose order is fixed.
template <int step, typename V>
static inline V swap_lanes(V v) {
  if constexpr (sizeof(V) == 64) {
    return __builtin_shufflevector(v, v, 0 ^ step, 1 ^ step, 2 ^ step, 3 ^ step, 4 ^ step, 5 ^ step, 6 ^ step, 7 ^ step,
                                   8 ^ step, 9 ^ step, 10 ^ step, 11 ^ step, 12 ^ step, 13 ^ step, 14 ^ step,
                                   15 ^ step);
  } else if constexpr (sizeof(V) == 32) {
    return __builtin_shufflevector(v, v, 0 ^ step, 1 ^ step, 2 ^ step, 3 ^ step, 4 ^ step, 5 ^ step, 6 ^ step,
                                   7 ^ step);
  } else {
    return __builtin_shufflevector(v, v, 0 ^ step, 1 ^ step, 2 ^ step, 3 ^ step);
  }
}

// Several reductions at once: a tree in which each step folds two vectors into one.
template <int... i>
struct Lanes {};
template <int n, int... i>
struct LanesTo : LanesTo<n - 1, n - 1, i...> {};
template <int... i>
struct LanesTo<0, i...> {
  using Type = Lanes<i...>;
};

/// Chunks of h lanes of x and of y by turns; the low half of that, and the high one.
template <int h, bool high, int... i>
static inline I zip_lanes(I x, I y, Lanes<i...>) {
  constexpr auto from = [](int lane) {
    const int chunk = lane / h + (high ? W / h : 0);
    return chunk / 2 * h + lane % h + chunk % 2 * W;
  };
  return __builtin_shufflevector(x, y, from(i)...);
}
template <int h>
static inline I zip_low(I x, I y) {
  return zip_lanes<h, false>(x, y, typename LanesTo<W>::Type());
}
template <int h>
static inline I zip_high(I x, I y) {
  return zip_lanes<h, true>(x, y, typename LanesTo<W>::Type());
}

template <int h, typename Op, int... i>
static inline I fold_lanes(I x, I y, Op op, Lanes<i...>) {
  constexpr auto from = [](int lane) { return lane / (W / 2) * W + lane % (W / 2) / h * 2 * h + lane % h; };
  return op(__builtin_shufflevector(x, y, from(i)...), __builtin_shufflevector(x, y, (from(i) + h)...));
}

/// Lanes 0, h, 2 h, ...: the first W / h lanes of the result.
template <int h, int... i>
static inline I every_lane(I v, Lanes<i...>) {
  return __builtin_shufflevector(v, v, (i * h % W)...);
}

/// Lane g of the result is op over the lanes of vector g of v; W / (2 h) is the number of vectors, h is halved each
/// step: x and y hold items of 2 h lanes each, the result those of x and then those of y, of h lanes each.
template <int n, typename Op>
static inline I reduce_each(const I* v, Op op) {
  if constexpr (n == 1) {
    return v[0];
  } else {
    return fold_lanes<W / n>(reduce_each<n / 2>(v, op), reduce_each<n / 2>(v + n / 2, op), op,
                             typename LanesTo<W>::Type());
  }
}

/// In every lane: op over all of them.
template <typename V, typename Op>
static inline V reduce_all(V v, Op op) {
  if constexpr (W >= 16) v = op(v, swap_lanes<8>(v));
  if constexpr (W >= 8) v = op(v, swap_lanes<4>(v));
  v = op(v, swap_lanes<2>(v));
  return op(v, swap_lanes<1>(v));
}
/// Lane g < n of the result is op over the lanes of vector g of v.
template <int n, typename Op>
static inline I reduce_lanes(const I* v, Op op) {
  I all = reduce_each<n>(v, op);  // W / n lanes of each
  if constexpr (n == W) return all;
  if constexpr (W / n > 4) all = op(all, swap_lanes<4>(all));
  if constexpr (W / n > 2) all = op(all, swap_lanes<2>(all));
  all = op(all, swap_lanes<1>(all));
  return every_lane<W / n>(all, typename LanesTo<W>::Type());
}
static inline int32_t max_lane(I v) {
  return reduce_all(v, [](I a, I b) { return a > b ? a : b; })[0];
}
static inline int32_t sum_lanes(I v) {
  return reduce_all(v, [](I a, I b) { return a + b; })[0];
}
static inline float sum_lanes(F v) {
  return reduce_all(v, [](F a, F b) { return a + b; })[0];
}
