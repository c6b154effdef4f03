#include "text/tokenizer_settings.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "text/json_read.h"

namespace autoglm {
namespace {

using json_read::Element;

// A token is a string, or an object with its text.
std::optional<std::string> token_text(Element root, std::string_view key) {
  const auto value = json_read::find(root, key);
  if (!value) return std::nullopt;
  if (value->is_object()) return std::string(json_read::text_of(*value, "content"));
  return std::string(json_read::text(*value, key));
}

std::optional<bool> maybe_flag(Element root, std::string_view key) {
  if (!json_read::find(root, key)) return std::nullopt;
  return json_read::flag(root, key, false);
}

void read_config(Element root, SettingsRead& out) {
  out.bos = token_text(root, "bos_token");
  out.eos = token_text(root, "eos_token");
  out.add_bos = maybe_flag(root, "add_bos_token");
  out.add_eos = maybe_flag(root, "add_eos_token");
  out.legacy = maybe_flag(root, "legacy");
  out.add_prefix_space = maybe_flag(root, "add_prefix_space");
  if (const auto name = json_read::find(root, "tokenizer_class")) {
    out.tokenizer_class = json_read::text(*name, "tokenizer_class");
  }
  const auto added = json_read::find(root, "added_tokens_decoder");
  if (!added) return;
  for (const auto [key, value] : json_read::object(*added, "added_tokens_decoder")) {
    AddedToken token;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), token.id);
    if (error != std::errc() || end != key.data() + key.size() || token.id < 0 || token.id >= 1 << 24) {
      fail(Code::bad_model_file, "tokenizer_config.json has an added token with the id '" + std::string(key) + "'");
    }
    token.text = json_read::text_of(value, "content");
    token.control = json_read::flag(value, "special", false);
    token.single_word = json_read::flag(value, "single_word", false);
    token.lstrip = json_read::flag(value, "lstrip", false);
    token.rstrip = json_read::flag(value, "rstrip", false);
    token.normalized = json_read::flag(value, "normalized", false);
    out.added.push_back(std::move(token));
  }
}

void read_generation(Element root, SettingsRead& out) {
  const auto value = json_read::find(root, "eos_token_id");
  if (!value) return;
  if (!value->is_array()) {
    out.ends.push_back(json_read::token_id(*value, "eos_token_id"));
    return;
  }
  for (const Element id : json_read::array(*value, "eos_token_id")) {
    out.ends.push_back(json_read::token_id(id, "eos_token_id"));
  }
}

}  // namespace

SettingsRead read_settings(const TokenizerSettings& settings) {
  SettingsRead out;
  simdjson::dom::parser parser;
  if (settings.tokenizer_config) {
    read_config(json_read::parse(parser, *settings.tokenizer_config, "tokenizer_config.json"), out);
  }
  if (settings.generation_config) {
    read_generation(json_read::parse(parser, *settings.generation_config, "generation_config.json"), out);
  }
  return out;
}

void apply_settings(const SettingsRead& settings, TokenizerParts& parts) {
  if (settings.bos) parts.bos = parts.vocab->find(*settings.bos);
  if (settings.eos) parts.eos = parts.vocab->find(*settings.eos);
  const auto end = [&](int32_t id) {
    if (!parts.vocab->has(id)) return;
    if (std::find(parts.ends.begin(), parts.ends.end(), id) == parts.ends.end()) parts.ends.push_back(id);
  };
  if (parts.eos) end(*parts.eos);
  for (const int32_t id : settings.ends) end(id);
  if (!parts.eos && !parts.ends.empty()) parts.eos = parts.ends.front();
}

}  // namespace autoglm
