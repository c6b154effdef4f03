#include "text/tokenizer_json_parts.h"

#include <array>
#include <string>
#include <utility>

#include "base/error.h"
#include "text/utf8.h"

namespace autoglm {
namespace {

using json_read::Element;

constexpr int kMaxDepth = 16;

[[noreturn]] void refuse(std::string_view kind, std::string_view name) {
  fail(Code::unsupported_model,
       "the tokenizer's " + std::string(kind) + " '" + std::string(name) + "' is not supported");
}

// Calls read(child) for the members of a Sequence.
template <class Read>
void sequence(Element value, std::string_view key, int depth, Read&& read) {
  if (depth >= kMaxDepth) fail(Code::bad_model_file, "the tokenizer's sequences are nested too deeply");
  for (const Element child : json_read::array(json_read::need(value, key), key)) read(child);
}

std::string decode_base64(std::string_view text) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::array<int8_t, 256> digit;
  digit.fill(-1);
  for (size_t i = 0; i < kDigits.size(); ++i) digit[static_cast<unsigned char>(kDigits[i])] = static_cast<int8_t>(i);
  std::string out;
  out.reserve(text.size() / 4 * 3);
  uint32_t bits = 0;
  int have = 0;
  for (const char c : text) {
    if (c == '=') break;
    const int value = int{digit[static_cast<unsigned char>(c)]};
    if (value < 0) fail(Code::bad_model_file, "the tokenizer's precompiled_charsmap is not base64");
    bits = bits << 6 | static_cast<uint32_t>(value);
    have += 6;
    if (have >= 8) {
      have -= 8;
      out += static_cast<char>(bits >> have & 0xFF);
    }
  }
  return out;
}

// {"String": "x"} or {"Regex": "\\s"}, handed to one of two functions.
template <class OnString, class OnRegex>
auto pattern(Element value, OnString&& on_string, OnRegex&& on_regex) {
  const Element p = json_read::need(value, "pattern");
  if (const auto text = json_read::find(p, "String")) return on_string(std::string(json_read::text(*text, "String")));
  if (const auto regex = json_read::find(p, "Regex")) return on_regex(Regex(json_read::text(*regex, "Regex")));
  fail(Code::bad_model_file, "the tokenizer has a pattern that is neither String nor Regex");
}

SplitBehavior behavior_of(Element value, SplitBehavior fallback) {
  const auto name = json_read::find(value, "behavior");
  if (!name) return fallback;
  const std::string_view text = json_read::text(*name, "behavior");
  if (text == "Removed") return SplitBehavior::removed;
  if (text == "Isolated") return SplitBehavior::isolated;
  if (text == "MergedWithPrevious") return SplitBehavior::merged_with_previous;
  if (text == "MergedWithNext") return SplitBehavior::merged_with_next;
  if (text == "Contiguous") return SplitBehavior::contiguous;
  refuse("split behavior", text);
}

// One character.
std::string character_of(Element value, std::string_view key) {
  const std::string_view text = json_read::text_of(value, key);
  if (text.empty() || utf8::length(text.front()) != text.size()) {
    fail(Code::bad_model_file, "the tokenizer's '" + std::string(key) + "' is not one character");
  }
  return std::string(text);
}

PrependScheme scheme_of(Element value) {
  if (const auto scheme = json_read::find(value, "prepend_scheme")) {
    const std::string_view text = json_read::text(*scheme, "prepend_scheme");
    if (text == "always") return PrependScheme::always;
    if (text == "first") return PrependScheme::first;
    if (text == "never") return PrependScheme::never;
    refuse("prepend_scheme", text);
  }
  return json_read::flag(value, "add_prefix_space", true) ? PrependScheme::always : PrependScheme::never;
}

std::unique_ptr<PreTokenizer> read_split(Element value) {
  const SplitBehavior behavior = behavior_of(value, SplitBehavior::isolated);
  const bool invert = json_read::flag(value, "invert", false);
  return pattern(
      value, [&](std::string text) { return make_split(std::move(text), behavior, invert); },
      [&](Regex regex) { return make_split(std::move(regex), behavior, invert); });
}

}  // namespace

void read_normalizer(Element value, Normalizers& out, int depth) {
  const std::string_view type = json_read::text_of(value, "type");
  if (type == "Sequence") {
    sequence(value, "normalizers", depth, [&](Element child) { read_normalizer(child, out, depth + 1); });
  } else if (type == "NFC") {
    out.push_back(make_unicode_normalizer(UnicodeForm::nfc));
  } else if (type == "NFD") {
    out.push_back(make_unicode_normalizer(UnicodeForm::nfd));
  } else if (type == "NFKC") {
    out.push_back(make_unicode_normalizer(UnicodeForm::nfkc));
  } else if (type == "NFKD") {
    out.push_back(make_unicode_normalizer(UnicodeForm::nfkd));
  } else if (type == "Lowercase") {
    out.push_back(make_lowercase());
  } else if (type == "StripAccents") {
    out.push_back(make_strip_accents());
  } else if (type == "Strip") {
    out.push_back(make_strip(json_read::flag(value, "strip_left", true), json_read::flag(value, "strip_right", true)));
  } else if (type == "Prepend") {
    out.push_back(make_prepend(std::string(json_read::text_of(value, "prepend"))));
  } else if (type == "Nmt") {
    out.push_back(make_nmt());
  } else if (type == "Precompiled") {
    if (const auto map = json_read::find(value, "precompiled_charsmap")) {
      out.push_back(make_precompiled(Charsmap(decode_base64(json_read::text(*map, "precompiled_charsmap")))));
    }
  } else if (type == "Replace") {
    std::string to(json_read::text_of(value, "content"));
    out.push_back(pattern(
        value, [&](std::string from) { return make_replace(std::move(from), to); },
        [&](Regex from) { return make_replace(std::move(from), to); }));
  } else {
    refuse("normalizer", type);
  }
}

void read_pretokenizer(Element value, PreTokenizers& out, int depth) {
  const std::string_view type = json_read::text_of(value, "type");
  if (type == "Sequence") {
    sequence(value, "pretokenizers", depth, [&](Element child) { read_pretokenizer(child, out, depth + 1); });
  } else if (type == "Split") {
    out.push_back(read_split(value));
  } else if (type == "Digits") {
    const bool each = json_read::flag(value, "individual_digits", false);
    out.push_back(make_split(utf8::is_numeric, each ? SplitBehavior::isolated : SplitBehavior::contiguous));
  } else if (type == "ByteLevel") {
    out.push_back(
        make_byte_level(json_read::flag(value, "add_prefix_space", true), json_read::flag(value, "use_regex", true)));
  } else if (type == "Metaspace") {
    MetaspaceOptions options;
    options.replacement = character_of(value, "replacement");
    options.prepend = scheme_of(value);
    options.split = json_read::flag(value, "split", true);
    out.push_back(make_metaspace(std::move(options)));
  } else if (type == "WhitespaceSplit") {
    out.push_back(make_split(utf8::is_space, SplitBehavior::removed));
  } else if (type == "Whitespace") {
    out.push_back(make_split(Regex(R"(\w+|[^\w\s]+)"), SplitBehavior::removed, true));
  } else if (type == "Punctuation") {
    out.push_back(make_split(utf8::is_punctuation, behavior_of(value, SplitBehavior::isolated)));
  } else if (type == "CharDelimiterSplit") {
    out.push_back(make_split(character_of(value, "delimiter"), SplitBehavior::removed, false));
  } else {
    refuse("pre-tokenizer", type);
  }
}

void read_decoder(Element value, Decoders& out, int depth) {
  const std::string_view type = json_read::text_of(value, "type");
  if (type == "Sequence") {
    sequence(value, "decoders", depth, [&](Element child) { read_decoder(child, out, depth + 1); });
  } else if (type == "ByteLevel") {
    out.push_back(make_byte_level_decoder());
  } else if (type == "ByteFallback") {
    out.push_back(make_byte_fallback_decoder());
  } else if (type == "Fuse") {
    out.push_back(make_fuse_decoder());
  } else if (type == "Replace") {
    std::string to(json_read::text_of(value, "content"));
    out.push_back(pattern(
        value, [&](std::string from) { return make_replace_decoder(std::move(from), to); },
        [&](Regex from) { return make_replace_decoder(std::move(from), to); }));
  } else if (type == "Strip") {
    const int64_t start = json_read::integer(json_read::need(value, "start"), "start");
    const int64_t stop = json_read::integer(json_read::need(value, "stop"), "stop");
    if (start < 0 || stop < 0) fail(Code::bad_model_file, "the tokenizer's Strip decoder has a negative length");
    out.push_back(
        make_strip_decoder(character_of(value, "content"), static_cast<size_t>(start), static_cast<size_t>(stop)));
  } else if (type == "Metaspace") {
    out.push_back(make_metaspace_decoder(character_of(value, "replacement"), scheme_of(value) != PrependScheme::never));
  } else {
    refuse("decoder", type);
  }
}

namespace {

// The "single" template: special tokens before and behind the text.
void read_template(Element value, TokenizerParts& parts) {
  const auto tokens = json_read::find(value, "special_tokens");
  bool behind = false;
  for (const Element item : json_read::array(json_read::need(value, "single"), "single")) {
    if (json_read::find(item, "Sequence")) {
      behind = true;
      continue;
    }
    const std::string_view name = json_read::text_of(json_read::need(item, "SpecialToken"), "id");
    if (!tokens) fail(Code::bad_model_file, "the tokenizer's template has no special_tokens");
    const Element entry = json_read::need(json_read::need(*tokens, name), "ids");
    for (const Element id : json_read::array(entry, "ids")) {
      (behind ? parts.suffix : parts.prefix).push_back(json_read::token_id(id, "ids"));
    }
  }
}

// ["[SEP]", 102]
int32_t pair_id(Element value, std::string_view key) {
  const auto pair = json_read::array(json_read::need(value, key), key);
  Element id;
  if (pair.at(1).get(id) != simdjson::SUCCESS) fail(Code::bad_model_file, "the tokenizer's post-processor is cut");
  return json_read::token_id(id, key);
}

}  // namespace

void read_postprocessor(Element value, TokenizerParts& parts, int depth) {
  const std::string_view type = json_read::text_of(value, "type");
  if (type == "Sequence") {
    sequence(value, "processors", depth, [&](Element child) { read_postprocessor(child, parts, depth + 1); });
  } else if (type == "TemplateProcessing") {
    read_template(value, parts);
  } else if (type == "BertProcessing" || type == "RobertaProcessing") {
    parts.prefix.push_back(pair_id(value, "cls"));
    parts.suffix.push_back(pair_id(value, "sep"));
  } else if (type != "ByteLevel") {  // ByteLevel only changes offsets
    refuse("post-processor", type);
  }
}

}  // namespace autoglm
