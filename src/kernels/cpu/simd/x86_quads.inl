// Quads of codes and zero points as x86 has them.

using Codes = I;
using Quad = I;
using ZeroShift = I;

static inline Quad load_quad(const int8_t* p) {
  int32_t four;
  __builtin_memcpy(&four, p, 4);
  return splat_int(four);
}
static inline ZeroShift zero_shift(int shift) { return splat_int(shift < 0 ? 32 : shift); }  // by 32: 0
static inline I zero_term(int32_t neg_sum, ZeroShift shift) { return shifted_left(splat_int(neg_sum), shift); }
