#include "text/decoder.h"

#include <utility>

#include "text/pretokenizer.h"
#include "text/utf8.h"
#include "text/vocab.h"

namespace autoglm {
namespace {

// The bytes that the characters of `token` stand for, or `token` itself if one of them stands for none.
std::string bytes_of(const std::string& token) {
  std::string out;
  for (size_t at = 0; at < token.size();) {
    const int byte = character_to_byte(utf8::next(token, at));
    if (byte < 0) return token;
    out += static_cast<char>(byte);
  }
  return out;
}

class ByteLevelDecoder final : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens) const override {
    std::string all;
    for (const std::string& token : tokens) all += bytes_of(token);
    tokens.assign(1, utf8::lossy(all));
  }
  void apply_one(std::string& token) const override { token = bytes_of(token); }
};

class ByteFallbackDecoder final : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens) const override {
    std::vector<std::string> out;
    out.reserve(tokens.size());
    std::string run;
    const auto flush = [&] {
      if (utf8::valid(run)) {
        if (!run.empty()) out.push_back(run);
      } else {
        for (size_t i = 0; i < run.size(); ++i) out.emplace_back(utf8::kReplacement);
      }
      run.clear();
    };
    for (std::string& token : tokens) {
      if (const auto byte = byte_of(token)) {
        run += static_cast<char>(*byte);
      } else {
        flush();
        out.push_back(std::move(token));
      }
    }
    flush();
    tokens = std::move(out);
  }
  void apply_one(std::string& token) const override {
    if (const auto byte = byte_of(token)) token.assign(1, static_cast<char>(*byte));
  }
};

class FuseDecoder final : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens) const override {
    std::string all;
    for (const std::string& token : tokens) all += token;
    tokens.assign(1, all);
  }
  void apply_one(std::string&) const override {}
};

class ReplaceDecoder final : public Decoder {
 public:
  ReplaceDecoder(std::string from, std::string to) : from_(std::move(from)), to_(std::move(to)) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) apply_one(token);
  }
  void apply_one(std::string& token) const override {
    if (from_.empty()) return;
    size_t at = token.find(from_);
    if (at == std::string::npos) return;
    std::string out;
    size_t open = 0;
    for (; at != std::string::npos; at = token.find(from_, open)) {
      out.append(token, open, at - open).append(to_);
      open = at + from_.size();
    }
    token = out.append(token, open);
  }

 private:
  std::string from_;
  std::string to_;
};

class ReplaceRegexDecoder final : public Decoder {
 public:
  ReplaceRegexDecoder(Regex from, std::string to) : from_(std::move(from)), to_(std::move(to)) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) apply_one(token);
  }
  void apply_one(std::string& token) const override {
    if (!utf8::valid(token)) return;  // half a character from a decoder before this one
    std::string out;
    size_t open = 0;
    Regex::Matcher matcher(from_);
    matcher.each(token, [&](size_t begin, size_t end) {
      out.append(token, open, begin - open).append(to_);
      open = end;
    });
    token = out.append(token, open);
  }

 private:
  Regex from_;
  std::string to_;
};

class StripDecoder final : public Decoder {
 public:
  StripDecoder(std::string content, size_t start, size_t stop)
      : content_(std::move(content)), start_(start), stop_(stop) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) {
      size_t begin = 0;
      size_t end = token.size();
      const auto at = [&](size_t place) { return token.compare(place, content_.size(), content_) == 0; };
      for (size_t i = 0; i < start_ && begin < end && at(begin); ++i) begin += content_.size();
      for (size_t i = 0; i < stop_ && end >= begin + content_.size() && at(end - content_.size()); ++i) {
        end -= content_.size();
      }
      token = token.substr(begin, end - begin);
    }
  }
  void apply_one(std::string&) const override {}
  bool hides_first_spaces() const override { return content_ == " " && start_ > 0; }

 private:
  std::string content_;
  size_t start_;
  size_t stop_;
};

class MetaspaceDecoder final : public Decoder {
 public:
  MetaspaceDecoder(const std::string& replacement, bool strip_first)
      : spaces_(replacement, " "), nothing_(replacement, ""), strip_first_(strip_first) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i) (i == 0 && strip_first_ ? nothing_ : spaces_).apply_one(tokens[i]);
  }
  void apply_one(std::string& token) const override { spaces_.apply_one(token); }
  bool hides_first_spaces() const override { return strip_first_; }

 private:
  ReplaceDecoder spaces_;
  ReplaceDecoder nothing_;
  bool strip_first_;
};

}  // namespace

std::unique_ptr<Decoder> make_byte_level_decoder() { return std::make_unique<ByteLevelDecoder>(); }
std::unique_ptr<Decoder> make_byte_fallback_decoder() { return std::make_unique<ByteFallbackDecoder>(); }
std::unique_ptr<Decoder> make_fuse_decoder() { return std::make_unique<FuseDecoder>(); }
std::unique_ptr<Decoder> make_replace_decoder(std::string from, std::string to) {
  return std::make_unique<ReplaceDecoder>(std::move(from), std::move(to));
}
std::unique_ptr<Decoder> make_replace_decoder(Regex from, std::string to) {
  return std::make_unique<ReplaceRegexDecoder>(std::move(from), std::move(to));
}
std::unique_ptr<Decoder> make_strip_decoder(std::string content, size_t start, size_t stop) {
  return std::make_unique<StripDecoder>(std::move(content), start, stop);
}
std::unique_ptr<Decoder> make_metaspace_decoder(const std::string& replacement, bool strip_first) {
  return std::make_unique<MetaspaceDecoder>(replacement, strip_first);
}

}  // namespace autoglm
