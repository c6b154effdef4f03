// One value of a setting, from text and in words.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/settings.h"

namespace autoglm {
namespace {

struct Unit {
  std::string_view name;
  double factor;
};
constexpr std::array kSizes = {Unit{"TiB", 1099511627776.0}, Unit{"GiB", 1073741824.0}, Unit{"MiB", 1048576.0},
                               Unit{"KiB", 1024.0}, Unit{"B", 1.0}};
constexpr std::array kTimes = {Unit{"us", 1.0}, Unit{"ms", 1e3}, Unit{"s", 1e6}, Unit{"m", 60e6}, Unit{"h", 3600e6}};

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  size_t at = 0;
  for (size_t end = text.find(separator); end != std::string_view::npos; end = text.find(separator, at)) {
    parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  parts.push_back(text.substr(at));
  return parts;
}

bool automatic(const Setting& setting) { return setting.default_value == "auto"; }

// A plain decimal number and what follows it; hexadecimal, inf and nan are not numbers here.
bool leading_number(std::string_view text, double& value, std::string_view& rest) {
  const size_t digits = text.find_first_not_of("0123456789.eE+-");
  std::string_view number = text.substr(0, digits);
  if (number.starts_with('+')) number.remove_prefix(1);
  if (number.empty()) return false;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
  if (error != std::errc{} || !std::isfinite(value)) return false;
  rest = text.substr(static_cast<size_t>(end - text.data()));
  return true;
}

bool whole_integer(std::string_view text, int64_t& value) {
  if (text.starts_with('+')) text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size();
}

std::string number_text(double value) {
  if (value == std::floor(value) && std::fabs(value) < 1e15) return fmt::format("{}", static_cast<int64_t>(value));
  return fmt::format("{}", value);
}

// The largest unit that divides the amount, so that what a person wrote comes back.
template <size_t N>
std::string with_unit(int64_t amount, const std::array<Unit, N>& units) {
  const Unit* best = nullptr;
  for (const Unit& unit : units) {
    const auto factor = static_cast<int64_t>(unit.factor);
    if (amount != 0 && amount % factor == 0 && (best == nullptr || unit.factor > best->factor)) best = &unit;
  }
  if (best == nullptr) return fmt::format("0{}", units.front().factor == 1.0 ? "s" : "B");
  return fmt::format("{}{}", amount / static_cast<int64_t>(best->factor), best->name);
}

std::string amount_text(const Setting& setting, double value) {
  if (setting.type == SettingType::size) return with_unit(static_cast<int64_t>(value), kSizes);
  if (setting.type == SettingType::duration) return with_unit(static_cast<int64_t>(value), kTimes);
  return number_text(value);
}

bool outside(const Setting& setting, double value) {
  return setting.min != setting.max && (value < setting.min || value > setting.max);
}

std::string range_error(const Setting& setting) {
  return fmt::format("is out of range: {} is accepted", accepted_values(setting, Language::en));
}

ParsedSetting parse_boolean(std::string_view text) {
  ParsedSetting out;
  for (const std::string_view word : {"true", "on", "yes", "1"}) out.value.integer |= text == word ? 1 : 0;
  bool known = out.value.integer == 1;
  for (const std::string_view word : {"false", "off", "no", "0"}) known = known || text == word;
  if (!known) out.error = "is neither true nor false";
  out.value.text = out.value.integer == 1 ? "true" : "false";
  return out;
}

ParsedSetting parse_number(const Setting& setting, std::string_view text) {
  ParsedSetting out;
  if (setting.type == SettingType::integer) {
    if (!whole_integer(text, out.value.integer)) {
      out.error = fmt::format("is not a whole number: {} is accepted", accepted_values(setting, Language::en));
      return out;
    }
    out.value.real = static_cast<double>(out.value.integer);
    out.value.text = fmt::format("{}", out.value.integer);
  } else {
    std::string_view rest;
    if (!leading_number(text, out.value.real, rest) || !rest.empty()) {
      out.error = fmt::format("is not a number: {} is accepted", accepted_values(setting, Language::en));
      return out;
    }
    out.value.text = fmt::format("{}", out.value.real);
  }
  if (outside(setting, out.value.real)) out.error = range_error(setting);
  return out;
}

template <size_t N>
ParsedSetting parse_amount(const Setting& setting, std::string_view text, const std::array<Unit, N>& units) {
  ParsedSetting out;
  double number = 0;
  std::string_view rest;
  const bool is_number = leading_number(text, number, rest);
  while (rest.starts_with(' ')) rest.remove_prefix(1);
  double factor = rest.empty() && (setting.type == SettingType::size || number == 0) ? 1 : 0;
  for (const Unit& unit : units) {
    if (rest == unit.name) factor = unit.factor;
  }
  if (!is_number || factor == 0) {
    const bool is_size = setting.type == SettingType::size;
    out.error = fmt::format("is not a {}", is_size ? "size" : "time");
    out.hint = is_size ? "write a number with KiB, MiB or GiB, for example 2GiB"
                       : "write a number with us, ms, s or m, for example 30s";
    return out;
  }
  const double amount = number * factor;
  // 2^62: what follows may add a few of these without overflow.
  if (outside(setting, amount) || amount < 0 || amount > 4.6e18) {
    out.error = range_error(setting);
    return out;
  }
  out.value.integer = std::llround(amount);
  out.value.real = amount;
  out.value.text = with_unit(out.value.integer, units);
  return out;
}

ParsedSetting parse_choice(const Setting& setting, std::string_view text) {
  ParsedSetting out;
  std::vector<std::string_view> known;
  if (automatic(setting)) known.emplace_back("auto");
  for (const std::string_view choice : split(setting.choices, '|')) {
    const size_t alias = choice.find('=');
    const std::string_view word = choice.substr(0, alias);
    known.push_back(word);
    if (word == text) {
      out.value.text = std::string(alias == std::string_view::npos ? word : choice.substr(alias + 1));
      out.value.is_set = out.value.text != "auto";
      return out;
    }
  }
  out.error = fmt::format("is not one of {}", accepted_values(setting, Language::en));
  const std::string near = nearest(text, known.data(), known.size());
  if (!near.empty()) {
    out.hint = fmt::format("did you mean {}?", near);
  }
  return out;
}

ParsedSetting parse_ids(const Setting& setting, std::string_view text) {
  ParsedSetting out;
  for (std::string_view part : split(text, ',')) {
    while (part.starts_with(' ')) part.remove_prefix(1);
    while (part.ends_with(' ')) part.remove_suffix(1);
    int64_t id = 0;
    if (!whole_integer(part, id) || outside(setting, static_cast<double>(id))) {
      out.error = fmt::format("has '{}', which is not a token id", part);
      out.hint = "write ids separated by commas, for example 1,2,3";
      return out;
    }
    out.value.ids.push_back(id);
  }
  out.value.text = std::string(text);
  return out;
}

}  // namespace

ParsedSetting parse_setting(const Setting& setting, std::string_view text) {
  ParsedSetting out;
  if (text == "auto" && automatic(setting)) {
    out.value.text = "auto";
    return out;
  }
  if (text.find('\0') != std::string_view::npos) {
    out.error = "holds a NUL character";
    return out;
  }
  switch (setting.type) {
    case SettingType::boolean:
      out = parse_boolean(text);
      break;
    case SettingType::integer:
    case SettingType::real:
      out = parse_number(setting, text);
      break;
    case SettingType::size:
      out = parse_amount(setting, text, kSizes);
      break;
    case SettingType::duration:
      out = parse_amount(setting, text, kTimes);
      break;
    case SettingType::choice:
      return parse_choice(setting, text);
    case SettingType::ids:
      out = parse_ids(setting, text);
      break;
    case SettingType::list:
      out.value.list.emplace_back(text);
      [[fallthrough]];
    case SettingType::path:
      if (setting.type == SettingType::path && text.empty()) out.error = "is empty: a path is needed";
      [[fallthrough]];
    case SettingType::text:
      out.value.text = std::string(text);
      break;
  }
  out.value.is_set = out.error.empty();
  return out;
}

std::string value_name(const Setting& setting) {
  if (!setting.unit.empty() && setting.type != SettingType::integer) return std::string(setting.unit);
  switch (setting.type) {
    case SettingType::boolean:
      return "";
    case SettingType::integer:
      return "N";
    case SettingType::real:
      return "X";
    case SettingType::size:
      return "SIZE";
    case SettingType::duration:
      return "TIME";
    case SettingType::choice: {
      std::string out = automatic(setting) ? "auto" : "";
      for (const std::string_view choice : split(setting.choices, '|')) {
        if (choice.find('=') != std::string_view::npos) continue;
        out += (out.empty() ? "" : "|") + std::string(choice);
      }
      return out;
    }
    case SettingType::text:
      return "TEXT";
    case SettingType::path:
      return "PATH";
    case SettingType::list:
      return "TEXT";
    case SettingType::ids:
      return "1,2,3";
  }
  return "";
}

std::string accepted_values(const Setting& setting, Language language) {
  const bool zh = language == Language::zh;
  std::string out;
  switch (setting.type) {
    case SettingType::boolean:
      return "true, false";
    case SettingType::choice: {
      out = value_name(setting);
      for (size_t at = out.find('|'); at != std::string::npos; at = out.find('|', at)) out.replace(at, 1, ", ");
      return out;
    }
    case SettingType::integer:
    case SettingType::real:
    case SettingType::size:
    case SettingType::duration:
      if (setting.min != setting.max) {
        out = fmt::format(fmt::runtime(zh ? "{} 至 {}" : "{} to {}"), amount_text(setting, setting.min),
                          amount_text(setting, setting.max));
      } else {
        out = zh ? "数字" : "a number";
      }
      break;
    case SettingType::text:
      out = zh ? "文本" : "text";
      break;
    case SettingType::path:
      out = zh ? "路径" : "a path";
      break;
    case SettingType::list:
      out = zh ? "文本列表" : "a list of texts";
      break;
    case SettingType::ids:
      out = zh ? "以逗号分隔的编号" : "ids separated by commas";
      break;
  }
  if (automatic(setting)) out += zh ? "，或 auto" : ", or auto";
  return out;
}

}  // namespace autoglm
