// Template text to tokens, with Hugging Face's settings: trim_blocks, lstrip_blocks, last newline dropped.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace autoglm::jinja {

enum class TokenType : uint8_t {
  data,
  variable_begin,
  variable_end,
  block_begin,
  block_end,
  name,
  string,
  integer,
  real,
  op,
  end
};

struct Token {
  TokenType type = TokenType::end;
  int line = 1;
  std::string text;  // data, name, unescaped string, or operator
  int64_t integer = 0;
  double real = 0;

  bool is_op(std::string_view what) const { return type == TokenType::op && text == what; }
  bool is_name(std::string_view what) const { return type == TokenType::name && text == what; }
};

/// How a token is called in a message.
std::string describe(const Token& token);

/// Error bad_template with the line. The last token is `end`.
std::vector<Token> tokenize(std::string_view source);

[[noreturn]] void template_error(int line, const std::string& message);

}  // namespace autoglm::jinja
