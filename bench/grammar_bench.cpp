// What structured output costs a token: compiling, and the mask at each place of an answer, first and again.
//
//   grammar_bench MODEL.gguf      any model's or vocabulary's file
//
// The 5 % that a mask may take are of a token's time: 5 ms a token leave 250 us, 160 ms (GLM-4-9B, Q4) leave 8000.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "base/error.h"
#include "format/model_source.h"
#include "text/grammar/json_schema.h"
#include "text/grammar/matcher.h"

namespace autoglm {
namespace {

double now_us() {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double percentile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(share * static_cast<double>(values.size() - 1))];
}

/// Tokens of a text, the longest first at each place: any tokenization serves here.
std::vector<int32_t> tokens_of(const TokenTrie& trie, std::string_view text) {
  std::vector<int32_t> tokens;
  while (!text.empty()) {
    int32_t best = -1;
    size_t length = 0;
    for (const TokenTrie::Entry& entry : trie.entries()) {
      if (entry.text.size() > length && text.starts_with(entry.text)) {
        best = entry.id;
        length = entry.text.size();
      }
    }
    if (best < 0) fail(Code::bad_request, "the vocabulary cannot write the text");
    tokens.push_back(best);
    text.remove_prefix(length);
  }
  return tokens;
}

void measure(const char* name, const std::shared_ptr<const Program>& program,
             const std::shared_ptr<const TokenTrie>& trie, const std::vector<int32_t>& ends, std::string_view text) {
  const std::vector<int32_t> tokens = tokens_of(*trie, text);
  const double began = now_us();
  const auto grammar = std::make_shared<TokenGrammar>(program, trie, ends);
  const double made = now_us() - began;
  std::vector<uint64_t> mask(grammar->mask_words());
  for (const char* when : {"first", "again"}) {
    std::vector<double> masks;
    std::vector<double> accepts;
    GrammarMatcher matcher(grammar);
    for (const int32_t token : tokens) {
      const double a = now_us();
      matcher.mask(mask);
      const double b = now_us();
      if (!matcher.accept(token)) fail(Code::bad_request, fmt::format("{}: a token of the text is not allowed", name));
      masks.push_back(b - a);
      accepts.push_back(now_us() - b);
    }
    double sum = 0;
    for (const double one : masks) sum += one;
    std::puts(
        fmt::format(
            "{:24} {} {:4} tokens: mask mean {:7.1f} us, median {:7.1f}, p99 {:8.1f}, max {:8.1f}; accept {:5.2f}; "
            "made in {:6.1f} ms, {:6.0f} KiB",
            name, when, tokens.size(), sum / static_cast<double>(masks.size()), percentile(masks, 0.5),
            percentile(masks, 0.99), percentile(masks, 1), percentile(accepts, 0.5), made / 1000,
            static_cast<double>(grammar->bytes()) / 1024)
            .c_str());
  }
}

int run(const char* file) {
  const auto source = open_model(file, /*need_weights=*/false);
  const auto tokenizer = load_tokenizer(*source);
  const double began = now_us();
  const auto trie = std::make_shared<const TokenTrie>(*tokenizer, tokenizer->size());
  std::puts(fmt::format("{} tokens, {} nodes, tree made in {:.1f} ms, {:.1f} MiB", trie->vocabulary(),
                        trie->nodes().size(), (now_us() - began) / 1000, static_cast<double>(trie->bytes()) / (1 << 20))
                .c_str());
  const std::vector<int32_t> ends = tokenizer->ends();
  std::string people = "[";
  std::string prose = "{\"text\": \"";
  for (int i = 0; i < 12; ++i) {
    people += fmt::format(
        "{}\n  {{\"name\": \"Person number {}\", \"age\": {}, \"email\": \"p{}@example.org\", \"tags\": [\"red\", "
        "\"bright blue\"]}}",
        i == 0 ? "" : ",", i, 20 + i, i);
    prose +=
        "It was the best of times, it was the worst of times; \\\"we had everything before us\\\", we had nothing. ";
  }
  people += "\n]";
  prose += "\", \"n\": 12}";
  const Json schema = Json::parse(R"({"type": "array", "items": {"type": "object", "properties": {
      "name": {"type": "string", "maxLength": 40}, "age": {"type": "integer", "minimum": 0, "maximum": 150},
      "email": {"type": "string", "format": "email"}, "tags": {"type": "array", "items": {"type": "string"}}},
      "required": ["name", "age"], "additionalProperties": false}})");
  const Json limited = Json::parse(
      R"({"type": "object", "properties": {"text": {"type": "string", "maxLength": 3000}, "n": {"type": "number"}}})");
  measure("schema of people", compile_json_schema(schema), trie, ends, people);
  measure("free string, json_object", compile_json_object(), trie, ends, prose);
  measure("string with maxLength", compile_json_schema(limited), trie, ends, prose);
  return 0;
}

}  // namespace
}  // namespace autoglm

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: grammar_bench MODEL.gguf\n");
    return 2;
  }
  try {
    return autoglm::run(argv[1]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
