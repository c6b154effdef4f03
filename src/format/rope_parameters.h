// Rotary embedding as a file describes it, before a family turns it into inverse frequencies.
#pragma once

#include <string>

namespace autoglm {

/// Only these scalings are built; any other is refused by name when it is read.
enum class RopeScaling { none, linear, llama3 };

struct RopeParameters {
  double theta = 10000.0;
  double partial = 1.0;  // part of the head that is rotated (partial_rotary_factor)
  int dims = 0;          // rotated values of a head where the file gives the number (GGUF); 0: use `partial`
  RopeScaling scaling = RopeScaling::none;
  double factor = 1.0;            // linear, llama3
  double low_freq_factor = 1.0;   // llama3
  double high_freq_factor = 4.0;  // llama3
  double original_context = 0.0;  // llama3: context length before scaling, tokens
};

}  // namespace autoglm
