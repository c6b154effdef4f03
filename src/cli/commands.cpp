#include "cli/commands.h"

namespace autoglm {

const std::vector<const Command*>& commands() {
  static const std::vector<const Command*> table = {
      &kRun,        &kChat,     &kServe,  &kPull,       &kList,    &kRm,      &kClean,      &kInspect,  &kTokenize,
      &kDetokenize, &kTemplate, &kLogits, &kPerplexity, &kCompare, &kBench,   &kConvert,    &kQuantize, &kOptimize,
      &kSelftest,   &kHw,       &kTune,   &kDoctor,     &kConfig,  &kVersion, &kCompletion, &kMan,
  };
  return table;
}

const Command* find_command(std::string_view name) {
  for (const Command* command : commands()) {
    if (command->name == name) return command;
  }
  return nullptr;
}

}  // namespace autoglm
