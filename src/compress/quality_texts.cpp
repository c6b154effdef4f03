#include "compress/quality_texts.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "text/json_lines.h"

namespace autoglm {
namespace {

constexpr size_t kMostKinds = 64;
constexpr size_t kMostKindBytes = 64;

// Rolling polynomial hash modulo 2^64 (Karp and Rabin, 1987) of pieces of kPiece bytes; each byte first goes through a
// multiplication, since runs of small numbers hash badly. A match is only ever used as a share of bytes, so that one
// chance collision in 2^64 does no harm.
constexpr uint64_t kBase = 0x9e3779b97f4a7c15U | 1U;

uint64_t mixed(char byte) { return (static_cast<unsigned char>(byte) + 1U) * uint64_t{0xbf58476d1ce4e5b9U}; }

uint64_t hash_piece(std::string_view piece) {
  uint64_t hash = 0;
  for (const char byte : piece) hash = hash * kBase + mixed(byte);
  return hash;
}

}  // namespace

std::vector<EvaluationText> read_text_lines(std::string_view jsonl, const std::string& name, const std::string& kind) {
  std::vector<EvaluationText> out;
  for_each_json_line(jsonl, name, [&](int64_t line, const nlohmann::json& object) {
    const std::string text = line_text(object, "text", name, line);
    const std::string its = object.contains("kind") ? line_text(object, "kind", name, line) : kind;
    if (its.empty() || its.size() > kMostKindBytes) {
      fail_line(name, line, "\"kind\" is not a word of 1 to 64 bytes");
    }
    auto found = std::ranges::find(out, its, &EvaluationText::kind);
    if (found == out.end()) {
      if (out.size() == kMostKinds) fail(Code::limit_exceeded, fmt::format("{} has more than 64 kinds of text", name));
      out.push_back({name, its, {}});
      found = out.end() - 1;
    }
    if (!found->text.empty()) found->text += "\n\n";
    found->text += text;
  });
  return out;
}

EvaluationWindows cut_windows(const std::vector<EvaluationText>& texts, const Tokenizer& tokenizer, int64_t window,
                              int64_t most) {
  EvaluationWindows out;
  std::vector<EvaluationWindow> all;
  int64_t longest = 0;
  for (const EvaluationText& text : texts) {
    EncodeOptions options;
    options.add_special = true;
    out.tokens.push_back(tokenizer.encode(text.text, options));
    const auto count = std::ssize(out.tokens.back());
    longest = std::max<int64_t>(longest, count);
    for (int64_t begin = 0; begin + window <= count; begin += window) all.push_back({out.tokens.size() - 1, begin});
  }
  if (all.empty()) {
    fail(Code::bad_file, fmt::format("the longest text has {} tokens, less than a window of {}", longest, window),
         "give a longer text or a smaller --ctx");
  }
  const auto total = std::ssize(all);
  const int64_t wanted = most == 0 ? total : std::min<int64_t>(most, total);
  for (int64_t i = 0; i < wanted; ++i) {
    out.windows.push_back(all[static_cast<size_t>((2 * i + 1) * total / (2 * wanted))]);
  }
  return out;
}

std::string quality_sha256(std::string_view bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int length = 0;
  const int ok = EVP_Digest(bytes.data(), bytes.size(), digest.data(), &length, EVP_sha256(), nullptr);
  AUTOGLM_CHECK(ok == 1, "SHA-256 failed");
  return fmt::format("{:02x}", fmt::join(digest.begin(), digest.begin() + length, ""));
}

TextFingerprint::TextFingerprint(std::string_view text) {
  for (size_t begin = 0; begin + kPiece <= text.size(); begin += kPiece) {
    pieces_.insert(hash_piece(text.substr(begin, kPiece)));
  }
}

double TextFingerprint::overlap(std::string_view text) const {
  if (pieces_.empty() || text.size() < kPiece) return 0;
  uint64_t highest = 1;  // kBase ^ (kPiece - 1)
  for (size_t i = 1; i < kPiece; ++i) highest *= kBase;
  uint64_t hash = hash_piece(text.substr(0, kPiece));
  size_t covered = 0;
  size_t end_of_last = 0;
  for (size_t begin = 0;; ++begin) {
    if (pieces_.contains(hash)) {
      covered += begin + kPiece - std::max(begin, end_of_last);
      end_of_last = begin + kPiece;
    }
    if (begin + kPiece == text.size()) break;
    hash = (hash - mixed(text[begin]) * highest) * kBase + mixed(text[begin + kPiece]);
  }
  return static_cast<double>(covered) / static_cast<double>(text.size());
}

}  // namespace autoglm
