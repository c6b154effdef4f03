// From nibbles to bytes, so that a panel that meets many tokens is decoded once.

void expand_nibbles(QuantLayout layout, const uint8_t* panel, int64_t groups, uint8_t* out) {
  QuantLayout bytes = layout;
  bytes.nibble = false;
  const int tail = layout.group_bytes() - layout.code_bytes();  // scales and minima stay as they are
  for (int64_t g = 0; g < groups; ++g) {
    for (int i = 0; i < 512; i += W * 4) {
      const I raw = load_int(panel + i);
      *reinterpret_cast<IntUnaligned*>(out + i) = raw & splat_int(0x0f0f0f0f);
      *reinterpret_cast<IntUnaligned*>(out + 512 + i) = (raw >> 4) & splat_int(0x0f0f0f0f);
    }
    __builtin_memcpy(out + 1024, panel + 512, static_cast<unsigned>(tail));
    panel += layout.group_bytes();
    out += bytes.group_bytes();
  }
}
