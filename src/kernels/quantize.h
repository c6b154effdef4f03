// How `Precision::automatic` rounds activations. One definition for every backend: ref, and each ISA of cpu, whose
// integer sums are then equal and which differ only in how they round float32 sums.
//
//  * Against a quantized weight: int8 in groups of kActivationGroup columns, counted from the first column of the
//    product's input. amax = the largest |x| of the group, scale = amax / 127, code = x * (127 / amax) rounded to the
//    nearest integer, ties to even (float32 throughout). amax below kSmallestAmax: scale 0, codes 0. A group that holds
//    a NaN or an infinity: scale NaN, codes 0, so that the damage reaches the logits instead of vanishing.
//    With integer dot products D[g] and code sums S[g] over each group g of the *weight* (16 or 32 columns, always
//    inside one activation group a):  y = sum over g of scale_x[a] * (scale_w[g] * D[g] - minimum_w[g] * S[g]).
//  * Against a BF16 or F16 weight: each x is rounded to bfloat16, ties to even; the weight is not rounded.
//  * Against an F32 weight: nothing is rounded.
//
//  * The head (logits) against a quantized weight: the sum of two such roundings. What the first leaves over,
//    r = x - scale * code (float32), is quantized in the same way, and y is the sum of both products, the first first.
//    Rounding there goes straight into the logits, and a step has few rows of them.
//
// The q4 KV cache: a head (or latent row) is padded with zeros to groups of kKvGroup values, rotated and stored as
// codes with a bfloat16 scale a group. Values and latent rows are indices into kKvLevels, 4.5 bits a value; keys, whose
// errors shift all scores and cost six times more, have 32 even levels, 5.5 bits a value.
//  * Rotated: each group by a Walsh-Hadamard matrix, which spreads channels that are larger than others: what comes of
//    it is nearly normal. Rotated queries have the same scores with rotated keys; sums of rotated values are rotated
//    back, which the matrix itself does. Longer blocks lose: with 64 Gemma 3's keys cost 2.5 times more divergence.
//  * kKvLevels are the 16 levels with the least squared error for normal values (Lloyd, IEEE Trans. Inf. Theory 28,
//    1982; Max, IRE Trans. Inf. Theory 6, 1960), times 127 / 2.733: as int8, so that products with them are those of
//    q8.
//  * The level of a key's code c is 8 c - 124: int8 too, without a table.
//  * Codes are those of the levels nearest to x / s with s = 0.9 * amax / 127, keys 0.97 * amax / 124; the scale that
//  is
//    stored is the one with the least squared error for these codes, as bfloat16. (The best of 17 scales is no better.)
//    amax below kSmallestAmax: scale 0. A group that holds a NaN or an infinity: scale NaN.
//
// The q8 KV cache uses quantize_row() on groups of kKvGroup values, counted from the first of a head (or latent row);
// the last group may be shorter. With one scale a head, heads whose channels differ much in size (Gemma 3's 256) lose
// several times more than their int8 weights do. Keys (not values, nor latent rows) are rotated before, as those of q4,
// in groups that are whole.
//
// Queries that meet q8 or q4 keys as integers are rotated as the keys are and rounded by quantize_row() too. Rotation
// spares the keys more than this rounding costs: with queries rounded to int16 and q8 keys unrotated divergence was 9
// to 10 % larger (docs/PERFORMANCE.md).
#pragma once

#include <cstdint>

namespace autoglm {

inline constexpr int kActivationGroup = 32;
inline constexpr int kKvGroup = 32;
inline constexpr float kSmallestAmax = 1e-30f;

/// Quantizes n values as one group and returns the scale. Defined in a file without ISA flags, so that an ISA's own
/// version can never replace it at link time.
float quantize_row(const float* x, int64_t n, int8_t* codes);

inline constexpr int8_t kKvLevels[16] = {-127, -96, -75, -58, -44, -31, -18, -6, 6, 18, 31, 44, 58, 75, 96, 127};

/// A group as q4: value i is kKvLevels[nibble] * scale; values 0..15 in the low nibbles, 16..31 in the high ones.
struct KvNibbles {
  uint8_t codes[kKvGroup / 2];
  uint16_t scale;  // bfloat16
  int level(int i) const { return kKvLevels[codes[i % 16] >> i / 16 * 4 & 15]; }
};
static_assert(sizeof(KvNibbles) == 18);

/// A row of n values, n a multiple of kKvGroup: rotates it in place; twice is (but for rounding) as it was.
void rotate_kv(float* x, int64_t n);
/// kKvGroup rotated values.
KvNibbles quantize_kv(const float* x);

/// A group of keys as q4: nibbles as in KvNibbles, and the fifth bit of value i in bit i / 4 of high[i % 4].
struct KvKeyGroup {
  uint8_t codes[kKvGroup / 2];
  uint8_t high[4];
  uint16_t scale;  // bfloat16
  int level(int i) const { return 8 * ((codes[i % 16] >> i / 16 * 4 & 15) | (high[i % 4] >> i / 4 & 1) << 4) - 124; }
};
static_assert(sizeof(KvKeyGroup) == 22);
KvKeyGroup quantize_kv_key(const float* x);

}  // namespace autoglm
