// Reading a packed quantized panel: codes and scales of W rows, whatever the layout. Included by what multiplies panels
// and by what expands them, which so compute the same float32 scales.
//
// Needs from the ISA: load_f16, look_up (bytes that index a code book, to its values + 128).

/// v shifted to the right, by a negative count to the left; the caller masks off bits that cross bytes.
AUTOGLM_INLINE I shifted(I v, int right) { return right >= 0 ? v >> right : v << -right; }

/// Unsigned codes of quad `q` (0..7) of a group, a row a lane, for the W rows from byte offset `at` of each line.
template <QuantLayout L>
AUTOGLM_INLINE I quad_codes(const uint8_t* group, int q, int at) {
  const uint8_t* high = group + L.low_bytes() + at;
  if constexpr (L.codes == CodeForm::byte) {
    return load_int(group + q * 128 + at);
  } else if constexpr (L.codes == CodeForm::two || L.codes == CodeForm::three) {
    const I low = (load_int(group + q / 4 * 128 + at) >> q % 4 * 2) & splat_int(0x03030303);
    if constexpr (L.codes == CodeForm::two) {
      return low;
    } else {
      return low | (shifted(load_int(high), q - 2) & splat_int(0x04040404));
    }
  } else {
    const I low = (load_int(group + q % 4 * 128 + at) >> q / 4 * 4) & splat_int(0x0f0f0f0f);
    if constexpr (L.codes == CodeForm::five) {
      return low | (shifted(load_int(high), q - 4) & splat_int(0x10101010));
    } else if constexpr (L.codes == CodeForm::six) {
      return low | (shifted(load_int(high + q / 4 * 128), q % 4 * 2 - 4) & splat_int(0x30303030));
    } else {
      return L.codes == CodeForm::book ? look_up<kCodeBook>(low) : low;
    }
  }
}

/// Requests for memory in a group: about one a line.
template <QuantLayout L>
constexpr int kRequests = (L.block_bytes() / L.block_groups() + 63) / 64;

/// Scales or minima (`from`: scales_at() or minima_at()) of a block's group, for the W rows from `row` on.
template <QuantLayout L>
AUTOGLM_INLINE F group_scales(const uint8_t* block, int from, int group, int half, int row) {
  const uint8_t* p = block + from + ((group * L.halves() + half) * kPanel + row) * L.scale_size();
  if constexpr (L.scales == ScaleForm::single) {
    return load(reinterpret_cast<const float*>(p));
  } else if constexpr (L.scales == ScaleForm::half) {
    return load_f16(reinterpret_cast<const uint16_t*>(p));
  } else {
    const uint8_t* factors = block + (from == L.scales_at() ? row : kPanel + row) * 2;
    const I integers = __builtin_convertvector(*reinterpret_cast<const BytesUnaligned*>(p), I);
    return to_float(integers) * load_f16(reinterpret_cast<const uint16_t*>(factors));
  }
}

static inline bool same_layout(QuantLayout a, QuantLayout b) {
  return a.codes == b.codes && a.scales == b.scales && a.group16 == b.group16 && a.minima == b.minima;
}

/// Lanes<0, 1, ...>, one for each of kFileLayouts.
using FileLayouts = LanesTo<sizeof(kFileLayouts) / sizeof(QuantLayout)>::Type;
