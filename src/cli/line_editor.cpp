#include "cli/line_editor.h"

#include <histedit.h>
#include <unistd.h>

#include <langinfo.h>
#include <clocale>
#include <cstdio>
#include <cwchar>
#include <iostream>
#include <string_view>
#include <vector>

#include "text/utf8.h"

namespace autoglm {
namespace {

constexpr const char* kPasteOn = "\x1b[?2004h";
constexpr const char* kPasteOff = "\x1b[?2004l";
constexpr std::wstring_view kPasteEnd = L"\x1b[201~";
constexpr size_t kMostPaste = size_t{64} << 20;
constexpr int kHistory = 1000;

std::string narrow(std::wstring_view wide) {
  std::string text;
  for (const wchar_t c : wide) utf8::append(text, static_cast<char32_t>(c));
  return utf8::lossy(text);
}

std::wstring widen(std::string_view text) {
  const std::string clean = utf8::lossy(text);
  std::wstring wide;
  for (size_t at = 0; at < clean.size();) wide += static_cast<wchar_t>(utf8::next(clean, at));
  return wide;
}

// Wide characters need a UTF-8 locale; containers often have none set.
void use_utf8_locale() {
  if (std::setlocale(LC_CTYPE, "") != nullptr && std::string_view(nl_langinfo(CODESET)) == "UTF-8") return;
  std::setlocale(LC_CTYPE, "C.UTF-8");
}

}  // namespace

struct LineEditor::State {
  EditLine* editor = nullptr;
  HistoryW* history = nullptr;
  HistEventW event{};
  std::string history_file;
  std::wstring prompt;
  std::vector<std::wstring> pastes;  // kept for the whole run, so that history can send them again
  bool dropped = false;              // Ctrl-C

  static State& of(EditLine* editor) {
    void* self = nullptr;
    el_wget(editor, EL_CLIENTDATA, &self);
    return *static_cast<State*>(self);
  }
  static wchar_t* show_prompt(EditLine* editor) { return of(editor).prompt.data(); }
  static unsigned char drop_line(EditLine* editor, wint_t) {
    of(editor).dropped = true;
    return CC_NEWLINE;
  }
  static unsigned char take_paste(EditLine* editor, wint_t);
  std::wstring mark(size_t index) const;
  std::wstring unfold(std::wstring line) const;
  void open();
};

// Reads to the end of the paste. Line breaks come as \r from most terminals.
unsigned char LineEditor::State::take_paste(EditLine* editor, wint_t) {
  State& self = of(editor);
  std::wstring text;
  wchar_t c = 0;
  while (text.size() < kMostPaste && el_wgetc(editor, &c) == 1) {
    if (c == L'\n' && !text.empty() && text.back() == L'\r') {
      text.back() = L'\n';
      continue;
    }
    text += c;
    if (text.ends_with(kPasteEnd)) {
      text.resize(text.size() - kPasteEnd.size());
      break;
    }
  }
  for (wchar_t& one : text) {
    if (one == L'\r') one = L'\n';
  }
  std::erase_if(text, [](wchar_t one) { return (one < 32 && one != L'\n' && one != L'\t') || one == 127; });
  if (text.find(L'\n') == std::wstring::npos) {
    el_winsertstr(editor, text.c_str());
    return CC_REFRESH;
  }
  self.pastes.push_back(std::move(text));
  el_winsertstr(editor, self.mark(self.pastes.size() - 1).c_str());
  return CC_REFRESH;
}

std::wstring LineEditor::State::mark(size_t index) const {
  const std::wstring& text = pastes[index];
  size_t lines = 1;
  for (size_t i = 0; i + 1 < text.size(); ++i) lines += text[i] == L'\n' ? 1 : 0;
  return L"[paste " + std::to_wstring(index + 1) + L": " + std::to_wstring(lines) + L" lines]";
}

std::wstring LineEditor::State::unfold(std::wstring line) const {
  for (size_t i = 0; i < pastes.size(); ++i) {
    const std::wstring sign = mark(i);
    if (const size_t at = line.find(sign); at != std::wstring::npos) line.replace(at, sign.size(), pastes[i]);
  }
  return line;
}

void LineEditor::State::open() {
  use_utf8_locale();
  editor = el_init("autoglm", stdin, stdout, stderr);
  if (editor == nullptr) return;
  history = history_winit();
  history_w(history, &event, H_SETSIZE, kHistory);
  history_w(history, &event, H_SETUNIQUE, 1);
  if (!history_file.empty()) history_w(history, &event, H_LOAD, history_file.c_str());
  el_wset(editor, EL_CLIENTDATA, this);
  el_wset(editor, EL_PROMPT, &State::show_prompt);
  el_wset(editor, EL_EDITOR, L"emacs");
  el_wset(editor, EL_HIST, history_w, history);
  el_wset(editor, EL_ADDFN, L"take-paste", L"insert a bracketed paste", &State::take_paste);
  el_wset(editor, EL_ADDFN, L"drop-line", L"forget the line", &State::drop_line);
  el_wset(editor, EL_BIND, L"\\e[200~", L"take-paste", nullptr);
  // While a line is edited, Ctrl-C is a key and not a signal; during an answer it is a signal.
  el_wset(editor, EL_SETTY, L"-d", L"-isig", nullptr);
  el_wset(editor, EL_BIND, L"^C", L"drop-line", nullptr);
  el_wset(editor, EL_BIND, L"\\e[3~", L"ed-delete-next-char", nullptr);
  el_wset(editor, EL_BIND, L"^R", L"em-inc-search-prev", nullptr);
}

LineEditor::LineEditor(std::string history_file) : state_(std::make_unique<State>()) {
  state_->history_file = std::move(history_file);
  if (::isatty(STDIN_FILENO) == 1) state_->open();
}

LineEditor::~LineEditor() {
  State& self = *state_;
  if (self.history != nullptr) {
    if (!self.history_file.empty()) history_w(self.history, &self.event, H_SAVE, self.history_file.c_str());
    history_wend(self.history);
  }
  if (self.editor != nullptr) el_end(self.editor);
}

bool LineEditor::interactive() const { return state_->editor != nullptr; }

std::optional<std::string> LineEditor::read(const std::string& prompt) {
  State& self = *state_;
  if (self.editor == nullptr) {
    std::string line;
    if (!std::getline(std::cin, line)) return std::nullopt;
    if (line.ends_with('\r')) line.pop_back();
    return line;
  }
  self.prompt = widen(prompt);
  self.dropped = false;
  std::fputs(kPasteOn, stdout);
  std::fflush(stdout);
  // libedit prints the prompt first and then takes the terminal over: keys of someone quick would meet the
  // terminal's own line discipline, where Ctrl-C is a signal and a backspace takes one byte.
  el_wset(self.editor, EL_PREP_TERM, 1);
  int count = 0;
  const wchar_t* got = el_wgets(self.editor, &count);
  std::fputs(kPasteOff, stdout);
  if (self.dropped) std::fputs("^C\n", stdout);
  std::fflush(stdout);
  if (self.dropped) return std::string();
  if (got == nullptr || count <= 0) return std::nullopt;
  std::wstring line(got, static_cast<size_t>(count));
  while (!line.empty() && (line.back() == L'\n' || line.back() == L'\r')) line.pop_back();
  if (line.find_first_not_of(L" \t") != std::wstring::npos) {
    history_w(self.history, &self.event, H_ENTER, line.c_str());
  }
  return narrow(self.unfold(std::move(line)));
}

}  // namespace autoglm
