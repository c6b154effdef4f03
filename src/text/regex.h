// Regular expressions of tokenizer files, run by PCRE2.
//
// Hugging Face's files are written for Oniguruma. The pattern is rewritten where PCRE2 means something else (\s, \w,
// `{n,m}+`, `$`, ...); what cannot be rewritten is refused by name.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace autoglm {

/// A compiled pattern. Immutable: several threads may match with it at once.
class Regex {
 public:
  /// `pattern` in Oniguruma's (Ruby's) syntax. Errors: unsupported_model, naming the part that is not supported;
  /// bad_model_file if it does not compile.
  explicit Regex(std::string_view pattern);
  ~Regex();
  Regex(Regex&& other) noexcept;
  Regex& operator=(Regex&& other) noexcept;

  /// The working memory of one thread for one pattern.
  class Matcher {
   public:
    explicit Matcher(const Regex& regex);
    ~Matcher();
    Matcher(const Matcher&) = delete;
    Matcher& operator=(const Matcher&) = delete;
    /// Calls found(begin, end) for every match in `text` (valid UTF-8), from left to right, without overlap.
    /// An empty match directly behind another match is passed over, as in Rust's and Python's iterators.
    /// Error limit_exceeded if the pattern needs too many steps or too much memory.
    template <class Found>
    void each(std::string_view text, Found&& found) {
      size_t from = 0;
      size_t last_end = std::string_view::npos;
      size_t begin = 0;
      size_t end = 0;
      while (from <= text.size() && match(text, from, begin, end)) {
        if (begin == end) {
          from = after(text, end);
          if (end == last_end) continue;
        } else {
          from = end;
        }
        last_end = end;
        found(begin, end);
      }
    }

   private:
    bool match(std::string_view text, size_t from, size_t& begin, size_t& end);
    static size_t after(std::string_view text, size_t at);
    struct State;
    std::unique_ptr<State> state_;
  };

  /// Memory of the compiled pattern.
  size_t bytes() const;

 private:
  struct Compiled;
  std::unique_ptr<Compiled> compiled_;
};

/// `pattern` of Oniguruma's syntax in PCRE2's. Errors as Regex.
std::string to_pcre2(std::string_view pattern);

}  // namespace autoglm
