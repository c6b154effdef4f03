#include "compress/quality_words.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/ledger.h"

namespace autoglm {
namespace {

constexpr size_t kListedTensors = 10;

std::string percent(double share) { return fmt::format("{:.2f} %", 100 * share); }

// One name a line; the context's line ends and the tokens' white space are shown.
std::string shown(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n') {
      out += "⏎";
    } else if (c == '\t') {
      out += "⇥";
    } else {
      out += c;
    }
  }
  return out;
}

std::string change(double before, double after) {
  if (before <= 0) return "-";
  return fmt::format("{:+.1f} %", 100 * (after / before - 1));
}

/// Makes the tables in one language.
class Tables {
 public:
  Tables(const QualityReport& report, Language language) : r_(report), language_(language) {}

  std::vector<ReportTable> all() const {
    std::vector<ReportTable> out = {
        summary(), storage(),
        groups(say("By position in the window", "按窗口内的位置"), say("positions", "位置"), r_.by_position)};
    if (r_.by_kind.size() > 1) {
      out.push_back(groups(say("By kind of text", "按文本种类"), say("kind", "种类"), r_.by_kind));
    }
    out.push_back(tensors());
    out.push_back(partings());
    if (r_.tasks) out.push_back(tasks());
    out.push_back(texts());
    std::erase_if(out, [](const ReportTable& table) { return table.rows.empty(); });
    return out;
  }

 private:
  std::string say(std::string_view en, std::string_view zh) const { return std::string(Text{en, zh}.in(language_)); }

  ReportTable summary() const {
    const DivergenceSummary& t = r_.total;
    ReportTable out{say("Summary", "概要"), {}, {say("figure", "指标"), say("value", "数值")}, {}};
    const auto row = [&](std::string name, std::string value) {
      out.rows.push_back({std::move(name), std::move(value)});
    };
    row(say("mean KL divergence (95 % interval)", "平均 KL 散度（95 % 区间）"),
        fmt::format("{} ({} … {})", small_number(t.kld_mean), small_number(t.kld_mean_ci.low),
                    small_number(t.kld_mean_ci.high)));
    row(say("median, 90 %, 99 %, largest", "中位数、90 %、99 %、最大"),
        fmt::format("{}, {}, {}, {}", small_number(t.kld_median), small_number(t.kld_p90), small_number(t.kld_p99),
                    small_number(t.kld_max)));
    row(say("same likeliest token", "最可能 token 相同"), percent(t.top1_agreement));
    row(say("shared among the five likeliest", "前五个 token 的重合"), percent(t.top5_agreement));
    row(say("perplexity of A", "A 的困惑度"), fmt::format("{:.4f}", t.ppl_a));
    row(say("perplexity of B", "B 的困惑度"), fmt::format("{:.4f}", t.ppl_b));
    row(say("ratio B / A (95 % interval)", "比值 B / A（95 % 区间）"),
        fmt::format("{:.4f} ({:.4f} … {:.4f})", t.ppl_ratio, t.ppl_ratio_ci.low, t.ppl_ratio_ci.high));
    row(say("tokens scored", "计分的 token"), fmt::format("{}", t.tokens));
    return out;
  }

  ReportTable storage() const {
    ReportTable out{say("Size and speed", "大小与速度"),
                    say("Speed is that of this comparison: A on its exact path is slower than in use.",
                        "速度是本次比较中的速度：A 走精确路径，比实际使用时慢。"),
                    {"", "A", "B", say("change", "变化")},
                    {}};
    const SideFigures& a = r_.a;
    const SideFigures& b = r_.b;
    const auto bytes = [&](std::string name, int64_t x, int64_t y) {
      out.rows.push_back(
          {std::move(name), format_bytes(x), format_bytes(y), change(static_cast<double>(x), static_cast<double>(y))});
    };
    out.rows.push_back({say("model", "模型"), a.name, b.name, ""});
    out.rows.push_back({say("types", "类型"), types(a), types(b), ""});
    if (!a.scaling.empty() || !b.scaling.empty()) {
      out.rows.push_back({say("scaling of channels", "通道缩放"), a.scaling, b.scaling, ""});
    }
    bytes(say("weights in the file", "文件中的权重"), a.weight_bytes, b.weight_bytes);
    bytes(say("file", "文件"), a.file_bytes, b.file_bytes);
    out.rows.push_back({say("bits a weight", "每个权重的位数"), fmt::format("{:.2f}", a.bits_per_weight),
                        fmt::format("{:.2f}", b.bits_per_weight), change(a.bits_per_weight, b.bits_per_weight)});
    bytes(say("memory planned", "计划内存"), a.planned_bytes, b.planned_bytes);
    out.rows.push_back(
        {say("precision, KV", "精度、KV"), a.precision + ", " + a.kv_type, b.precision + ", " + b.kv_type, ""});
    const auto speed = [&](std::string name, double x, double y) {
      out.rows.push_back({std::move(name), fmt::format("{:.1f}", x), fmt::format("{:.1f}", y), change(x, y)});
    };
    speed(say("tokens/s, windows", "token/秒，读窗口"), a.prefill_tps, b.prefill_tps);
    if (a.decode_tps && b.decode_tps) speed(say("tokens/s, decoding", "token/秒，解码"), *a.decode_tps, *b.decode_tps);
    return out;
  }

  static std::string types(const SideFigures& side) {
    std::string out;
    for (const auto& [type, bytes] : side.types) {
      const double share = static_cast<double>(bytes) / static_cast<double>(std::max<int64_t>(1, side.weight_bytes));
      if (share < 0.01) continue;
      out += fmt::format("{}{} {:.0f} %", out.empty() ? "" : ", ", type, 100 * share);
    }
    return out;
  }

  ReportTable groups(std::string title, std::string head, const std::vector<QualityGroup>& list) const {
    ReportTable out{std::move(title),
                    {},
                    {std::move(head), say("tokens", "token 数"), say("mean KLD", "平均 KLD"), say("99 %", "99 %"),
                     say("same top", "首选相同"), say("PPL A", "A 困惑度"), say("PPL B", "B 困惑度"),
                     say("ratio (95 % interval)", "比值（95 % 区间）")},
                    {}};
    for (const QualityGroup& group : list) {
      const DivergenceSummary& f = group.figures;
      out.rows.push_back(
          {group.name, fmt::format("{}", f.tokens), small_number(f.kld_mean), small_number(f.kld_p99),
           percent(f.top1_agreement), fmt::format("{:.3f}", f.ppl_a), fmt::format("{:.3f}", f.ppl_b),
           fmt::format("{:.4f} ({:.4f} … {:.4f})", f.ppl_ratio, f.ppl_ratio_ci.low, f.ppl_ratio_ci.high)});
    }
    return out;
  }

  ReportTable tensors() const {
    ReportTable out{say("Worst tensors", "误差最大的张量"),
                    say("Relative error: |B - A| / |A|. A fault is what rounding to B's type cannot explain.",
                        "相对误差：|B - A| / |A|。故障是指 B 的类型的舍入无法解释的差异。"),
                    {say("tensor", "张量"), say("types", "类型"), say("relative error", "相对误差"),
                     say("cosine", "余弦"), say("worst block", "最差的块"), say("fault", "故障")},
                    {}};
    for (const size_t index : r_.tensors.worst()) {
      const TensorFigures& t = r_.tensors.tensors[index];
      if (out.rows.size() >= kListedTensors && !t.fault) break;
      if (t.relative_error == 0) break;
      out.rows.push_back({t.name, t.type_a + " → " + t.type_b, small_number(t.relative_error),
                          fmt::format("{:.5f}", t.cosine), small_number(t.worst_block),
                          t.fault ? fault_text(*t.fault, language_) : "-"});
    }
    return out;
  }

  static std::string chance(const ScoredToken& token) {
    return fmt::format("“{}” ({:.1f} % / {:.1f} %)", shown(token.text), 100 * token.probability_a,
                       100 * token.probability_b);
  }

  ReportTable partings() const {
    ReportTable out{say("Where they part", "分歧之处"),
                    say("Places where A and B find another token likeliest, the largest divergences first; in "
                        "brackets what A and B give the token.",
                        "A 与 B 认为最可能的 token 不同之处，散度大的在前；括号中是 A 与 B 给该 token 的概率。"),
                    {say("text before", "前文"), say("the text goes on", "原文接着"), say("A's choice", "A 的选择"),
                     say("B's choice", "B 的选择"), "KLD"},
                    {}};
    for (const Parting& p : r_.partings) {
      out.rows.push_back({"… " + shown(p.context), chance(p.expected), chance(p.choice_a), chance(p.choice_b),
                          fmt::format("{:.3f}", p.kld)});
    }
    return out;
  }

  ReportTable tasks() const {
    const TaskFigures& t = *r_.tasks;
    const auto count = static_cast<double>(t.count());
    ReportTable out{say("Tasks", "任务"), {}, {say("figure", "指标"), "A", "B"}, {}};
    out.rows.push_back({say("right", "正确"), fmt::format("{} / {}", t.right_a, t.count()),
                        fmt::format("{} / {}", t.right_b, t.count())});
    out.rows.push_back({say("accuracy", "准确率"), percent(static_cast<double>(t.right_a) / count),
                        percent(static_cast<double>(t.right_b) / count)});
    out.rows.push_back({say("right alone", "仅自己正确"), fmt::format("{}", t.right_a - t.right_both),
                        fmt::format("{}", t.right_b - t.right_both)});
    return out;
  }

  ReportTable texts() const {
    ReportTable out{say("Texts", "文本"),
                    {},
                    {say("text", "文本"), say("kind", "种类"), "SHA-256", say("bytes", "字节"),
                     say("tokens", "token 数"), say("windows", "窗口")},
                    {}};
    for (const TextFigures& t : r_.texts) {
      out.rows.push_back({t.name, t.kind, t.sha256, fmt::format("{}", t.bytes), fmt::format("{}", t.tokens),
                          fmt::format("{}", t.windows)});
    }
    if (!r_.calibration_sha256.empty()) {
      out.rows.push_back({say("(calibration of B)", "（B 的校准文本）"), "-", r_.calibration_sha256, "-", "-", "-"});
    }
    return out;
  }

  const QualityReport& r_;
  Language language_;
};

}  // namespace

std::string small_number(double value) {
  if (value == 0) return "0";
  return std::abs(value) < 0.001 ? fmt::format("{:.2e}", value) : fmt::format("{:.4f}", value);
}

std::string fault_text(const TensorFault& fault, Language language) {
  const bool zh = language == Language::zh;
  switch (fault.kind) {
    case TensorFaultKind::scaled:
      return fmt::format(fmt::runtime(zh ? "被放大 {:.2f} 倍" : "scaled by {:.2f}"), fault.factor);
    case TensorFaultKind::zeroed:
      return zh ? "全为零" : "nothing but zeros";
    case TensorFaultKind::swapped:
      return fmt::format(fmt::runtime(zh ? "内容是 {}" : "holds what belongs in {}"), fault.other);
    case TensorFaultKind::differs:
      return zh ? "与 A 不相似" : "does not resemble A's";
    case TensorFaultKind::blocks:
      break;
  }
  if (std::abs(fault.factor) < 0.05) {
    return fmt::format(fmt::runtime(zh ? "{} 个块有误；最差的在第 {} 行第 {} 列起，为零"
                                       : "{} bad block(s); the worst, at row {}, column {}, is zeroed"),
                       fault.blocks, fault.row, fault.column);
  }
  return fmt::format(fmt::runtime(zh ? "{} 个块有误；最差的在第 {} 行第 {} 列起，为 A 的 {:.2f} 倍"
                                     : "{} bad block(s); the worst, at row {}, column {}, is {:.2f} times A's"),
                     fault.blocks, fault.row, fault.column, fault.factor);
}

std::string warning_text(const QualityWarning& warning, Language language) {
  const bool zh = language == Language::zh;
  switch (warning.kind) {
    case QualityWarning::Kind::few_tokens:
      return fmt::format(fmt::runtime(zh ? "只有 {:.0f} 个 token 计分：区间较宽，99 % 分位数意义不大"
                                         : "only {:.0f} tokens were scored: intervals are wide, and the 99 % quantile "
                                           "means little"),
                         warning.value);
    case QualityWarning::Kind::overlap:
      return fmt::format(fmt::runtime(zh ? "评估文本的 {:.1f} % 也在校准文本中"
                                         : "{:.1f} % of the evaluation text was in the calibration text, too"),
                         100 * warning.value);
    case QualityWarning::Kind::unread_text:
      break;
  }
  return fmt::format(
      fmt::runtime(zh ? "{}（{}）不足一个窗口，未被评估" : "{} ({}) fills no window and was not evaluated"),
      warning.text, warning.kind_of_text);
}

std::string report_title(const QualityReport& report, Language language) {
  return fmt::format(fmt::runtime(language == Language::zh ? "质量报告：{} 对照 {}" : "Quality report: {} against {}"),
                     report.b.name, report.a.name);
}

std::vector<std::string> report_verdict(const QualityReport& report, Language language) {
  const bool zh = language == Language::zh;
  std::vector<std::string> out;
  const DivergenceSummary& t = report.total;
  const double saved =
      1 - static_cast<double>(report.b.weight_bytes) / static_cast<double>(std::max<int64_t>(1, report.a.weight_bytes));
  out.push_back(fmt::format(
      fmt::runtime(
          zh ? "B 的权重比 A 小 {:.1f} %，困惑度变化 {:+.2f} %，{:.1f} % 的 token 首选相同。"
             : "B's weights are {:.1f} % smaller than A's; perplexity changes by {:+.2f} %; {:.1f} % of tokens "
               "have the same first choice."),
      100 * saved, 100 * (t.ppl_ratio - 1), 100 * t.top1_agreement));
  for (const TensorFigures& tensor : report.tensors.tensors) {
    if (!tensor.fault) continue;
    out.push_back(fmt::format(fmt::runtime(zh ? "故障：张量 {}：{}。" : "FAULT: tensor {}: {}."), tensor.name,
                              fault_text(*tensor.fault, language)));
  }
  for (const QualityWarning& warning : report.warnings) {
    out.push_back(fmt::format(fmt::runtime(zh ? "注意：{}。" : "Note: {}."), warning_text(warning, language)));
  }
  return out;
}

std::vector<ReportTable> report_tables(const QualityReport& report, Language language) {
  return Tables(report, language).all();
}

std::vector<std::string> report_method(const QualityReport& report, Language language) {
  const bool zh = language == Language::zh;
  return {
      fmt::format(fmt::runtime(zh ? "{} 个窗口，每窗 {} 个 token，从空缓存读入；对位置 {} 到 {} 的下一个 token 计分。"
                                  : "{} windows of {} tokens, each read from an empty cache; positions {} to {} are "
                                    "scored on the token that follows."),
                  report.windows, report.window, report.first_scored, report.last_scored),
      zh ? "散度为 KL(A ‖ B)，以自然对数计；分位数为精确值。"
         : "Divergences are KL(A ‖ B) in nats; quantiles are exact.",
      fmt::format(fmt::runtime(zh ? "区间：对{}做 {} 次配对自助抽样（百分位法，种子 {}）。"
                                  : "Intervals: paired bootstrap over {}, {} resamples, percentiles, seed {}."),
                  zh ? (report.resampled == "windows" ? std::string("窗口") : std::string("短片段")) : report.resampled,
                  report.resamples, report.seed),
  };
}

}  // namespace autoglm
