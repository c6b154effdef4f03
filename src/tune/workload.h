// Workloads: streams of requests as users make them, the same ones for the same seed.
//
// A workload is tokens and lengths, made before anything is measured. Answers have exactly the length that is asked for
// (the end token does not end them) and are sampled with seeds of the workload, so that every run of it is the same
// work: with the same model and KV type the same tokens, whatever the threads, the batch or the speculation
// (decision 5 of the architecture). tune/workload_run.h runs one on an engine, tune/child_run.h in a process of its
// own.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace autoglm {

/// One request. A conversation is a chain of them: each goes on from the prompt and the answer of the one before.
struct WorkloadRequest {
  std::vector<int32_t> prompt;  // behind `follows`: what comes after that request's answer
  int64_t max_tokens = 0;       // exactly so many are generated
  int32_t follows = -1;         // index of an earlier request; -1: a conversation begins
  /// Seconds. Of a conversation's beginning in an open loop: when it arrives. Of a follower in an open loop: how long
  /// its user thinks first.
  double after = 0;
};

struct Workload {
  std::string name;
  std::vector<WorkloadRequest> requests;
  /// Closed loop: so many conversations at once; whoever ends one begins the next. 0: an open loop, where requests
  /// arrive when they arrive.
  int64_t users = 1;
  uint64_t seed = 1;
  double scale = 1;  // of the lengths that the workload has by nature; less than asked for where the context is short

  /// Tokens of the longest conversation, its last answer included.
  int64_t longest() const;
  int64_t prompt_tokens() const;  // that are given, without what followers repeat
  int64_t answer_tokens() const;
};

struct WorkloadOptions {
  int64_t requests = 0;  // 0: as many as the workload has by nature (of a file: all)
  int64_t users = 0;     // 0: as many as the workload has by nature
  double rate = 0;       // > 0: an open loop with so many conversations a second, Poisson arrivals
  double scale = 1;      // of all lengths
  uint64_t seed = 1;
  int64_t context = 0;  // tokens that a conversation may have; longer ones are scaled down, all alike. 0: any
};

/// How text becomes tokens.
struct WorkloadTokens {
  std::function<std::vector<int32_t>(std::string_view text)> encode;
  /// A conversation from a file, [{"role", "content"}] as JSON, through the model's template; empty: there is none.
  std::function<std::vector<int32_t>(const std::string& messages)> render{};
};

/// For a model without a tokenizer: a word is one token, which its letters decide.
std::unique_ptr<Tokenizer> word_tokenizer(int64_t vocabulary);

/// "chat", "rag", "code", "batch".
std::span<const std::string_view> workload_names();

/// What a workload has by nature. Error bad_flag for a name that there is not.
struct WorkloadDefaults {
  int64_t requests = 0, users = 0;
};
WorkloadDefaults workload_defaults(std::string_view name);

/// One of the names above. Error bad_flag for another, context_exceeded if `context` is below 32 tokens.
Workload make_workload(std::string_view name, const WorkloadOptions& options, const WorkloadTokens& tokens);

/// A line of a user's JSONL: {"prompt": TEXT} or {"messages": [...]}, and optionally "max_tokens" (128), "at" (seconds
/// from the start: an open loop; all lines have it or none).
struct WorkloadLine {
  std::string prompt;    // or
  std::string messages;  // JSON
  int64_t max_tokens = 128;
  std::optional<double> at;
};
constexpr size_t kMostWorkloadLines = 100'000;
constexpr int64_t kMostWorkloadTokens = int64_t{1} << 20;  // of an answer

/// Error bad_file with the line.
std::vector<WorkloadLine> read_workload_lines(std::string_view jsonl, const std::string& name);

/// The user's requests. With options.rate they arrive as it says; lengths are as they are. Errors: context_exceeded for
/// one that is longer than options.context, bad_file for messages where there is no template.
Workload make_workload(const std::vector<WorkloadLine>& lines, const std::string& name, const WorkloadOptions& options,
                       const WorkloadTokens& tokens);

}  // namespace autoglm
