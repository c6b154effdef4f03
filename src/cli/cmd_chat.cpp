// chat: a conversation at a terminal.
#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "cli/chat.h"
#include "cli/commands.h"
#include "cli/generate.h"
#include "cli/line_editor.h"
#include "cli/tuned_settings.h"
#include "hw/resident.h"

namespace autoglm {
namespace {

constexpr Text kHelp = {
    "/help          this list\n"
    "/clear         forget the conversation (the system message stays)\n"
    "/system TEXT   set the system message; without TEXT, remove it\n"
    "/save FILE     write the conversation as JSON\n"
    "/load FILE     go on with a saved one\n"
    "/stats         tokens, speed and memory so far\n"
    "/exit          end (also Ctrl-D)\n"
    "Ctrl-C stops an answer, or drops the line that is being typed. A paste of many lines is one message.\n",
    "/help          显示本列表\n"
    "/clear         清空对话（保留系统消息）\n"
    "/system 文本   设置系统消息；不带文本则删除\n"
    "/save 文件     把对话保存为 JSON\n"
    "/load 文件     继续已保存的对话\n"
    "/stats         目前的 token 数、速度和内存\n"
    "/exit          结束（或按 Ctrl-D）\n"
    "Ctrl-C 停止回答，或丢弃正在输入的一行。多行粘贴作为一条消息。\n"};

/// One conversation and what it has cost.
class Chat {
 public:
  Chat(Context& context, OpenedModel& opened)
      : context_(context),
        opened_(opened),
        engine_(*opened.model, *opened.tokenizer, opened.chat, engine_options(context, opened)),
        conversation_(*opened.tokenizer, opened.chat),
        request_(request_from_settings(context.settings(), *opened.source, opened.model->spec().vocabulary)) {
    const Settings& settings = context.settings();
    if (const auto system = settings.text_if("chat.system")) {
      check_utf8(*system, "the system message");
      conversation_.set_system(*system);
    }
    if (const auto think = settings.text_if("chat.think"); think && *think != "auto") {
      conversation_.set_thinking(*think == "on");
    }
  }

  /// False when the conversation is over.
  bool handle(const std::string& line) {
    if (line.find_first_not_of(" \t\n") == std::string::npos) return true;
    context_.interrupt().clear();  // before any work: a Ctrl-C from here on means this answer
    try {
      if (line.front() == '/') return command(line);
      answer(line);
    } catch (const Error& error) {
      context_.interrupt().clear();
      say(fmt::format("error: {}\n", error.what()));
      if (!error.hint().empty()) say(fmt::format("hint: {}\n", error.hint()));
    }
    return true;
  }

 private:
  void say(const std::string& text) const { std::fputs(text.c_str(), stderr); }

  bool command(const std::string& line) {
    const size_t space = line.find_first_of(" \n");
    const std::string word = line.substr(0, space);
    const size_t begin = space == std::string::npos ? space : line.find_first_not_of(" \n", space);
    const std::string rest = begin == std::string::npos ? std::string() : line.substr(begin);
    if (word == "/exit" || word == "/quit" || word == "/bye") return false;
    if (word == "/help") {
      say(std::string(kHelp.in(context_.language())));
    } else if (word == "/clear") {
      conversation_.clear();
      say("the conversation is empty\n");
    } else if (word == "/system") {
      conversation_.set_system(rest);
      say(rest.empty() ? "no system message\n" : "the system message is set\n");
    } else if (word == "/save") {
      save(rest);
    } else if (word == "/load") {
      load(rest);
    } else if (word == "/stats") {
      stats();
    } else {
      constexpr std::string_view kWords[] = {"/help", "/clear", "/system", "/save", "/load", "/stats", "/exit"};
      const std::string near = nearest(word, kWords, std::size(kWords));
      fail(Code::bad_request, fmt::format("{} is no command", word),
           near.empty() ? "/help lists them" : fmt::format("did you mean {}? /help lists all", near));
    }
    return true;
  }

  void save(const std::string& file) const {
    if (file.empty()) fail(Code::bad_request, "no file was named", "/save FILE");
    Json object = Json::object();
    object["messages"] = conversation_.messages();
    std::ofstream out(file);
    out << object.dump(2, ' ', false, Json::error_handler_t::replace) << '\n';
    out.close();
    if (!out) fail(Code::bad_file, fmt::format("cannot write {}", file), "check the folder and its permissions");
    say(fmt::format("saved {} messages to {}\n", conversation_.messages().size(), file));
  }

  void load(const std::string& file) {
    if (file.empty()) fail(Code::bad_request, "no file was named", "/load FILE");
    Json object = Json::parse(read_text(file), nullptr, false);
    if (object.is_object() && object.contains("messages")) {
      Json messages = std::move(object["messages"]);
      object = std::move(messages);
    }
    if (!object.is_array()) fail(Code::bad_file, fmt::format("{} is not a saved conversation", file));
    if (object.empty()) {
      conversation_.clear();
    } else {
      conversation_.set_messages(std::move(object));
    }
    say(fmt::format("loaded {} messages\n", conversation_.messages().size()));
  }

  void stats() const {
    say(fmt::format("answers {}, prompt tokens {} ({} of them kept from earlier turns), answer tokens {}\n", answers_,
                    prompt_tokens_, cached_tokens_, answer_tokens_));
    if (answers_ > 0) {
      say(fmt::format("last: {} prompt tokens at {:.1f} tok/s, {} answer tokens at {:.1f} tok/s\n",
                      last_.usage.prompt_tokens, last_.prefill_tps(), last_.usage.completion_tokens,
                      last_.decode_tps()));
    }
    say(fmt::format("context {} tokens; memory planned {}, peak {}\n", engine_.context(),
                    format_bytes(opened_.model->memory().total_bytes), format_bytes(resident_memory().peak)));
  }

  void answer(const std::string& text) {
    check_utf8(text, "the message");
    conversation_.add_user(text);
    try {
      const Prompt prompt = conversation_.prompt();
      Request request = request_;
      request.prompt = prompt.tokens;
      request.reasoning = prompt.reasoning;
      last_ = generate(
          engine_, std::move(request), [this] { return context_.interrupt().requested(); },
          [this](std::string_view piece) { context_.print(piece); },
          [](std::string_view piece) { std::fwrite(piece.data(), 1, piece.size(), stderr); });
    } catch (...) {
      conversation_.drop_last();  // the question that could not be answered
      throw;
    }
    context_.print("\n");
    if (last_.finish == FinishReason::cancelled) say("(stopped)\n");
    if (last_.finish == FinishReason::length)
      say("(the context or --max-tokens ended the answer; /clear makes room)\n");
    context_.interrupt().clear();
    conversation_.add_assistant(last_.text, last_.reasoning);
    ++answers_;
    prompt_tokens_ += last_.usage.prompt_tokens;
    cached_tokens_ += last_.usage.cached_tokens;
    answer_tokens_ += last_.usage.completion_tokens;
  }

  Context& context_;
  OpenedModel& opened_;
  Engine engine_;
  Conversation conversation_;
  Request request_;
  Answer last_;
  int64_t answers_ = 0;
  int64_t prompt_tokens_ = 0;
  int64_t cached_tokens_ = 0;
  int64_t answer_tokens_ = 0;
};

}  // namespace

int chat_at_terminal(Context& context) {
  if (context.json()) fail(Code::bad_flag, "chat has no --json", "use run --json");
  apply_tuned(context);
  const std::unique_ptr<OpenedModel> opened = open_and_load(context, load_options(context), true);
  Chat chat(context, *opened);
  LineEditor editor(history_path(context));
  if (editor.interactive()) context.note("/help lists the commands, Ctrl-D ends");
  while (const std::optional<std::string> line = editor.read(">>> ")) {
    if (!chat.handle(*line)) break;
  }
  if (editor.interactive()) context.note("");
  return 0;
}

const Command kChat = {
    .name = "chat",
    .summary = {"a conversation at the terminal", "在终端中对话"},
    .positionals = {{.name = "MODEL", .required = true, .help = {"the model", "模型"}}},
    .details = {"Commands: /help /clear /system /save /load /stats /exit. Ctrl-C stops the answer, not the program.",
                "命令：/help /clear /system /save /load /stats /exit。Ctrl-C 停止回答而不退出程序。"},
    .examples = {{"autoglm chat smollm2:135m --system \"Be brief.\"", {"", ""}}},
    .json_keys = "",
    .run = chat_at_terminal,
};

}  // namespace autoglm
