#include "tune/workload.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "tune/workload_text.h"

namespace autoglm {
namespace {

/// A length in tokens: log-normal around its median, cut on both sides.
struct Length {
  double median = 0, sigma = 0, least = 0, most = 0;
};

/// What a kind of work is like. A conversation's prompts are: `shared`, the same for all; `documents` from a pool that
/// several conversations draw from; `own` text; then, turn by turn, a question.
struct Kind {
  std::string_view name;
  int64_t requests;  // by default
  int64_t users;     // in a closed loop
  int64_t shared;    // tokens
  int documents;     // of a conversation
  int pool;
  int64_t document;  // tokens of each
  Length own;        // once a conversation
  bool code;         // what `own` is
  Length question, answer;
  double more_turns;  // chance that the conversation goes on
  int64_t most_turns;
  double think;  // seconds on average between an answer and the next question, in an open loop
};

// Chat: LMSYS-Chat-1M (Zheng et al. 2024, table 1: 2.0 turns, 69.5 tokens a prompt, 214.5 an answer, on average).
// RAG: four passages of a few hundred tokens and short answers that many questions share passages of. Code: a file of a
// project, edited in turns, whose answers repeat much of it. Batch: one instruction over many texts, all at once.
constexpr auto kKinds = std::to_array<Kind>({
    {.name = "chat",
     .requests = 16,
     .users = 2,
     .shared = 96,
     .documents = 0,
     .pool = 0,
     .document = 0,
     .own = {},
     .code = false,
     .question = {45, 0.9, 8, 400},
     .answer = {150, 0.8, 16, 600},
     .more_turns = 0.5,
     .most_turns = 6,
     .think = 2},
    {.name = "rag",
     .requests = 8,
     .users = 1,
     .shared = 64,
     .documents = 4,
     .pool = 12,
     .document = 420,
     .own = {},
     .code = false,
     .question = {24, 0.5, 8, 100},
     .answer = {90, 0.5, 16, 250},
     .more_turns = 0,
     .most_turns = 1,
     .think = 0},
    {.name = "code",
     .requests = 8,
     .users = 1,
     .shared = 48,
     .documents = 0,
     .pool = 0,
     .document = 0,
     .own = {900, 0.6, 200, 3000},
     .code = true,
     .question = {30, 0.6, 8, 120},
     .answer = {180, 0.6, 32, 500},
     .more_turns = 0.5,
     .most_turns = 3,
     .think = 5},
    {.name = "batch",
     .requests = 32,
     .users = 16,
     .shared = 80,
     .documents = 0,
     .pool = 0,
     .document = 0,
     .own = {160, 0.6, 40, 600},
     .code = false,
     .question = {},
     .answer = {48, 0.5, 8, 160},
     .more_turns = 0,
     .most_turns = 1,
     .think = 0},
});

constexpr int64_t kLeastContext = 32;

int64_t draw(const Length& length, double scale, WorkloadRandom& random) {
  if (length.median <= 0) return 0;
  const double tokens = std::clamp(random.lognormal(length.median, length.sigma), length.least, length.most);
  return std::max<int64_t>(1, std::llround(scale * tokens));
}

/// Lengths of a conversation, before there is any text.
struct Outline {
  int64_t own = 0;
  std::array<int64_t, 8> documents{};  // numbers of the pool
  struct Turn {
    int64_t question = 0, answer = 0;
  };
  std::vector<Turn> turns;
  uint64_t text_seed = 0;
};

int64_t scaled(int64_t tokens, double scale) {
  return tokens == 0 ? 0 : std::max<int64_t>(1, std::llround(scale * static_cast<double>(tokens)));
}

int64_t length_of(const Kind& kind, const Outline& outline, double scale) {
  int64_t tokens = scaled(kind.shared, scale) + kind.documents * scaled(kind.document, scale) + outline.own;
  for (const Outline::Turn& turn : outline.turns) tokens += turn.question + turn.answer;
  return tokens;
}

std::vector<Outline> outlines(const Kind& kind, int64_t requests, double scale, uint64_t seed) {
  WorkloadRandom random(seed);
  std::vector<Outline> out;
  for (int64_t left = requests; left > 0;) {
    Outline outline;
    outline.own = draw(kind.own, scale, random);
    for (int i = 0; i < kind.documents; ++i) {
      // A few passages answer most questions: the number falls quadratically.
      const double at = random.uniform();
      outline.documents.at(static_cast<size_t>(i)) = static_cast<int64_t>(at * at * kind.pool);
    }
    // Turns are drawn whether or not there is room for them: fewer requests are a part of more.
    const double on = random.uniform();
    int64_t turns = 1;
    for (double chance = kind.more_turns; turns < kind.most_turns && on < chance; chance *= kind.more_turns) ++turns;
    for (int64_t turn = 0; turn < turns; ++turn) {
      outline.turns.push_back({draw(kind.question, scale, random), draw(kind.answer, scale, random)});
    }
    outline.text_seed = random.next();
    outline.turns.resize(static_cast<size_t>(std::min(left, turns)));
    left -= std::ssize(outline.turns);
    out.push_back(std::move(outline));
  }
  return out;
}

/// Writes text until there are enough tokens of it.
class Writer {
 public:
  explicit Writer(const WorkloadTokens& tokens) : tokens_(&tokens) {}

  template <typename F>
  void add(std::vector<int32_t>& out, int64_t count, WorkloadRandom& random, F&& more, std::string text = {}) {
    if (count <= 0) return;
    std::vector<int32_t> tokens;
    while (true) {
      // About four bytes a token; what is missing is written on.
      while (std::ssize(text) < 4 * count) text += more(random);
      tokens = tokens_->encode(text);
      if (std::ssize(tokens) >= count) break;
      text += more(random);
      const size_t had = text.size();
      while (text.size() < had + had / 4 + 64) text += more(random);
    }
    out.insert(out.end(), tokens.begin(), tokens.begin() + count);
  }

 private:
  const WorkloadTokens* tokens_;
};

const Kind& kind_of(std::string_view name) {
  for (const Kind& kind : kKinds) {
    if (kind.name == name) return kind;
  }
  const std::string near = nearest(name, workload_names().data(), workload_names().size());
  fail(Code::bad_flag, fmt::format("there is no workload '{}'", name.substr(0, 80)),
       near.empty() ? "chat, rag, code, batch, or a file that ends in .jsonl" : fmt::format("did you mean {}?", near));
}

void set_arrivals(Workload& workload, double rate) {
  workload.users = 0;
  WorkloadRandom random(workload.seed ^ 0xA881'7A15ULL);
  double now = 0;
  for (WorkloadRequest& request : workload.requests) {
    if (request.follows >= 0) continue;
    now += random.exponential() / rate;
    request.after = now;
  }
}

void check_context(int64_t context) {
  if (context > 0 && context < kLeastContext) {
    fail(Code::context_exceeded, fmt::format("a workload needs a context of {} tokens, not {}", kLeastContext, context),
         "give a larger --ctx");
  }
}

}  // namespace

int64_t Workload::longest() const {
  std::vector<int64_t> lengths;
  int64_t most = 0;
  for (const WorkloadRequest& request : requests) {
    const int64_t before = request.follows >= 0 ? lengths[static_cast<size_t>(request.follows)] : 0;
    lengths.push_back(before + std::ssize(request.prompt) + request.max_tokens);
    most = std::max(most, lengths.back());
  }
  return most;
}

int64_t Workload::prompt_tokens() const {
  int64_t sum = 0;
  for (const WorkloadRequest& request : requests) sum += std::ssize(request.prompt);
  return sum;
}

int64_t Workload::answer_tokens() const {
  int64_t sum = 0;
  for (const WorkloadRequest& request : requests) sum += request.max_tokens;
  return sum;
}

std::span<const std::string_view> workload_names() {
  static constexpr auto kNames = std::to_array<std::string_view>({"chat", "rag", "code", "batch"});
  return kNames;
}

WorkloadDefaults workload_defaults(std::string_view name) {
  const Kind& kind = kind_of(name);
  return {kind.requests, kind.users};
}

Workload make_workload(std::string_view name, const WorkloadOptions& options, const WorkloadTokens& tokens) {
  const Kind& kind = kind_of(name);
  check_context(options.context);
  Workload workload{.name = std::string(name), .requests = {}, .users = kind.users, .seed = options.seed};
  const int64_t requests = options.requests > 0 ? options.requests : kind.requests;
  double scale = options.scale;
  std::vector<Outline> plan = outlines(kind, requests, scale, options.seed);
  const auto longest = [&] {
    int64_t most = 0;
    for (const Outline& outline : plan) most = std::max(most, length_of(kind, outline, scale));
    return most;
  };
  // All lengths shrink alike; rounding up to one token may need a second time.
  while (options.context > 0 && longest() > options.context) {
    scale *= 0.98 * static_cast<double>(options.context) / static_cast<double>(longest());
    plan = outlines(kind, requests, scale, options.seed);
  }
  workload.scale = scale;

  Writer writer(tokens);
  std::vector<int32_t> shared;
  WorkloadRandom common(options.seed ^ 0x5EEDULL);
  writer.add(shared, scaled(kind.shared, scale), common, made_sentence, "You are a helpful assistant. ");
  std::vector<std::vector<int32_t>> pool(static_cast<size_t>(kind.pool));
  for (auto& document : pool) writer.add(document, scaled(kind.document, scale), common, made_sentence);
  for (const Outline& outline : plan) {
    WorkloadRandom random(outline.text_seed);
    for (size_t turn = 0; turn < outline.turns.size(); ++turn) {
      WorkloadRequest request;
      if (turn == 0) {
        request.prompt = shared;
        for (int i = 0; i < kind.documents; ++i) {
          const auto& document = pool[static_cast<size_t>(outline.documents.at(static_cast<size_t>(i)))];
          request.prompt.insert(request.prompt.end(), document.begin(), document.end());
        }
        writer.add(request.prompt, outline.own, random, kind.code ? made_code : made_sentence);
      } else {
        request.follows = static_cast<int32_t>(workload.requests.size()) - 1;
        request.after = kind.think * random.exponential();
      }
      writer.add(request.prompt, outline.turns[turn].question, random, made_question);
      request.max_tokens = outline.turns[turn].answer;
      workload.requests.push_back(std::move(request));
    }
  }
  if (options.users > 0) workload.users = options.users;
  if (options.rate > 0) set_arrivals(workload, options.rate);
  return workload;
}

Workload make_workload(const std::vector<WorkloadLine>& lines, const std::string& name, const WorkloadOptions& options,
                       const WorkloadTokens& tokens) {
  check_context(options.context);
  Workload workload{.name = name, .requests = {}, .users = std::max<int64_t>(1, options.users), .seed = options.seed};
  const size_t count =
      options.requests > 0 ? std::min(lines.size(), static_cast<size_t>(options.requests)) : lines.size();
  for (size_t i = 0; i < count; ++i) {
    const WorkloadLine& line = lines[i];
    WorkloadRequest request;
    if (!line.messages.empty()) {
      if (!tokens.render) fail(Code::bad_file, fmt::format("{} has messages and the model no chat template", name));
      request.prompt = tokens.render(line.messages);
    } else {
      request.prompt = tokens.encode(line.prompt);
    }
    if (request.prompt.empty()) fail(Code::bad_file, fmt::format("request {} of {} has no token", i + 1, name));
    request.max_tokens = line.max_tokens;
    request.after = line.at.value_or(0);
    const int64_t length = std::ssize(request.prompt) + request.max_tokens;
    if (options.context > 0 && length > options.context) {
      fail(Code::context_exceeded,
           fmt::format("request {} of {} needs {} tokens and the context holds {}", i + 1, name, length,
                       options.context),
           "give a larger --ctx, or a smaller max_tokens in the file");
    }
    workload.requests.push_back(std::move(request));
  }
  if (options.rate > 0) {
    set_arrivals(workload, options.rate);
  } else if (!lines.empty() && lines.front().at && options.users == 0) {
    workload.users = 0;
  }
  return workload;
}

}  // namespace autoglm
