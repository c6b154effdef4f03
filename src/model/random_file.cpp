// Random weights as a file, so that other engines run the very same model.
#include <algorithm>
#include <array>

#include "base/error.h"
#include "format/gguf_writer.h"
#include "model/random_weights.h"

namespace autoglm {
namespace {

/// How byte-level BPE writes a byte as text: printable ones as themselves, the others as U+0100 and up (GPT-2's table).
std::array<std::string, 256> byte_letters() {
  std::array<std::string, 256> out;
  unsigned next = 0x100;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    const unsigned point = printable ? byte : next++;
    std::string& text = out[byte];
    if (point < 0x80) {
      text = static_cast<char>(point);
    } else {
      text = {static_cast<char>(0xc0 | point >> 6), static_cast<char>(0x80 | (point & 63))};
    }
  }
  return out;
}

/// Tokens and merges of byte-level BPE.
struct Vocabulary {
  std::vector<std::string> tokens;
  std::vector<std::string> merges;

  void merge(const std::string& left, const std::string& right) {
    tokens.push_back(left + right);
    merges.push_back(left + " " + right);
  }
};

/// All letters, then words of two, three and more of them, up to `size` tokens.
Vocabulary make_words(size_t size) {
  Vocabulary out;
  const auto letters = byte_letters();
  out.tokens.assign(letters.begin(), letters.end());
  const std::vector<std::string> alphabet(letters.begin() + 'a', letters.begin() + 'z' + 1);
  std::vector<std::string> words = alphabet;
  while (out.tokens.size() < size) {
    std::vector<std::string> longer;
    for (const std::string& word : words) {
      for (const std::string& letter : alphabet) {
        if (out.tokens.size() == size) return out;
        longer.push_back(word + letter);
        out.merge(word, letter);
      }
    }
    words = std::move(longer);
  }
  out.tokens.resize(size);
  return out;
}

constexpr int64_t kNormal = 1;  // tokenizer.ggml.token_type
constexpr int64_t kControl = 3;

void set_vocabulary(Metadata& metadata, int64_t size) {
  AUTOGLM_CHECK(size >= 2, "check_spec lets no smaller vocabulary through");
  Vocabulary vocabulary = make_words(static_cast<size_t>(size - 2));
  std::vector<int64_t> types(vocabulary.tokens.size(), kNormal);
  for (const char* token : {"<|begin|>", "<|end|>"}) {
    vocabulary.tokens.emplace_back(token);
    types.push_back(kControl);
  }
  metadata.set("tokenizer.ggml.model", std::string("gpt2"));
  metadata.set("tokenizer.ggml.pre", std::string("llama-bpe"));
  metadata.set("tokenizer.ggml.tokens", MetaArray(std::move(vocabulary.tokens)));
  metadata.set("tokenizer.ggml.token_type", MetaArray(std::move(types)));
  metadata.set("tokenizer.ggml.merges", MetaArray(std::move(vocabulary.merges)));
  metadata.set("tokenizer.ggml.bos_token_id", size - 2);
  metadata.set("tokenizer.ggml.eos_token_id", size - 1);
}

}  // namespace

int64_t write_random_model(const ModelSource& model, const std::filesystem::path& path,
                           const std::function<void(int64_t done, int64_t total)>& progress) {
  Metadata metadata = model.metadata();
  set_vocabulary(metadata, metadata.integer(metadata.text("general.architecture") + ".vocab_size"));
  std::vector<GgufTensor> tensors;
  for (const TensorEntry& tensor : model.tensors()) tensors.push_back({tensor.name, tensor.type, tensor.shape});
  GgufWriter writer(path, metadata, std::move(tensors));
  const int64_t total = writer.remaining();
  constexpr size_t kPiece = 16 << 20;
  for (const TensorEntry& tensor : model.tensors()) {
    for (size_t at = 0; at < tensor.data.size(); at += kPiece) {
      writer.write(tensor.data.subspan(at, std::min(kPiece, tensor.data.size() - at)));
      if (progress) progress(total - writer.remaining(), total);
    }
  }
  writer.finish();
  return static_cast<int64_t>(std::filesystem::file_size(path));
}

}  // namespace autoglm
