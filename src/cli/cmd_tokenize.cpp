// tokenize and detokenize.
#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/open.h"
#include "text/utf8.h"

namespace autoglm {
namespace {

// A piece may be half a character: such bytes are shown as \xNN.
std::string printable(std::string_view bytes) {
  std::string text;
  for (size_t at = 0; at < bytes.size();) {
    const utf8::Scan scan = utf8::scan(bytes, at);
    for (size_t i = at; i < at + scan.length; ++i) {
      text += scan.valid ? std::string(1, bytes[i]) : fmt::format("\\x{:02X}", static_cast<unsigned char>(bytes[i]));
    }
    at += scan.length;
  }
  return text;
}

nlohmann::json describe(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  nlohmann::json pieces = nlohmann::json::array();
  for (const int32_t id : ids) pieces.push_back(printable(tokenizer.piece(id, true)));
  return {{"ids", ids}, {"pieces", std::move(pieces)}};
}

std::string input_text(Context& context) {
  const std::optional<std::string> file = context.settings().text_if("tokenize.file");
  if (file && context.has_argument("TEXT")) {
    fail(Code::bad_flag, "both TEXT and --file were given", "give one of them");
  }
  std::string text = file ? read_text(*file) : context.has_argument("TEXT") ? context.argument("TEXT") : read_stdin();
  check_utf8(text, "the text");
  return text;
}

int tokenize(Context& context) {
  const std::string text = input_text(context);
  const std::shared_ptr<const ModelSource> source = open_source(context, false);
  const std::unique_ptr<Tokenizer> tokenizer = open_tokenizer(*source);
  EncodeOptions options;
  options.special = context.settings().boolean("tokenize.special");
  options.add_special = context.settings().boolean("tokenize.bos");
  const std::vector<int32_t> ids = tokenizer->encode(text, options);
  if (context.json()) {
    context.print_json(describe(*tokenizer, ids));
  } else {
    context.print(fmt::format("{}\n", fmt::join(ids, ",")));
  }
  return 0;
}

std::vector<int32_t> parse_ids(std::string_view text) {
  std::vector<int32_t> ids;
  const char* at = text.data();
  const char* end = at + text.size();
  while (at != end) {
    while (at != end && (*at == ' ' || *at == ',' || *at == '\n' || *at == '[' || *at == ']')) ++at;
    if (at == end) break;
    int32_t id = 0;
    const auto [next, error] = std::from_chars(at, end, id);
    if (error != std::errc{} || (next != end && std::string_view(" ,\n[]").find(*next) == std::string_view::npos)) {
      fail(Code::bad_flag, fmt::format("\"{}\" is not a list of token ids", text.substr(0, 80)), "for example 1,2,3");
    }
    ids.push_back(id);
    at = next;
  }
  return ids;
}

int detokenize(Context& context) {
  const std::vector<int32_t> ids = parse_ids(context.has_argument("IDS") ? context.argument("IDS") : read_stdin());
  const std::shared_ptr<const ModelSource> source = open_source(context, false);
  const std::unique_ptr<Tokenizer> tokenizer = open_tokenizer(*source);
  const std::string text = tokenizer->decode(ids, true);
  if (context.json()) {
    nlohmann::json object = describe(*tokenizer, ids);
    object["text"] = text;
    context.print_json(object);
  } else {
    context.print(text + "\n");
  }
  return 0;
}

}  // namespace

const Command kTokenize = {
    .name = "tokenize",
    .summary = {"text to token ids", "把文本转换为 token 编号"},
    .positionals = {{.name = "MODEL", .required = true, .help = {"the model", "模型"}},
                    {.name = "TEXT",
                     .required = false,
                     .help = {"the text; without it and --file, standard input",
                              "文本；没有它和 --file 时读取标准输入"}}},
    .details = {},
    .examples = {{"autoglm tokenize model.gguf \"Hello, 世界\"", {"ids, separated by commas", "以逗号分隔的编号"}}},
    .json_keys = "ids, pieces",
    .run = tokenize,
};

const Command kDetokenize = {
    .name = "detokenize",
    .summary = {"token ids to text", "把 token 编号转换为文本"},
    .positionals = {{.name = "MODEL", .required = true, .help = {"the model", "模型"}},
                    {.name = "IDS",
                     .required = false,
                     .help = {"ids, separated by commas; without it, standard input",
                              "以逗号分隔的编号；不给出时读取标准输入"}}},
    .details = {},
    .examples = {{"autoglm detokenize model.gguf 1,2,3", {"", ""}}},
    .json_keys = "ids, pieces",
    .run = detokenize,
};

}  // namespace autoglm
