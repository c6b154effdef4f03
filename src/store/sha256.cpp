#include "store/sha256.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>
#include <fstream>
#include <memory>
#include <vector>

#include "base/error.h"

namespace autoglm {
namespace {

class Digest {
 public:
  explicit Digest(const EVP_MD* kind) : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    AUTOGLM_CHECK(context_ != nullptr && EVP_DigestInit_ex(context_.get(), kind, nullptr) == 1, "no digest");
  }
  void update(const void* data, size_t size) { EVP_DigestUpdate(context_.get(), data, size); }
  std::string hex() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
    unsigned int size = 0;
    EVP_DigestFinal_ex(context_.get(), bytes.data(), &size);
    std::string out;
    for (unsigned int i = 0; i < size; ++i) out += fmt::format("{:02x}", bytes.at(i));
    return out;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

void read_all(const std::filesystem::path& path, Digest& digest, const std::function<bool(int64_t)>& progress) {
  std::ifstream file(path, std::ios::binary);
  if (!file) fail(Code::bad_file, fmt::format("cannot read {}", path.string()));
  std::vector<char> buffer(1U << 20);
  int64_t done = 0;
  while (file.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) || file.gcount() > 0) {
    digest.update(buffer.data(), static_cast<size_t>(file.gcount()));
    done += file.gcount();
    if (progress && !progress(done)) fail(Code::interrupted, "interrupted while checking a file");
  }
  if (file.bad()) fail(Code::bad_file, fmt::format("reading {} failed", path.string()));
}

}  // namespace

std::string sha256_file(const std::filesystem::path& path, const std::function<bool(int64_t)>& progress) {
  Digest digest(EVP_sha256());
  read_all(path, digest, progress);
  return digest.hex();
}

std::string git_blob_id(const std::filesystem::path& path) {
  Digest digest(EVP_sha1());
  const std::string head = fmt::format("blob {}", std::filesystem::file_size(path));
  digest.update(head.c_str(), head.size() + 1);
  read_all(path, digest, {});
  return digest.hex();
}

std::string sha256_text(const std::string& text) {
  Digest digest(EVP_sha256());
  digest.update(text.data(), text.size());
  return digest.hex();
}

}  // namespace autoglm
