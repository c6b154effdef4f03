#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "text/utf8.h"

namespace autoglm {
namespace {

constexpr size_t kMaxPattern = 16 * 1024;
constexpr size_t kJitStackMax = size_t{64} << 20;
constexpr uint32_t kHeapMaxKib = 512 * 1024;

std::string message_of(int code) {
  unsigned char buffer[160];
  pcre2_get_error_message(code, buffer, sizeof buffer);
  return reinterpret_cast<const char*>(buffer);
}

}  // namespace

struct Regex::Compiled {
  pcre2_code* code = nullptr;
  std::string pattern;  // as the file has it, for messages
  ~Compiled() { pcre2_code_free(code); }
};

Regex::Regex(std::string_view pattern) : compiled_(std::make_unique<Compiled>()) {
  if (pattern.size() > kMaxPattern) fail(Code::bad_model_file, "a tokenizer's regular expression is over 16 KiB");
  const std::string translated = to_pcre2(pattern);
  compiled_->pattern = pattern;
  pcre2_compile_context* context = pcre2_compile_context_create(nullptr);
  pcre2_set_newline(context, PCRE2_NEWLINE_LF);
  pcre2_set_parens_nest_limit(context, 100);
  int error = 0;
  size_t where = 0;
  compiled_->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                                  PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &error, &where, context);
  pcre2_compile_context_free(context);
  if (compiled_->code == nullptr) {
    fail(Code::bad_model_file,
         "the tokenizer's regular expression '" + compiled_->pattern + "' does not compile: " + message_of(error));
  }
  pcre2_jit_compile(compiled_->code, PCRE2_JIT_COMPLETE);  // without JIT pcre2_match interprets
}

Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;

size_t Regex::bytes() const {
  size_t code = 0;
  size_t jit = 0;
  pcre2_pattern_info(compiled_->code, PCRE2_INFO_SIZE, &code);
  pcre2_pattern_info(compiled_->code, PCRE2_INFO_JITSIZE, &jit);
  return code + jit + compiled_->pattern.capacity();
}

struct Regex::Matcher::State {
  const Compiled* regex;
  pcre2_match_data* data;
  pcre2_match_context* context;
  pcre2_jit_stack* stack = nullptr;
  ~State() {
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    pcre2_jit_stack_free(stack);
  }
};

Regex::Matcher::Matcher(const Regex& regex)
    : state_(
          new State{regex.compiled_.get(), pcre2_match_data_create(1, nullptr), pcre2_match_context_create(nullptr)}) {
  pcre2_set_heap_limit(state_->context, kHeapMaxKib);
}

Regex::Matcher::~Matcher() = default;

size_t Regex::Matcher::after(std::string_view text, size_t at) {
  return at < text.size() ? at + utf8::length(text[at]) : at + 1;
}

bool Regex::Matcher::match(std::string_view text, size_t from, size_t& begin, size_t& end) {
  State& s = *state_;
  // Patterns of real files are linear: a few steps a byte. The limit stops exponential ones.
  const size_t steps = std::min<size_t>(1'000'000 + 50 * text.size(), 0xFFFFFFFF);
  pcre2_set_match_limit(s.context, static_cast<uint32_t>(steps));
  const auto run = [&](uint32_t options) {
    return pcre2_match(s.regex->code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                       options | PCRE2_NO_UTF_CHECK, s.data, s.context);
  };
  int rc = run(0);
  if (rc == PCRE2_ERROR_JIT_STACKLIMIT && s.stack == nullptr) {
    s.stack = pcre2_jit_stack_create(32 * 1024, kJitStackMax, nullptr);
    pcre2_jit_stack_assign(s.context, nullptr, s.stack);
    rc = run(0);
  }
  if (rc == PCRE2_ERROR_JIT_STACKLIMIT) rc = run(PCRE2_NO_JIT);  // its backtracking lives on the heap
  if (rc == PCRE2_ERROR_NOMATCH) return false;
  if (rc < 0) {
    fail(Code::limit_exceeded,
         "the tokenizer's regular expression '" + s.regex->pattern + "' gave up on this text: " + message_of(rc));
  }
  const size_t* found = pcre2_get_ovector_pointer(s.data);
  begin = found[0];
  end = std::max(found[0], found[1]);  // \K inside a lookahead may put the end before the start
  return true;
}

}  // namespace autoglm
