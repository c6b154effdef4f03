#include "store/model_name.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>

#include "base/error.h"

namespace autoglm {
namespace {

bool hub_word(std::string_view word) {
  return !word.empty() && word != "." && word != ".." && std::all_of(word.begin(), word.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.';
  });
}

bool safe_file(std::string_view file) {
  if (file.empty() || file.front() == '/') return false;
  for (size_t at = 0; at <= file.size();) {
    const size_t end = std::min(file.find('/', at), file.size());
    const std::string_view part = file.substr(at, end - at);
    if (part.empty() || part == "." || part == "..") return false;
    at = end + 1;
  }
  return std::none_of(file.begin(), file.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; });
}

/// OWNER/REPO[@REV][:QUANT or :FILE]
void parse_hub(std::string_view rest, ModelName& name) {
  const size_t colon = rest.find(':');
  if (colon != std::string_view::npos) {
    name.choice = std::string(rest.substr(colon + 1));
    rest = rest.substr(0, colon);
    if (!safe_file(name.choice)) fail(Code::bad_flag, fmt::format("'{}' is no file or quantization", name.choice));
  }
  const size_t at = rest.find('@');
  if (at != std::string_view::npos) {
    name.revision = std::string(rest.substr(at + 1));
    rest = rest.substr(0, at);
    if (!safe_file(name.revision)) fail(Code::bad_flag, fmt::format("'{}' is no revision", name.revision));
  }
  const size_t slash = rest.find('/');
  if (slash == std::string_view::npos || !hub_word(rest.substr(0, slash)) || !hub_word(rest.substr(slash + 1))) {
    fail(Code::bad_flag, fmt::format("'{}' is not OWNER/REPO", rest),
         "write hf:OWNER/REPO, hf:OWNER/REPO:Q4_K_M or hf:OWNER/REPO@REVISION:FILE.gguf");
  }
  name.repository = std::string(rest);
}

bool loopback_url(std::string_view url) {
  return url.starts_with("http://127.") || url.starts_with("http://localhost:") || url.starts_with("http://[::1]");
}

}  // namespace

ModelName parse_model_name(std::string_view text) {
  ModelName name;
  name.text = std::string(text);
  if (text.empty())
    fail(Code::bad_flag, "the model's name is empty", "try smollm2:135m, or see autoglm list --available");
  if (text.find('\0') != std::string_view::npos) fail(Code::bad_flag, "the model's name holds a NUL byte");
  std::error_code ignored;
  if (std::filesystem::exists(name.text, ignored)) return name;
  if (text.starts_with("hf:") || text.starts_with("ms:")) {
    name.kind = text.starts_with("hf:") ? ModelName::Kind::hugging_face : ModelName::Kind::model_scope;
    parse_hub(text.substr(3), name);
  } else if (text.starts_with("https://") || loopback_url(text)) {
    name.kind = ModelName::Kind::url;
  } else if (text.starts_with("http://")) {
    fail(Code::bad_flag, "a model is not fetched over plain http", "write https://");
  } else if (text.find('/') == std::string_view::npos && !text.starts_with('.') && !text.ends_with(".gguf")) {
    name.kind = ModelName::Kind::catalogue;
  }
  return name;
}

std::string quant_of_file(std::string_view file) {
  std::string upper(file);
  std::transform(upper.begin(), upper.end(), upper.begin(), [](unsigned char c) { return std::toupper(c); });
  constexpr std::array starts = {"IQ", "TQ", "MXFP", "NVFP", "Q", "BF16", "F16", "F32", "FP16"};
  for (size_t at = 0; at < upper.size(); ++at) {
    const bool border = at == 0 || upper[at - 1] == '-' || upper[at - 1] == '.' || upper[at - 1] == '_';
    if (!border) continue;
    for (const std::string_view start : starts) {
      if (upper.compare(at, start.size(), start) != 0) continue;
      size_t end = at;
      while (end < upper.size() && (std::isalnum(static_cast<unsigned char>(upper[end])) != 0 || upper[end] == '_'))
        ++end;
      const std::string word = upper.substr(at, end - at);
      if (start == "Q" && (word.size() < 2 || std::isdigit(static_cast<unsigned char>(word[1])) == 0)) continue;
      return word == "FP16" ? "F16" : word;
    }
  }
  return {};
}

}  // namespace autoglm
