// What `bench` counts: the operations and bytes behind its figures, and the roof that each is a share of. Pure
// functions.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "cli/bench_run.h"
#include "cli/work.h"
#include "kernels/backend.h"
#include "kernels/probe.h"
#include "model/arch_spec.h"

namespace autoglm {

/// What a step that decodes one token of each sequence reads, once, whatever the number of sequences.
struct StepBytes {
  double weights = 0;   // as the backend holds them: the head once, of an embedding that is only looked up nothing
  double file = 0;      // the same matrices as the file has them
  double resident = 0;  // `weights` with every expert
  double kv = 0;        // keys and values of all sequences, the average over the decode steps
};

/// How much of a product's weights is multiplied with which arithmetic.
struct Arithmetic {
  double int8 = 0;  // quantized weights
  double bf16 = 0;  // BF16 and F16 weights
  double f32 = 0;   // F32 weights, and all of them with --precision f32
};

StepBytes step_bytes(const ArchSpec& spec, const ModelSource& source, const Backend& backend, Precision precision,
                     KvType kv_type, const BenchShape& shape);
Arithmetic arithmetic_of(const ArchSpec& spec, const ModelSource& source, Precision precision);

/// The part of the experts that `tokens` tokens need, each choosing `top_k` of them at random.
double experts_read(int top_k, int experts, int64_t tokens);

/// Tokens whose keys and values a layer reads in a decode step, on average over `steps` steps after `depth` tokens;
/// with a window at most that many.
double tokens_read(int64_t window, int64_t depth, int64_t steps);

/// 1e9 operations a second: 2 x the weights multiplied for every prompt token, the head and most of the last layer for
/// one row of each prompt; attention not. 1 multiply-add = 2 operations.
double prefill_gops(const TokenWork& work, int64_t prompt, double tokens_per_second);

/// 1e9 bytes a second of steps that decode `tokens_per_second` of `batch` sequences together.
double decode_gbps(const StepBytes& bytes, int64_t batch, double tokens_per_second);

/// The speed of a mix of arithmetic that is at its roof in each part; 0 where a part has none (float32).
double arithmetic_roof(const Arithmetic& mix, const Roofs& roofs);
/// "int8", "bf16", "int8 and bf16", or "none".
std::string_view roof_name(const Arithmetic& mix);

/// The speed of reads of which this part lies on huge pages.
double read_roof(double huge_share, const Roofs& roofs);
/// "huge", "small" or "mixed".
std::string_view page_kind(double huge_share);

}  // namespace autoglm
