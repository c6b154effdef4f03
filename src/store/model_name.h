// The MODEL argument: what a user may write, taken apart.
#pragma once

#include <string>
#include <string_view>

namespace autoglm {

/// path: a file or folder. catalogue: `smollm2:135m`. hugging_face: `hf:OWNER/REPO[@REV][:QUANT or :FILE]`.
/// model_scope: `ms:…` alike. url: an https:// address of a GGUF (http:// for loopback only).
struct ModelName {
  enum class Kind { path, catalogue, hugging_face, model_scope, url } kind = Kind::path;
  std::string text;        // as written
  std::string repository;  // OWNER/REPO
  std::string revision;    // empty: the hub's default branch
  std::string choice;      // QUANT ("Q4_K_M") or FILE ("dir/model.gguf"); empty: the best that fits
};

/// Errors: bad_flag for an empty or malformed name, or one with bytes that no name has.
ModelName parse_model_name(std::string_view text);

/// The quantization named in a GGUF's file name ("Q4_K_M", "BF16"), upper case, or empty.
std::string quant_of_file(std::string_view file);

}  // namespace autoglm
