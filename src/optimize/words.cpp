#include "optimize/words.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/ledger.h"
#include "compress/quality_words.h"
#include "optimize/optimize.h"

namespace autoglm {
namespace {

std::string change(double before, double after) {
  return before > 0 && after > 0 ? fmt::format("{:+.1f} %", 100 * (after / before - 1)) : "-";
}

std::string percent(double share) { return fmt::format("{:.2f} %", 100 * share); }

/// Makes the words in one language.
class Words {
 public:
  Words(const OptimizeReport& report, Language language) : r_(report), language_(language) {}

  OptimizeWords all() const {
    OptimizeWords out;
    out.title = fmt::format(fmt::runtime(say("Optimized: {}", "优化报告：{}")), r_.source);
    out.verdict = verdict();
    out.summary = summary();
    out.plots = optimize_plots(r_, language_);
    out.tables = {settings(), forms(), trials(), quality(), stages(), texts()};
    std::erase_if(out.tables, [](const ReportTable& table) { return table.rows.empty(); });
    out.method = method();
    out.method_title = say("How the figures came about", "数据来源");
    out.undo = undo();
    out.undo_title = say("How to undo it", "如何撤销");
    out.recipe_title = say("Recipe: a type for each tensor, for `autoglm quantize --recipe`",
                           "配方：每个张量的类型，可用于 `autoglm quantize --recipe`");
    if (r_.chosen) out.recipe = r_.forms[*r_.chosen].recipe.yaml();
    return out;
  }

 private:
  std::string say(std::string_view en, std::string_view zh) const { return std::string(Text{en, zh}.in(language_)); }
  template <typename... Values>
  std::string put(std::string_view en, std::string_view zh, const Values&... values) const {
    return fmt::format(fmt::runtime(Text{en, zh}.in(language_)), values...);
  }

  std::vector<std::string> verdict() const {
    std::vector<std::string> out;
    const WorkloadFigures &b = r_.before.run, &a = r_.after.run;
    switch (r_.verdict) {
      case Verdict::improved:
        out.push_back(
            put("The model as {} is {} on disk instead of {}; a request of the workload “{}” takes {} instead "
                "of {} (median), with {} of memory instead of {}.",
                "模型以 {} 形式存储，磁盘占用 {}（原为 {}）；“{}”负载下一个请求的中位用时为 {}（原为 {}），内存 "
                "{}（原为 {}）。",
                r_.forms[*r_.chosen].name, format_bytes(r_.after.file_bytes), format_bytes(r_.before.file_bytes),
                r_.workload, milliseconds_text(a.end_to_end_ms.p50), milliseconds_text(b.end_to_end_ms.p50),
                format_bytes(a.peak_rss_bytes), format_bytes(b.peak_rss_bytes)));
        break;
      case Verdict::tuned:
        out.push_back(
            put("The model stays as it is; with the settings below a request takes {} instead of {} (median).",
                "模型保持不变；使用下列设置后，一个请求的中位用时为 {}（原为 {}）。",
                milliseconds_text(a.end_to_end_ms.p50), milliseconds_text(b.end_to_end_ms.p50)));
        break;
      case Verdict::nothing:
        out.push_back(
            say("Nothing that was tried is better than the model with default settings, so that is what was "
                "written.",
                "没有比默认设置下的原模型更好的结果，因此写出的就是默认值。"));
        break;
      case Verdict::interrupted:
        out.push_back(r_.chosen ? say("Interrupted: this is the best form so far, not yet tuned nor compared in pairs.",
                                      "已中断：这是目前最好的候选，尚未调优，也未成对比较。")
                                : say("Interrupted before any form was better: this is the model as it was.",
                                      "已中断：尚无更好的候选，这里是原模型。"));
        break;
    }
    if (r_.source_quantized && !r_.requantized) out.push_back(quantized_note());
    if (r_.requantized) {
      out.push_back(say("The source is already quantized; the errors of both roundings add up (--requantize).",
                        "来源已经量化过；两次舍入的误差会叠加（--requantize）。"));
    }
    if (r_.after.quality) {
      out.push_back(
          put("Against the source's exact answers it loses {} nats a token (limit {}); {} of the tokens have "
              "the same first choice.",
              "与来源的精确结果相比，每个 token 损失 {}（上限 {}）；{} 的 token 首选相同。",
              small_number(r_.after.quality->kld_mean), small_number(r_.limits.max_kld),
              percent(r_.after.quality->top1_agreement)));
    }
    return out;
  }

  std::string quantized_note() const {
    if (r_.bf16_bytes.size() < 2) return {};
    return put(
        "The source is already quantized ({}), so its weights were left alone: rounding them again adds errors to "
        "errors. Its BF16 source would give forms from about {} (4.5 bits a weight) to {} (8.5 bits), chosen by "
        "measured sensitivity, with a report of what each loses; --requantize does it all the same.",
        "来源已经量化过（{}），因此不改动权重：再次舍入会使误差叠加。若从 BF16 来源开始，可得到约 {}（每权重 4.5 "
        "位）到 "
        "{}（8.5 位）的多种形式，按实测敏感度选择，并报告各自的损失；--requantize 可强制执行。",
        r_.source_types, format_bytes(r_.bf16_bytes[0]), format_bytes(r_.bf16_bytes[1]));
  }

  ReportTable summary() const {
    ReportTable out{say("Before and after", "优化前后"),
                    {},
                    {"", say("before", "之前"), say("after", "之后"), say("change", "变化")},
                    {}};
    const WorkloadFigures &b = r_.before.run, &a = r_.after.run;
    const auto time = [&](std::string name, double x, double y) {
      out.rows.push_back({std::move(name), milliseconds_text(x), milliseconds_text(y), change(x, y)});
    };
    const auto bytes = [&](std::string name, int64_t x, int64_t y) {
      out.rows.push_back(
          {std::move(name), format_bytes(x), format_bytes(y), change(static_cast<double>(x), static_cast<double>(y))});
    };
    time(say("end to end, p50", "端到端，p50"), b.end_to_end_ms.p50, a.end_to_end_ms.p50);
    time("p95", b.end_to_end_ms.p95, a.end_to_end_ms.p95);
    time("p99", b.end_to_end_ms.p99, a.end_to_end_ms.p99);
    time(say("first token, p50", "首个 token，p50"), b.first_token_ms.p50, a.first_token_ms.p50);
    time("p99", b.first_token_ms.p99, a.first_token_ms.p99);
    time(say("gap between tokens, p50", "token 间隔，p50"), b.gap_ms.p50, a.gap_ms.p50);
    time("p99", b.gap_ms.p99, a.gap_ms.p99);
    out.rows.push_back({say("throughput, tokens/s", "吞吐量，token/秒"), fmt::format("{:.1f}", b.throughput_tps),
                        fmt::format("{:.1f}", a.throughput_tps), change(b.throughput_tps, a.throughput_tps)});
    bytes(say("peak memory", "内存峰值"), b.peak_rss_bytes, a.peak_rss_bytes);
    bytes(say("file", "文件"), r_.before.file_bytes, r_.after.file_bytes);
    out.rows.push_back({say("bits a weight", "每个权重的位数"), fmt::format("{:.2f}", r_.before.bits_per_weight),
                        fmt::format("{:.2f}", r_.after.bits_per_weight),
                        change(r_.before.bits_per_weight, r_.after.bits_per_weight)});
    if (r_.before.quality && r_.after.quality) add_quality(out);
    return out;
  }

  void add_quality(ReportTable& out) const {
    const DivergenceSummary &b = *r_.before.quality, &a = *r_.after.quality;
    out.rows.push_back({say("mean KL divergence from the exact source", "与精确来源的平均 KL 散度"),
                        small_number(b.kld_mean), small_number(a.kld_mean),
                        fmt::format("{:+.4f}", a.kld_mean - b.kld_mean)});
    out.rows.push_back({say("same likeliest token", "最可能 token 相同"), percent(b.top1_agreement),
                        percent(a.top1_agreement),
                        fmt::format("{:+.2f} %", 100 * (a.top1_agreement - b.top1_agreement))});
    out.rows.push_back({say("perplexity", "困惑度"), fmt::format("{:.3f}", b.ppl_b), fmt::format("{:.3f}", a.ppl_b),
                        change(b.ppl_b, a.ppl_b)});
  }

  ReportTable settings() const {
    ReportTable out{say("Settings", "设置"),
                    say("What autoglm.yaml says beside the model; everything else is the default.",
                        "autoglm.yaml 中除模型以外的内容；其他均为默认值。"),
                    {say("setting", "设置"), say("value", "值"), say("default", "默认"), say("reason", "理由")},
                    {}};
    for (const SettingRecord& s : r_.settings) {
      out.rows.push_back({s.key, s.value, s.default_value, say(s.reason_en, s.reason_zh)});
    }
    return out;
  }

  std::string fate(size_t index, const std::vector<FormFigures>& figures) const {
    const FormRecord& form = r_.forms[index];
    if (r_.chosen == index) return say("chosen", "选中");
    if (form.form.damaged) return put("damaged: {}", "损坏：{}", form.damage);
    const bool made = form.form.measured.has_value();
    switch (refusal(figures[index], r_.limits)) {
      case Refusal::bytes:
        return made ? say("too large", "过大") : say("expected to be too large", "预计过大");
      case Refusal::memory:
        return made ? say("takes too much memory", "占用内存过多")
                    : say("expected to take too much memory", "预计占用内存过多");
      case Refusal::quality:
        return made ? say("loses too much", "质量损失过大") : say("expected to lose too much", "预计质量损失过大");
      case Refusal::damaged:
      case Refusal::none:
        break;
    }
    return made ? say("obeys the limits; another one serves the goal better", "符合限制，但另一个更符合目标")
                : say("not made: another one promised more", "未制作：另一个更有希望");
  }

  ReportTable forms() const {
    ReportTable out{say("Forms of the model that were considered", "考虑过的模型形式"),
                    say("~: predicted, from what was measured of the others.", "~：根据已测量的其他形式预测。"),
                    {say("form", "形式"), say("file", "文件"), say("mean KLD", "平均 KLD"),
                     say("end to end, p50", "端到端 p50"), say("peak memory", "内存峰值"), say("outcome", "结果")},
                    {}};
    std::vector<ModelForm> known;
    for (const FormRecord& form : r_.forms) known.push_back(form.form);
    const std::vector<FormFigures> figures = estimate(known);
    for (size_t i = 0; i < r_.forms.size(); ++i) {
      const FormRecord& form = r_.forms[i];
      const std::string mark = form.form.measured ? "" : "~";
      const FormFigures& f = figures[i];
      out.rows.push_back({form.name + (form.method.empty() ? "" : ", " + form.method), mark + format_bytes(f.bytes),
                          mark + small_number(f.kld), mark + milliseconds_text(f.ms), mark + format_bytes(f.memory),
                          fate(i, figures)});
    }
    return out;
  }

  ReportTable trials() const {
    ReportTable out{say("Settings that were tried", "尝试过的设置"),
                    say("Cost: of the default's, measured in alternation; below 1 is better.",
                        "代价：与默认值交替测量之比；小于 1 更好。"),
                    {say("settings", "设置"), say("cost", "代价"), say("kept", "采用")},
                    {}};
    for (const TrialRecord& trial : r_.trials) {
      out.rows.push_back(
          {trial.settings, fmt::format("{:.3f}", trial.ratio), trial.kept ? say("yes", "是") : say("no", "否")});
    }
    return out;
  }

  ReportTable quality() const {
    if (!r_.quality || !r_.chosen) return {};
    ReportTable out = report_tables(*r_.quality, language_).front();
    out.title = say("Quality of what was written (B) against the source's exact path (A)",
                    "所写模型（B）与来源精确路径（A）的质量对比");
    return out;
  }

  ReportTable stages() const {
    ReportTable out{
        say("What was done", "完成的工作"),
        put("Budget {:.0f} s, taken {:.0f} s.", "时间预算 {:.0f} 秒，实际 {:.0f} 秒。", r_.budget, r_.seconds),
        {say("stage", "阶段"), say("predicted", "预计"), say("taken", "实际"), say("memory, predicted", "内存（预计）"),
         say("taken", "实际"), say("disk, predicted", "磁盘（预计）")},
        {}};
    for (const StageRecord& s : r_.stages) {
      out.rows.push_back({std::string(title(s.stage).in(language_)), fmt::format("{:.0f} s", s.predicted.seconds),
                          s.seconds ? fmt::format("{:.0f} s", *s.seconds) : "-", format_bytes(s.predicted.memory),
                          s.memory ? format_bytes(*s.memory) : "-", format_bytes(s.predicted.disk)});
    }
    return out;
  }

  ReportTable texts() const {
    ReportTable out{
        say("Texts", "文本"), {}, {say("use", "用途"), say("text", "文本"), say("windows", "窗口"), "SHA-256"}, {}};
    const auto add = [&](std::string use, const TextRecord& text) {
      if (text.name.empty()) return;
      const std::string name =
          text.own ? put("written by the model itself ({})", "由模型自己生成（{}）", text.name) : text.name;
      out.rows.push_back({std::move(use), name, fmt::format("{}", text.windows), text.sha256});
    };
    add(say("calibration", "校准"), r_.calibration);
    add(say("judgement", "评估"), r_.evaluation);
    return out;
  }

  std::vector<std::string> method() const {
    std::vector<std::string> out;
    out.push_back(put("Goal: {}. Limits: {}.", "目标：{}。限制：{}。", name(r_.goal), limits()));
    out.push_back(
        put("Each run of the workload is a process of its own with {} requests; memory is its peak resident "
            "set.",
            "负载的每次运行都是独立进程，含 {} 个请求；内存为其常驻集峰值。", r_.effort.requests));
    if (r_.comparison) {
      out.push_back(
          put("Before and after ran in {} alternating pairs: the ratio of their medians end to end is {:.3f} "
              "({:.3f} … {:.3f}, 95 %).",
              "优化前后交替运行 {} 对：端到端中位数之比为 {:.3f}（95 % 区间 {:.3f} … {:.3f}）。", r_.comparison->pairs,
              r_.comparison->ratio, r_.comparison->low, r_.comparison->high));
    }
    for (const Shrunk& shrunk : r_.shrunk) {
      out.push_back(put("To fit the time budget: {}.", "为符合时间预算：{}。", shrunk_words(shrunk, language_)));
    }
    return out;
  }

  std::string limits() const {
    std::string out = put("mean divergence {}", "平均散度 {}", small_number(r_.limits.max_kld));
    if (r_.limits.max_bytes > 0) out += put(", file {}", "，文件 {}", format_bytes(r_.limits.max_bytes));
    if (r_.limits.max_memory > 0) out += put(", memory {}", "，内存 {}", format_bytes(r_.limits.max_memory));
    return out;
  }

  std::vector<std::string> undo() const {
    std::vector<std::string> out;
    out.push_back(put("The source was not changed: {}.", "来源没有改动：{}。", r_.source_path.string()));
    out.push_back(put("Use it: autoglm serve --config {}", "使用优化结果：autoglm serve --config {}", r_.config));
    out.push_back(put("Undo it: autoglm serve {}, and remove the folder {}; nothing else was written.",
                      "撤销：autoglm serve {}，并删除文件夹 {}；没有写入其他内容。", r_.source,
                      std::filesystem::path(r_.config).parent_path().string()));
    if (r_.linked) {
      out.push_back(say("model.gguf is another name of the source's file and takes no space of its own.",
                        "model.gguf 是来源文件的另一个名称，不占用额外空间。"));
    }
    return out;
  }

  const OptimizeReport& r_;
  Language language_;
};

}  // namespace

std::string milliseconds_text(double ms) {
  if (ms >= 10000) return fmt::format("{:.1f} s", ms / 1000);
  return ms >= 100 ? fmt::format("{:.0f} ms", ms) : fmt::format("{:.2f} ms", ms);
}

OptimizeWords optimize_words(const OptimizeReport& report, Language language) { return Words(report, language).all(); }

std::vector<std::string> plan_words(const OptimizeReport& r, Language language) {
  const bool zh = language == Language::zh;
  std::vector<std::string> out;
  double sum = 0;
  for (const StageRecord& s : r.stages) {
    sum += s.predicted.seconds;
    out.push_back(fmt::format(
        fmt::runtime(zh ? "  约 {:>4.0f} 秒，内存 {}，磁盘 {}：{}" : "  about {:>4.0f} s, memory {}, disk {}: {}"),
        s.predicted.seconds, format_bytes(s.predicted.memory), format_bytes(s.predicted.disk),
        title(s.stage).in(language)));
  }
  out.insert(out.begin(), fmt::format(fmt::runtime(zh ? "计划：预计 {:.0f} 秒，预算 {:.0f} 秒"
                                                      : "plan: about {:.0f} s of a budget of {:.0f} s"),
                                      sum, r.budget));
  for (const Shrunk& shrunk : r.shrunk) {
    out.push_back(
        fmt::format(fmt::runtime(zh ? "  为符合预算：{}" : "  to fit the budget: {}"), shrunk_words(shrunk, language)));
  }
  return out;
}

}  // namespace autoglm
