// Writes texts that grammars of JSON schemas allow, for json_schema_test.py to validate: a list of lists of strings,
// one for each schema of the file, found by walking through the masks of a real vocabulary at random.
//
//   grammar_corpus SCHEMAS.json TEXTS_EACH SEED
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <random>

#include "text/grammar/json_schema.h"
#include "text/grammar_support.h"

namespace autoglm {
namespace {

constexpr int kFreely = 60;       // tokens before the walk turns to what closes
constexpr int kMostBytes = 4000;  // after which a walk is given up

/// Brings a text to its end: marks that close come first. Empty if it does not end.
std::string closed(const std::shared_ptr<const Program>& program, std::string text, std::mt19937& random) {
  Automaton automaton(program);
  Automaton::State state = automaton.next(automaton.start(), text);
  const std::string order = "\"}]0123456789eltursnaf,: ";
  while (!automaton.accepts(state)) {
    if (text.size() > kMostBytes) return {};
    std::vector<uint8_t> can;
    for (int byte = 0; byte < 256; ++byte) {
      if (automaton.next(state, static_cast<uint8_t>(byte)) > Automaton::kOverflow)
        can.push_back(static_cast<uint8_t>(byte));
    }
    if (can.empty()) return {};
    uint8_t next = can[random() % can.size()];
    for (const char c : order) {
      if (std::find(can.begin(), can.end(), static_cast<uint8_t>(c)) == can.end()) continue;
      next = static_cast<uint8_t>(c);
      break;
    }
    text += static_cast<char>(next);
    state = automaton.next(state, next);
  }
  return text;
}

std::string walk(const std::shared_ptr<TokenGrammar>& grammar, const std::shared_ptr<const Program>& program,
                 const TokenTrie& trie, std::mt19937& random) {
  GrammarMatcher matcher(grammar);
  std::vector<uint64_t> mask(grammar->mask_words());
  std::string text;
  for (int step = 0; step < kFreely; ++step) {
    if (matcher.may_end() && (matcher.must_end() || random() % 4 == 0)) return text;
    matcher.mask(mask);
    std::vector<int32_t> choices;
    for (int32_t id = 0; id < trie.vocabulary(); ++id) {
      if (test::bit(mask, id) && !trie.text(id).empty()) choices.push_back(id);
    }
    if (choices.empty()) return text;
    // Now and then a token that closes something: uniform choice hardly ever leaves a string.
    std::vector<int32_t> closing;
    for (const int32_t id : choices) {
      if (trie.text(id).find_first_of("\"}],:") != std::string_view::npos) closing.push_back(id);
    }
    const auto& from = !closing.empty() && random() % 3 == 0 ? closing : choices;
    const int32_t token = from[random() % from.size()];
    if (!matcher.accept(token)) return {};
    text += trie.text(token);
  }
  return closed(program, text, random);
}

int run(const char* file, int texts, uint32_t seed) {
  std::ifstream in(file);
  const Json schemas = Json::parse(in);
  const Tokenizer& tokenizer = test::real_tokenizer();
  const auto trie = std::make_shared<const TokenTrie>(tokenizer, tokenizer.size());
  Json all = Json::array();
  std::mt19937 random(seed);
  for (const Json& schema : schemas) {
    const auto program = compile_json_schema(schema);
    const auto grammar = std::make_shared<TokenGrammar>(program, trie, tokenizer.ends());
    Json found = Json::array();
    for (int i = 0; i < texts; ++i) found.push_back(walk(grammar, program, *trie, random));
    all.push_back(found);
  }
  std::puts(all.dump().c_str());
  return 0;
}

}  // namespace
}  // namespace autoglm

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  try {
    return autoglm::run(argv[1], std::atoi(argv[2]), static_cast<uint32_t>(std::atoi(argv[3])));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
