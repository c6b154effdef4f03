// From any layout to signed or unsigned bytes and float32 scales, so that a panel that meets many rows is decoded once.

typedef uint8_t CodeBytes __attribute__((vector_size(W * 4)));

template <QuantLayout L>
void expand_panel(int zero, const uint8_t* panel, int64_t groups, int64_t prefetch, uint8_t* out) {
  constexpr QuantLayout to = L.expanded();
  const auto zeros = (CodeBytes)splat_int(static_cast<int32_t>(static_cast<uint8_t>(zero) * 0x01010101u));
  const auto put_scales = [&](int scales_at, int at, int j) __attribute__((always_inline)) {
    for (int half = 0; half < L.halves(); ++half) {
      for (int row = 0; row < kPanel; row += W) {
        store(reinterpret_cast<float*>(out + at) + half * kPanel + row,
              group_scales<L>(panel, scales_at, j, half, row));
      }
    }
  };
  constexpr int kRequest = L.block_bytes() / L.block_groups() / kRequests<L>;  // bytes between two
  const uint8_t* ahead = panel + prefetch;
  for (int64_t g = 0; g < groups; g += L.block_groups(), panel += L.block_bytes()) {
    for (int j = 0; j < L.block_groups(); ++j, out += to.block_bytes()) {
      const uint8_t* group = panel + L.codes_at() + j * L.code_bytes();
      AUTOGLM_UNROLL
      for (int q = 0; q < 8; ++q) {
        for (int k = q * kRequests<L> / 8; k < (q + 1) * kRequests<L> / 8; ++k, ahead += kRequest)
          __builtin_prefetch(ahead, 0, 2);
        AUTOGLM_UNROLL
        for (int at = 0; at < 128; at += W * 4) {
          const auto codes = (CodeBytes)quad_codes<L>(group, q, at);
          *reinterpret_cast<IntUnaligned*>(out + to.codes_at() + q * 128 + at) = (I)(codes - zeros);
        }
      }
      put_scales(L.scales_at(), to.scales_at(), j);
      if constexpr (L.minima) put_scales(L.minima_at(), to.minima_at(), j);
    }
  }
}

template <int... i>
void expand_file_layout(QuantLayout layout, int zero, const uint8_t* panel, int64_t groups, int64_t prefetch,
                        uint8_t* out, Lanes<i...>) {
  ((same_layout(layout, kFileLayouts[i]) ? expand_panel<kFileLayouts[i]>(zero, panel, groups, prefetch, out) : void()),
   ...);
}

void expand(QuantLayout layout, int zero, const uint8_t* panel, int64_t groups, int64_t prefetch, uint8_t* out) {
  expand_file_layout(layout, zero, panel, groups, prefetch, out, FileLayouts());
}
