// How normalized text is cut into pieces that the model sees one by one.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/normalizer.h"
#include "text/regex.h"
#include "text/token_model.h"

namespace autoglm {

/// Text and the pieces that it is cut into, in order; what no piece covers was removed.
struct Pieces {
  std::string text;
  std::vector<Range> ranges;

  std::string_view view(const Range& r) const { return std::string_view(text).substr(r.begin, r.end - r.begin); }
};

/// Immutable.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual void apply(Pieces& pieces, const RunPlace& place) const = 0;
  virtual size_t bytes() const { return sizeof *this; }
};
using PreTokenizers = std::vector<std::unique_ptr<PreTokenizer>>;

/// What becomes of the matches of a split: Hugging Face's names.
enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

std::unique_ptr<PreTokenizer> make_split(Regex pattern, SplitBehavior behavior, bool invert);
std::unique_ptr<PreTokenizer> make_split(std::string pattern, SplitBehavior behavior, bool invert);
/// Splits at characters that `is` accepts.
std::unique_ptr<PreTokenizer> make_split(bool (*is)(char32_t), SplitBehavior behavior);
/// GPT-2's: each byte becomes a printable character; with `regex` the text is first cut into words.
std::unique_ptr<PreTokenizer> make_byte_level(bool add_prefix_space, bool regex);

enum class PrependScheme { always, first, never };
struct MetaspaceOptions {
  std::string replacement = "\xE2\x96\x81";
  PrependScheme prepend = PrependScheme::always;
  bool split = true;
};
std::unique_ptr<PreTokenizer> make_metaspace(MetaspaceOptions options);

/// GPT-2's regular expression.
extern const std::string_view kGpt2Pattern;

/// GPT-2's printable character for a byte, and back (-1: none).
char32_t byte_to_character(uint8_t byte);
int character_to_byte(char32_t character);

}  // namespace autoglm
