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
// The q8 KV cache uses quantize_row() on groups of kKvGroup values, counted from the first of a head (or latent row);
// the last group may be shorter. With one scale a head, heads whose channels differ much in size (Gemma 3's 256) lose
// several times more than their int8 weights do.
#pragma once

#include <cstdint>

namespace autoglm {

inline constexpr int kActivationGroup = 32;
inline constexpr int kKvGroup = 32;
inline constexpr float kSmallestAmax = 1e-30f;

/// Quantizes n values as one group and returns the scale. Defined in a file without ISA flags, so that an ISA's own
/// version can never replace it at link time.
float quantize_row(const float* x, int64_t n, int8_t* codes);

}  // namespace autoglm
