// What the prefix cache saves: the first token of a prompt that nobody has seen, of the same prompt again, and of the
// same prompt after the process was killed and another one reads what it had written.
//
//   prefix_probe MODEL FOLDER [TOKENS] [PROMPTS]
#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/engine.h"
#include "store/prefix_store.h"
#include "text/tokenizer.h"

namespace autoglm {
namespace {

struct Probe {
  std::string model;
  std::string folder;
  int64_t tokens = 1000;
  int64_t prompts = 5;
};

std::vector<int32_t> prompt_of(int64_t tokens, uint64_t seed, int64_t vocabulary) {
  std::vector<int32_t> prompt;
  uint64_t state = seed * 0x9e3779b97f4a7c15U + 1;
  for (int64_t i = 0; i < tokens; ++i) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    prompt.push_back(static_cast<int32_t>((state >> 33) % static_cast<uint64_t>(vocabulary)));
  }
  return prompt;
}

struct Answer {
  double first_ms = 0;
  int64_t cached = 0;
  std::vector<int32_t> tokens;
};

Answer ask(Engine& engine, std::vector<int32_t> prompt) {
  Request request;
  request.prompt = std::move(prompt);
  request.max_tokens = 4;
  request.ignore_eos = true;
  request.sampling.temperature = 0;
  Answer answer;
  engine.submit(std::move(request), [&answer](const Event& event) {
    answer.tokens.insert(answer.tokens.end(), event.tokens.begin(), event.tokens.end());
    if (event.kind != Event::Kind::finish) return;
    answer.first_ms = event.usage.queue_ms + event.usage.prefill_ms;
    answer.cached = event.usage.cached_tokens;
  });
  while (engine.has_work()) engine.step();
  return answer;
}

/// A process's life. `before`: what the last one measured and said; it ends by SIGKILL.
void live(const Probe& work, bool again, int out) {
  PrefixStoreOptions options;
  options.folder = work.folder;
  options.say = [](const std::string& text) { fmt::print(stderr, "{}\n", text); };
  PrefixStore store(options);
  Runtime runtime = make_runtime({});
  LoadOptions load;
  load.context = work.tokens + 64;
  load.batch_sequences = 2 * work.prompts;  // all prompts stay in memory
  const auto model = Model::load(open_model(work.model), runtime, load);
  const auto tokenizer = load_tokenizer(*open_model(work.model));
  Engine engine(*model, *tokenizer, {}, {.max_sequences = 1, .model_identity = "probe", .disk = &store});
  ask(engine, prompt_of(200, 999, model->spec().vocabulary));  // pages are touched
  model->settle(true);
  const auto report = [&](const char* what, const Answer& answer) {
    uint64_t hash = 0;
    for (const int32_t token : answer.tokens) hash = hash * 1000003 + static_cast<uint64_t>(token);
    const std::string line = fmt::format("{} {:.3f} {} {:x}\n", what, answer.first_ms, answer.cached, hash);
    if (::write(out, line.data(), line.size()) < 0) std::abort();
  };
  for (int64_t i = 0; i < work.prompts; ++i) {
    const auto prompt = prompt_of(work.tokens, static_cast<uint64_t>(i), model->spec().vocabulary);
    report(again ? "killed" : "cold", ask(engine, prompt));
    if (!again) report("warm", ask(engine, prompt));
  }
  store.flush();
  ::kill(::getpid(), SIGKILL);
}

int run(const Probe& work) {
  for (const bool again : {false, true}) {
    const pid_t child = ::fork();
    if (child == 0) {
      try {
        live(work, again, STDOUT_FILENO);
      } catch (const Error& error) {
        fmt::print(stderr, "{}\n", error.what());
      }
      ::_exit(1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    if (!WIFSIGNALED(status)) return 1;
  }
  return 0;
}

}  // namespace
}  // namespace autoglm

int main(int argc, char** argv) {
  if (argc < 3) {
    fmt::print(stderr, "prefix_probe MODEL FOLDER [TOKENS] [PROMPTS]\n");
    return 2;
  }
  autoglm::Probe work{.model = argv[1], .folder = argv[2]};
  if (argc > 3) work.tokens = std::atoll(argv[3]);
  if (argc > 4) work.prompts = std::atoll(argv[4]);
  return autoglm::run(work);
}
