#include <fmt/format.h>

#include "optimize/words.h"
#include "optimize/writers.h"

namespace autoglm {

std::string optimize_markdown(const OptimizeReport& report, Language language) {
  const OptimizeWords words = optimize_words(report, language);
  std::string out = fmt::format("# {}\n", markdown_text(words.title));
  out += markdown_table(words.summary);
  for (const std::string& line : words.verdict) out += '\n' + markdown_text(line) + '\n';
  for (const ReportTable& table : words.tables) out += markdown_table(table);
  out += fmt::format("\n## {}\n\n", words.method_title);
  for (const std::string& line : words.method) out += fmt::format("- {}\n", markdown_text(line));
  out += fmt::format("\n## {}\n\n", words.undo_title);
  for (const std::string& line : words.undo) out += fmt::format("- {}\n", markdown_text(line));
  if (!words.recipe.empty()) out += fmt::format("\n## {}\n\n```yaml\n{}```\n", words.recipe_title, words.recipe);
  return out;
}

std::string optimize_html(const OptimizeReport& report, Language language) {
  const OptimizeWords words = optimize_words(report, language);
  std::string body = html_table(words.summary);
  for (const std::string& line : words.verdict) body += fmt::format("<p>{}</p>\n", html_escaped(line));
  for (const ReportPlot& plot : words.plots) body += html_plot(plot);
  for (const ReportTable& table : words.tables) body += html_table(table);
  const auto list = [&](const std::string& title, const std::vector<std::string>& lines) {
    body += fmt::format("<h2>{}</h2>\n<ul>\n", html_escaped(title));
    for (const std::string& line : lines) body += fmt::format("<li>{}</li>\n", html_escaped(line));
    body += "</ul>\n";
  };
  list(words.method_title, words.method);
  list(words.undo_title, words.undo);
  if (!words.recipe.empty()) {
    body += fmt::format("<h2>{}</h2>\n<pre>{}</pre>\n", html_escaped(words.recipe_title), html_escaped(words.recipe));
  }
  return html_page(words.title, language, body);
}

}  // namespace autoglm
