// The inputs that calibration looks at: windows of tokens, from a text, from conversations, or from what the model says
// itself.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "format/model_source.h"
#include "model/runtime.h"
#include "text/chat_spec.h"
#include "text/tokenizer.h"

namespace autoglm {

struct CalibrationShape {
  int64_t windows = 48;  // at most
  int64_t length = 512;  // tokens of each
  uint64_t seed = 1;     // own_windows: another seed gives another text
};

using Windows = std::vector<std::vector<int32_t>>;

/// Windows spread evenly over the text, each as a prompt of its own: with BOS in place of its first token if the model
/// adds one. Error bad_file, naming the file, for a text shorter than a window.
Windows text_windows(const Tokenizer& tokenizer, std::string_view text, const std::string& name,
                     const CalibrationShape& shape);

/// The same over conversations, rendered with the model's template and put one behind the other. A line is an object
/// with "messages", or with "text" for what is no conversation. Errors: bad_file that names the line, bad_template.
Windows chat_windows(const Tokenizer& tokenizer, const ChatModel& chat, std::string_view jsonl, const std::string& name,
                     const CalibrationShape& shape);

/// What a user's file holds: chat_windows() for a name that ends in .jsonl, else text_windows().
Windows file_windows(const Tokenizer& tokenizer, const ModelSource& source, std::string_view text,
                     const std::string& name, const CalibrationShape& shape);

/// What the model writes by itself from the seeds of calibration_seeds.cpp, sampled at temperature 1 with seeds of
/// its own: always the same on one machine (Liu et al. 2023, "LLM-QAT", calibrate so). The whole model has to fit in
/// memory: errors as Model::load.
Windows own_windows(const std::shared_ptr<const ModelSource>& source, Runtime& runtime, const Tokenizer& tokenizer,
                    const ChatModel& chat, const CalibrationShape& shape, const std::function<void()>& check,
                    const std::function<void(int64_t done, int64_t total)>& progress);

/// What a model is made to go on with: the beginning of a text, or what a user says.
struct CalibrationSeed {
  bool chat = false;
  std::string_view text;
};
std::span<const CalibrationSeed> calibration_seeds();

}  // namespace autoglm
