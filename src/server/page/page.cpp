#include "server/page/page.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <string>

#include "base/error.h"
#include "server/api/fields.h"
#include "server/page/assets.h"

namespace autoglm {
namespace {

constexpr std::string_view kFolder = "/page/";
constexpr std::string_view kAbout = "/page/about";  // what is served, for the page

// Files of the page that asks for a key: they are parts of its one answer, and have no address.
constexpr std::string_view kKeyPage = "key.html";
constexpr std::string_view kKeyScript = "key.js";
constexpr std::string_view kKeyStyle = "key.css";

const EmbeddedFile* find_file(std::string_view name) {
  for (const EmbeddedFile& file : page_assets()) {
    if (file.name == name) return &file;
  }
  return nullptr;
}

std::string_view file_text(std::string_view name) {
  const EmbeddedFile* file = find_file(name);
  AUTOGLM_CHECK(file != nullptr, "a file of the page is missing");
  return file->bytes;
}

const EmbeddedFile* asset_at(std::string_view path) {
  if (path == "/") return find_file("index.html");
  if (!path.starts_with(kFolder)) return nullptr;
  const std::string_view name = path.substr(kFolder.size());
  return name.ends_with(".html") || name == kKeyScript || name == kKeyStyle ? nullptr : find_file(name);
}

std::string_view content_type(std::string_view name) {
  if (name.ends_with(".js")) return "text/javascript; charset=utf-8";
  if (name.ends_with(".css")) return "text/css; charset=utf-8";
  return "text/html; charset=utf-8";
}

// No script, style or picture from elsewhere, nothing inline, and no way for a script to turn text into HTML.
constexpr std::string_view kPagePolicy =
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

void protect(HttpResponse& response, std::string_view policy) {
  response.headers.emplace_back("Content-Security-Policy", policy);
  response.headers.emplace_back("X-Content-Type-Options", "nosniff");
  response.headers.emplace_back("X-Frame-Options", "DENY");
  response.headers.emplace_back("Referrer-Policy", "no-referrer");
  response.headers.emplace_back("Cross-Origin-Resource-Policy", "same-origin");
}

// If-None-Match is a list; a browser's has one entry, perhaps weakened by a proxy that compressed.
bool has_it(const HttpRequest& request, std::string_view tag) {
  const std::string_view wanted = request.header("if-none-match");
  return wanted == "*" || wanted.find(tag) != std::string_view::npos;
}

HttpResponse file_response(const HttpRequest& request, const EmbeddedFile& file) {
  const std::string tag = fmt::format("\"{}\"", file.sha256.substr(0, 32));
  HttpResponse response;
  response.headers = {{"ETag", tag}, {"Cache-Control", "no-cache"}};
  protect(response, kPagePolicy);
  if (has_it(request, tag)) {
    response.status = 304;
    response.content_type.clear();
    return response;
  }
  response.content_type = content_type(file.name);
  response.body = file.bytes;
  return response;
}

HttpResponse about(const Served& served) {
  const ChatSpec* spec = served.chat->spec;
  const SamplingParams& sampling = served.defaults.sampling;
  Json body = Json::object();
  body["version"] = served.version;
  body["model"] = served.name;
  body["names"] = served.aliases;
  body["names"].insert(body["names"].begin(), served.name);
  body["context"] = served.context;
  body["thinks"] = spec != nullptr && !spec->thinking_variable.empty();
  body["defaults"] = Json{{"temperature", sampling.temperature}, {"top_p", sampling.top_p}};
  HttpResponse response;
  response.body = to_text(body);
  response.headers = {{"Cache-Control", "no-store"}};
  protect(response, kPagePolicy);
  return response;
}

// 'sha256-...' of an inline script or style, as a policy names it.
std::string source_hash(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int length = 0;
  AUTOGLM_CHECK(EVP_Digest(text.data(), text.size(), digest.data(), &length, EVP_sha256(), nullptr) == 1, "SHA-256");
  std::array<unsigned char, 2 * EVP_MAX_MD_SIZE> base64{};
  const int written = EVP_EncodeBlock(base64.data(), digest.data(), static_cast<int>(length));
  return fmt::format("'sha256-{}'", std::string_view(reinterpret_cast<const char*>(base64.data()), written));
}

void put(std::string& text, std::string_view place, std::string_view content) {
  const size_t at = text.find(place);
  AUTOGLM_CHECK(at != std::string::npos, "a place in the key page is missing");
  text.replace(at, place.size(), content);
}

struct KeyPage {
  std::string body{file_text(kKeyPage)};
  std::string policy;

  KeyPage() {
    put(body, "/*STYLE*/", file_text(kKeyStyle));
    put(body, "/*SCRIPT*/", file_text(kKeyScript));
    // Its script runs the page's files from memory, because a browser would ask for them without the key.
    policy = fmt::format(
        "default-src 'none'; script-src {} blob:; style-src {} blob:; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        source_hash(file_text(kKeyScript)), source_hash(file_text(kKeyStyle)));
  }
};

}  // namespace

bool is_page(std::string_view path) { return path == kAbout || asset_at(path) != nullptr; }

HttpResponse page_response(const HttpRequest& request, const Served& served) {
  const EmbeddedFile* file = asset_at(request.path);
  return file == nullptr ? about(served) : file_response(request, *file);
}

std::optional<HttpResponse> key_page(const HttpRequest& request) {
  const bool shown = request.path == "/" && request.header("accept").find("text/html") != std::string_view::npos;
  if (!shown) return std::nullopt;
  static const KeyPage page;
  HttpResponse response;
  response.status = 401;
  response.content_type = content_type(kKeyPage);
  response.body = page.body;
  response.headers = {{"WWW-Authenticate", "Bearer"}, {"Cache-Control", "no-store"}};
  protect(response, page.policy);
  return response;
}

}  // namespace autoglm
