// Every command, defined in cmd_NAME.cpp. commands.cpp lists them in the order of the help page.
#pragma once

#include "cli/command.h"

namespace autoglm {

extern const Command kRun;
extern const Command kChat;
extern const Command kServe;
extern const Command kInspect;
extern const Command kTokenize;
extern const Command kDetokenize;
extern const Command kTemplate;
extern const Command kLogits;
extern const Command kPerplexity;
extern const Command kCompare;
extern const Command kBench;
extern const Command kConvert;
extern const Command kQuantize;
extern const Command kOptimize;
extern const Command kSelftest;
extern const Command kPull;
extern const Command kList;
extern const Command kRm;
extern const Command kClean;
extern const Command kHw;
extern const Command kTune;
extern const Command kDoctor;
extern const Command kConfig;
extern const Command kVersion;
extern const Command kCompletion;
extern const Command kMan;

}  // namespace autoglm
