// What happens to one row at a time: rounding of activations, norms, activation functions.

/// kernels/quantize.h on 32 columns; v becomes what the codes leave over.
AUTOGLM_INLINE void quantize_group(F (&v)[32 / W], ActGroup* out) {
  constexpr int V = 32 / W;
  I largest = {};
  AUTOGLM_UNROLL
  for (int i = 0; i < V; ++i) {
    const I bits = float_to_bits(v[i]) & splat_int(0x7fffffff);
    largest = bits > largest ? bits : largest;
  }
  const int32_t bits = max_lane(largest);
  float amax;
  __builtin_memcpy(&amax, &bits, 4);
  const bool finite = bits < 0x7f800000;
  const bool usable = finite && amax >= 1e-30f;
  const float inverse = usable ? 127.0f / amax : 0.0f;
  const float scale = usable ? amax / 127.0f : finite ? 0.0f : __builtin_nanf("");
  I sums[2] = {};
  AUTOGLM_UNROLL
  for (int i = 0; i < V; ++i) {
    const F rounded = round_even(v[i] * splat(inverse));
    const I code = usable ? __builtin_convertvector(rounded, I) : I{};
    v[i] = fnma(splat(scale), rounded, v[i]);
    sums[i * 2 / V] += code;
    *reinterpret_cast<BytesUnaligned*>(out->codes + i * W) = __builtin_convertvector(code, Bytes);
  }
  const int32_t low = sum_lanes(sums[0]), high = sum_lanes(sums[1]);
  out->scale = scale;
  out->neg_sum = -(low + high);
  out->neg_sum16[0] = -low;
  out->neg_sum16[1] = -high;
  out->fsum = scale * static_cast<float>(low + high);
  out->fsum16[0] = scale * static_cast<float>(low);
  out->fsum16[1] = scale * static_cast<float>(high);
  out->neg_sum128 = -128 * (low + high);
}

/// Lanes g < n of a, b, c and d, 16 bytes, to byte `at` of group g.
template <int n>
AUTOGLM_INLINE void store_each(I a, I b, I c, I d, ActGroup* const (&to)[n], int64_t at) {
  const I low = zip_low<1>(a, b), high = zip_high<1>(a, b), low2 = zip_low<1>(c, d), high2 = zip_high<1>(c, d);
  const I fours[4] = {zip_low<2>(low, low2), zip_high<2>(low, low2), zip_low<2>(high, high2), zip_high<2>(high, high2)};
  AUTOGLM_UNROLL
  for (int g = 0; g < n; ++g) {
    const I four = fours[g / (W / 4)];
    __builtin_memcpy(reinterpret_cast<char*>(to[g]) + at, reinterpret_cast<const char*>(&four) + g % (W / 4) * 16, 16);
  }
}

/// quantize_group() on n groups at once: the reductions and divisions of all in one. False (nothing done) if a value is
/// not finite. Same bits.
template <int n>
AUTOGLM_INLINE bool quantize_groups(const float* x, ActGroup* const (&out)[n]) {
  constexpr int V = 32 / W;
  I largest[n];
  for (int g = 0; g < n; ++g) {
    largest[g] = I{};
    AUTOGLM_UNROLL
    for (int i = 0; i < V; ++i) {
      const I bits = load_int(x + g * 32 + i * W) & splat_int(0x7fffffff);
      largest[g] = bits > largest[g] ? bits : largest[g];
    }
  }
  const I bits = reduce_lanes<n>(largest, [](I a, I b) { return a > b ? a : b; });
  if (max_lane(bits) >= 0x7f800000) return false;
  const F amax = bits_to_float(bits);
  const auto usable = amax >= splat(1e-30f);
  float inverse[W];
  const F scales = usable ? amax / splat(127.0f) : F{};
  store(inverse, usable ? splat(127.0f) / amax : F{});
  const auto add = [](I a, I b) { return (I)((Bits)a + (Bits)b); };
  I half[2][n];
  for (int g = 0; g < n; ++g) {
    half[0][g] = half[1][g] = I{};
    AUTOGLM_UNROLL
    for (int i = 0; i < V; ++i) {
      // Bits whose low bytes are the codes (kMagic); what they have too much is taken from their sums.
      const I code = float_to_bits(load(x + g * 32 + i * W) * splat(inverse[g]) + splat(kMagic));
      half[i * 2 / V][g] = add(half[i * 2 / V][g], code);
      *reinterpret_cast<BytesUnaligned*>(out[g]->codes + i * W) = __builtin_convertvector(code, Bytes);
    }
  }
  const I too_much = splat_int(static_cast<int32_t>(16 * kMagicBits));
  const I low = add(reduce_lanes<n>(half[0], add), -too_much), high = add(reduce_lanes<n>(half[1], add), -too_much);
  const I both = low + high;
  // The groups' last 32 bytes, in the order of ActGroup. Written as a whole: a line of its own for each group of a row
  // that another core read last takes long to come, and the more stores wait for it the fewer lines can be on their way.
  store_each<n>(float_to_bits(scales), -both, -low, -high, out, __builtin_offsetof(ActGroup, scale));
  store_each<n>(float_to_bits(scales * to_float(both)), float_to_bits(scales * to_float(low)),
                float_to_bits(scales * to_float(high)), splat_int(-128) * both, out,
                __builtin_offsetof(ActGroup, fsum));
  return true;
}

AUTOGLM_INLINE void load_group(const float* x, F (&v)[32 / W]) {
  AUTOGLM_UNROLL
  for (int i = 0; i < 32 / W; ++i) v[i] = load(x + i * W);
}

/// Where groups go: `in_row` side by side, then a row further.
class GroupPlaces {
 public:
  AUTOGLM_INLINE_MEMBER GroupPlaces(ActGroup* out, int64_t in_row, int64_t stride)
      : next_(out), in_row_(in_row), left_(in_row), over_(stride - in_row) {}
  AUTOGLM_INLINE_MEMBER ActGroup* take() {
    ActGroup* place = next_++;
    if (--left_ == 0) left_ = in_row_, next_ += over_;
    return place;
  }

 private:
  ActGroup* next_;
  int64_t in_row_, left_, over_;
};

/// n groups at a time, as many as there are; returns those that are left.
template <int n>
AUTOGLM_INLINE int64_t quantize_by(const float*& x, int64_t groups, GroupPlaces& places) {
  while (groups >= n) {
    const GroupPlaces before = places;
    ActGroup* to[n];
    for (ActGroup*& place : to) place = places.take();
    if (!quantize_groups<n>(x, to)) {
      places = before;
      break;
    }
    x += 32 * n, groups -= n;
  }
  return groups;
}

void quantize(const float* x, int64_t groups, ActGroup* out, int64_t in_row, int64_t stride) {
  GroupPlaces places(out, in_row, stride);
  groups = quantize_by<W>(x, groups, places);
  groups = quantize_by<2>(x, groups, places);  // the rest of a row, or one head
  for (; groups > 0; --groups, x += 32) {
    F v[32 / W];
    load_group(x, v);
    quantize_group(v, places.take());
  }
}

void quantize_twice(const float* x, int64_t groups, ActGroup* high, ActGroup* low) {
  for (int64_t g = 0; g < groups; ++g) {
    F v[32 / W];
    load_group(x + 32 * g, v);
    quantize_group(v, high + g);
    quantize_group(v, low + g);
  }
}

/// A step of the matrix: lanes i and i ^ step become their sum and their difference.
template <int step>
AUTOGLM_INLINE void add_and_subtract(F (&v)[32 / W], F sign) {
  AUTOGLM_UNROLL
  for (F& part : v) part = swap_lanes<step>(part) + part * sign;
}

/// rotate_kv() of kernels/quantize.h, the same bits: the same sums in the same order.
void hadamard(const float* x, int64_t groups, float* out) {
  constexpr int V = 32 / W;
  F signs[4];  // of steps 1, 2, 4 and 8: -1 in the lanes of the differences
  for (int k = 0; k < 4; ++k) {
    for (int i = 0; i < W; ++i) signs[k][i] = i >> k & 1 ? -1.0f : 1.0f;
  }
  for (int64_t g = 0; g < groups; ++g, x += 32, out += 32) {
    F v[V];
    AUTOGLM_UNROLL
    for (int i = 0; i < V; ++i) v[i] = load(x + i * W) * splat(0.17677669529663687f);  // 1 / sqrt(32)
    add_and_subtract<1>(v, signs[0]);
    add_and_subtract<2>(v, signs[1]);
    if constexpr (W >= 8) add_and_subtract<4>(v, signs[2]);
    if constexpr (W >= 16) add_and_subtract<8>(v, signs[3]);
    AUTOGLM_UNROLL
    for (int step = 1; step < V; step *= 2) {
      F to[V];
      AUTOGLM_UNROLL
      for (int i = 0; i < V; ++i) to[i] = (i & step) != 0 ? v[i ^ step] - v[i] : v[i] + v[i ^ step];
      AUTOGLM_UNROLL
      for (int i = 0; i < V; ++i) v[i] = to[i];
    }
    AUTOGLM_UNROLL
    for (int i = 0; i < V; ++i) store(out + i * W, v[i]);
  }
}

/// float32 to bfloat16, ties to even; NaN stays a (quiet) NaN.
void to_bf16(const float* x, int64_t n, uint16_t* out) {
  for (int64_t i = 0; i < n; ++i) {
    uint32_t bits;
    __builtin_memcpy(&bits, x + i, 4);
    const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    out[i] = static_cast<uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? (bits >> 16) | 0x40u : rounded);
  }
}

/// Sum of (x * scale)^2, in one order for every row.
static inline float sum_of_squares(const float* x, int64_t n, float scale) {
  F squares = {};
  const F by = splat(scale);
  int64_t i = 0;
  for (; i + W <= n; i += W) {
    const F v = load(x + i) * by;
    squares = fma(v, v, squares);
  }
  if (i < n) {
    const F v = load_part(x + i, n - i) * by;
    squares = fma(v, v, squares);
  }
  return sum_lanes(squares);
}

void rms_norm(const float* x, const float* weight, float eps, int64_t n, float* out) {
  // Squares of what is above 1.8e19 overflow: such a row is made smaller first, by a power of two.
  const float squares = sum_of_squares(x, n, 1.0f);
  const bool huge = squares > 3.4e38f;
  const float by = huge ? 0x1p-100f : 1.0f;
  const float mean = (huge ? sum_of_squares(x, n, by) : squares) / static_cast<float>(n);
  const float factor = 1.0f / __builtin_sqrtf(mean + (huge ? 0.0f : eps));
  const F scale = splat(factor), first = splat(by);
  int64_t i = 0;
  for (; i + W <= n; i += W) {
    const F y = load(x + i) * first * scale;
    store(out + i, weight != nullptr ? y * load(weight + i) : y);
  }
  for (; i < n; ++i) out[i] = weight != nullptr ? x[i] * by * factor * weight[i] : x[i] * by * factor;
}

/// Below -88 it is 0, up to 6e-37: exp_lanes() grows no further. (-infinity becomes NaN, as in x / (1 + exp(-x)).)
AUTOGLM_INLINE F silu(F x) { return x < splat(-88.0f) ? x * F{} : x / (splat(1.0f) + exp_lanes(-x)); }

AUTOGLM_INLINE F gelu(F x) {  // the tanh form; 0.7978845608 = sqrt(2 / pi)
  const F inner = splat(0.7978845608f) * fma(splat(0.044715f) * x * x, x, x);
  return splat(0.5f) * x * (splat(1.0f) + tanh_lanes(inner));
}

void activate(bool use_gelu, float* gate, const float* up, int64_t n) {
  for (int64_t i = 0; i < n; i += W) {
    if (n - i >= W) {
      const F g = load(gate + i);
      store(gate + i, (use_gelu ? gelu(g) : silu(g)) * load(up + i));
    } else {
      const F g = load_part(gate + i, n - i);
      store_part(gate + i, (use_gelu ? gelu(g) : silu(g)) * load_part(up + i, n - i), n - i);
    }
  }
}

/// Pairs (i, i + pairs).
AUTOGLM_INLINE void rotate_halves(float* values, const float* cosines, const float* sines, int64_t pairs) {
  int64_t i = 0;
  for (; i + W <= pairs; i += W) {
    const F a = load(values + i), b = load(values + i + pairs), c = load(cosines + i), s = load(sines + i);
    store(values + i, a * c - b * s);
    store(values + i + pairs, a * s + b * c);
  }
  for (; i < pairs; ++i) {
    const float a = values[i], b = values[i + pairs];
    values[i] = a * cosines[i] - b * sines[i];
    values[i + pairs] = a * sines[i] + b * cosines[i];
  }
}

/// Pairs (2 i, 2 i + 1).
AUTOGLM_INLINE void rotate_neighbours(float* values, const float* cosines, const float* sines, int64_t pairs) {
  int64_t i = 0;
  for (; i + W <= pairs; i += W) {
    const I c = load_int(cosines + i), s = load_int(sines + i), minus = float_to_bits(-load(sines + i));
    const auto turn = [&](float* at, I cosine, I sine) __attribute__((always_inline)) {
      const F v = load(at);  // a c + b (-s), b c + a s
      store(at, v * bits_to_float(cosine) + swap_lanes<1>(v) * bits_to_float(sine));
    };
    turn(values + 2 * i, zip_low<1>(c, c), zip_low<1>(minus, s));
    turn(values + 2 * i + W, zip_high<1>(c, c), zip_high<1>(minus, s));
  }
  for (; i < pairs; ++i) {
    const float a = values[2 * i], b = values[2 * i + 1];
    values[2 * i] = a * cosines[i] - b * sines[i];
    values[2 * i + 1] = a * sines[i] + b * cosines[i];
  }
}

void rotate(float* values, const float* cosines, const float* sines, int64_t pairs, bool interleaved) {
  (interleaved ? rotate_neighbours : rotate_halves)(values, cosines, sines, pairs);
}

void softcap(float* x, int64_t n, float cap) {
  const F scale = splat(cap), inverse = splat(1.0f / cap);
  for (int64_t i = 0; i < n; i += W) {
    if (n - i >= W) {
      store(x + i, scale * tanh_lanes(load(x + i) * inverse));
    } else {
      store_part(x + i, scale * tanh_lanes(load_part(x + i, n - i) * inverse), n - i);
    }
  }
}

void axpy(float a, const float* x, int64_t n, float* y) {
  const F factor = splat(a);
  for (int64_t i = 0; i < n; i += W) {
    if (n - i >= W) {
      store(y + i, fma(factor, load(x + i), load(y + i)));
    } else {
      store_part(y + i, fma(factor, load_part(x + i, n - i), load_part(y + i, n - i)), n - i);
    }
  }
}

void divide(const float* x, float by, int64_t n, float* y) {
  const F divisor = splat(by);
  for (int64_t i = 0; i < n; i += W) {
    if (n - i >= W) {
      store(y + i, load(x + i) / divisor + F{});
    } else {
      store_part(y + i, load_part(x + i, n - i) / divisor + F{}, n - i);
    }
  }
}

void add_tile(const float* tile, int64_t rows, int64_t width, float scale, float* to, int64_t stride) {
  const F factor = splat(scale);
  for (int64_t r = 0; r < rows; ++r, tile += kPanel, to += stride) {
    if (width == kPanel) {
      AUTOGLM_UNROLL
      for (int i = 0; i < kPanel; i += W) store(to + i, load(to + i) + load(tile + i) * factor);
    } else {
      for (int64_t i = 0; i < width; ++i) to[i] += tile[i] * scale;
    }
  }
}
