// Whole reports of tiny models, against logits computed the plain way.
#include "compress/quality_report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "compress/altered_model.h"
#include "compress/quality_divergence.h"
#include "compress/quality_words.h"
#include "compress/quality_writers.h"
#include "model/model_support.h"
#include "model/runtime.h"
#include "support/errors.h"
#include "support/read_file.h"
#include "support/temporary_folder.h"

namespace autoglm {
namespace {

using test::AlteredModel;

constexpr int64_t kWindow = 32;

// Words of a small language, so that the models' vocabulary of letters has something to read.
std::string prose(int sentences, int seed) {
  const char* words[] = {"the", "model", "reads", "a", "text", "and", "counts", "what", "it", "has", "lost"};
  std::string out;
  uint64_t state = static_cast<uint64_t>(seed);
  for (int i = 0; i < sentences * 8; ++i) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    out += std::string(words[(state >> 33) % 11]) + (i % 8 == 7 ? ".\n" : " ");
  }
  return out;
}

/// A loaded model with all that it needs.
struct Side {
  std::shared_ptr<const ModelSource> source;
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<Model> model;
  QualityModel side;

  Side(std::shared_ptr<const ModelSource> from, Runtime& runtime, const std::string& name, const Tokenizer* words)
      : source(std::move(from)) {
    LoadOptions options = quality_load_options({}, kWindow);
    options.precision = Precision::f32;
    options.kv_type = KvType::f32;
    model = Model::load(source, runtime, options);
    if (words == nullptr) tokenizer = load_tokenizer(*source);
    side = {model.get(), words != nullptr ? words : tokenizer.get(), source.get(), name};
  }
};

class Report : public testing::Test {
 protected:
  Report() {
    const auto random = test::random_source(test::tiny_llama(), Type::f32);
    write_random_model(*random, folder_ / "a.gguf", {});
    source_a_ = open_model(folder_ / "a.gguf");
    a_ = std::make_unique<Side>(source_a_, runtime_, "a", nullptr);
  }

  Side altered(Type type, const test::Alter& alter = {}) {
    return {std::make_shared<AlteredModel>(*source_a_, type, alter), runtime_, "b", a_->tokenizer.get()};
  }

  QualityReport report(const Side& b, const QualityOptions& options) {
    return make_quality_report(a_->side, b.side, texts_, runtime_, options);
  }

  static QualityOptions small() {
    QualityOptions options;
    options.window = kWindow;
    options.resamples = 200;
    options.speed = false;
    return options;
  }

  test::TemporaryFolder folder_;
  Runtime runtime_ = test::test_runtime("auto", 2);
  std::shared_ptr<const ModelSource> source_a_;
  std::unique_ptr<Side> a_;
  std::vector<EvaluationText> texts_ = {{"one.txt", "prose", prose(12, 1)}, {"two.txt", "code", prose(9, 2)}};
};

TEST_F(Report, FiguresAreThoseOfAllLogits) {
  const Side b = altered(Type::q4_0);
  const QualityReport got = report(b, small());
  double kld = 0, loss_a = 0, loss_b = 0;
  int64_t count = 0, same = 0;
  std::vector<double> all;
  for (const EvaluationText& text : texts_) {
    EncodeOptions encode;
    encode.add_special = true;
    const auto tokens = a_->tokenizer->encode(text.text, encode);
    for (size_t begin = 0; begin + kWindow <= tokens.size(); begin += kWindow) {
      std::vector<int32_t> part(tokens.begin() + static_cast<int64_t>(begin),
                                tokens.begin() + static_cast<int64_t>(begin) + kWindow);
      if (a_->tokenizer->adds_bos()) part[0] = *a_->tokenizer->bos();
      const auto x = test::run_tokens(a_->source, "auto", part);
      const auto y = test::run_tokens(b.source, "auto", part);
      const auto v = static_cast<size_t>(got.vocabulary);
      for (size_t position = kWindow / 2; position + 1 < kWindow; ++position) {
        const auto p = test::log_softmax(std::span(x).subspan(position * v, v));
        const auto q = test::log_softmax(std::span(y).subspan(position * v, v));
        double sum = 0;
        for (size_t i = 0; i < v; ++i) sum += std::exp(p[i]) * (p[i] - q[i]);
        all.push_back(sum);
        kld += sum;
        loss_a -= p[static_cast<size_t>(part[position + 1])];
        loss_b -= q[static_cast<size_t>(part[position + 1])];
        same += std::ranges::max_element(p) - p.begin() == std::ranges::max_element(q) - q.begin() ? 1 : 0;
        ++count;
      }
    }
  }
  ASSERT_GT(count, 0);
  const auto n = static_cast<double>(count);
  EXPECT_EQ(got.total.tokens, count);
  EXPECT_NEAR(got.total.kld_mean, kld / n, 1e-7);
  EXPECT_NEAR(got.total.ppl_a, std::exp(loss_a / n), 1e-5 * got.total.ppl_a);
  EXPECT_NEAR(got.total.ppl_b, std::exp(loss_b / n), 1e-5 * got.total.ppl_b);
  EXPECT_NEAR(got.total.top1_agreement, static_cast<double>(same) / n, 1e-12);
  EXPECT_NEAR(got.total.kld_max, *std::ranges::max_element(all), 1e-6);
  EXPECT_GT(got.total.kld_mean, 0);
  EXPECT_LE(got.total.kld_mean_ci.low, got.total.kld_mean);
  EXPECT_GE(got.total.kld_mean_ci.high, got.total.kld_mean);
}

TEST_F(Report, AModelAgainstItselfHasLostNothing) {
  const QualityReport got = make_quality_report(a_->side, a_->side, texts_, runtime_, small());
  EXPECT_EQ(got.total.kld_mean, 0);
  EXPECT_EQ(got.total.kld_max, 0);
  EXPECT_EQ(got.total.top1_agreement, 1);
  EXPECT_EQ(got.total.top5_agreement, 1);
  EXPECT_EQ(got.total.ppl_ratio, 1);
  EXPECT_EQ(got.total.ppl_ratio_ci.low, 1);
  EXPECT_EQ(got.total.ppl_ratio_ci.high, 1);
  EXPECT_TRUE(got.partings.empty());
}

TEST_F(Report, PartsAddUpToTheWhole) {
  const QualityReport got = report(altered(Type::q4_0), small());
  for (const auto* groups : {&got.by_position, &got.by_kind}) {
    int64_t tokens = 0;
    double kld = 0;
    for (const QualityGroup& group : *groups) {
      tokens += group.figures.tokens;
      kld += group.figures.kld_mean * static_cast<double>(group.figures.tokens);
    }
    EXPECT_EQ(tokens, got.total.tokens);
    EXPECT_NEAR(kld / static_cast<double>(tokens), got.total.kld_mean, 1e-9);
  }
  ASSERT_EQ(got.by_kind.size(), 2u);
  EXPECT_EQ(got.by_kind[0].name, "prose");
  EXPECT_EQ(got.by_kind[1].name, "code");
  EXPECT_EQ(std::ssize(got.kld_by_window), got.windows);
  ASSERT_EQ(got.texts.size(), 2u);
  EXPECT_EQ(got.texts[0].sha256.size(), 64u);
  EXPECT_EQ(got.texts[0].windows + got.texts[1].windows, got.windows);
  EXPECT_EQ(got.memory_bytes, got.total.tokens * 36);
}

TEST_F(Report, IsTheSameOnAnyNumberOfThreads) {
  const Side b = altered(Type::q4_0);
  nlohmann::json first;
  for (const int threads : {1, 2, 3}) {
    Runtime runtime = test::test_runtime("auto", threads);
    const Side x(source_a_, runtime, "a", nullptr);
    const Side y(b.source, runtime, "b", x.tokenizer.get());
    QualityReport got = make_quality_report(x.side, y.side, texts_, runtime, small());
    got.a.prefill_tps = got.b.prefill_tps = 0;      // times are nobody's promise
    got.a.planned_bytes = got.b.planned_bytes = 0;  // scratch is a thread's own
    const nlohmann::json json = quality_json(got);
    if (threads == 1) first = json;
    EXPECT_EQ(json, first) << threads;
  }
}

TEST_F(Report, PartingsAreTheLargestAndShowTheirText) {
  QualityOptions options = small();
  options.most_partings = 1000;
  const Side b = altered(Type::q2_k);
  const QualityReport all = report(b, options);
  ASSERT_GT(all.partings.size(), 3u);
  const auto differ = static_cast<double>(all.partings.size()) / static_cast<double>(all.total.tokens);
  EXPECT_NEAR(differ, 1 - all.total.top1_agreement, 1e-12);
  options.most_partings = 3;
  const QualityReport few = report(b, options);
  ASSERT_EQ(few.partings.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(few.partings[i].kld, all.partings[i].kld);
    EXPECT_NE(few.partings[i].choice_a.id, few.partings[i].choice_b.id);
    EXPECT_GE(few.partings[i].choice_a.probability_a, few.partings[i].choice_b.probability_a);
    EXPECT_GE(few.partings[i].choice_b.probability_b, few.partings[i].choice_a.probability_b);
    const auto& text = few.partings[i].source == "one.txt" ? texts_[0].text : texts_[1].text;
    EXPECT_THAT(text, testing::HasSubstr(few.partings[i].context.substr(few.partings[i].context.size() / 2)));
  }
  EXPECT_GE(few.partings[0].kld, few.partings[1].kld);
}

TEST_F(Report, FewerWindowsAreSpreadOverTheTexts) {
  QualityOptions options = small();
  options.max_windows = 4;
  const QualityReport got = report(altered(Type::q8_0), options);
  EXPECT_EQ(got.windows, 4);
  EXPECT_GT(got.texts[0].windows, 0);
  EXPECT_GT(got.texts[1].windows, 0);
}

TEST_F(Report, AFaultIsNamedAndShowsInEveryForm) {
  const Side b = altered(Type::q4_0, [](const TensorEntry& t, std::vector<float>& values) {
    if (t.name == "blk.1.ffn_down.weight") {
      for (float& value : values) value *= 2;
    }
  });
  const QualityReport got = report(b, small());
  const nlohmann::json json = quality_json(got);
  EXPECT_EQ(json["faults"], nlohmann::json::array({"blk.1.ffn_down.weight"}));
  EXPECT_EQ(json["tensors"][0]["fault"]["kind"], "scaled");
  EXPECT_THAT(quality_markdown(got, Language::en), testing::HasSubstr("FAULT: tensor blk.1.ffn\\_down.weight"));
  EXPECT_THAT(quality_html(got, Language::zh), testing::HasSubstr("故障：张量 blk.1.ffn_down.weight"));
}

TEST_F(Report, LogitsThatAreNoNumbersNameTheTensor) {
  // Finite weights whose products are not.
  const Side b = altered(Type::f32, [](const TensorEntry& t, std::vector<float>& values) {
    if (t.name == "blk.0.ffn_down.weight") {
      for (float& value : values) value = value < 0 ? -3e38f : 3e38f;
    }
  });
  EXPECT_ERROR(report(b, small()), Code::numeric, "blk.0.ffn_down.weight");
}

TEST_F(Report, OtherVocabulariesAndTokenizersAreRefused) {
  ModelShape shape = test::tiny_llama();
  const std::string vocabulary = "\"vocab_size\":256";
  shape.config.replace(shape.config.find(vocabulary), vocabulary.size(), "\"vocab_size\":300");
  const auto random = test::random_source(shape, Type::f32);
  write_random_model(*random, folder_ / "c.gguf", {});
  const Side c(open_model(folder_ / "c.gguf"), runtime_, "c", nullptr);
  EXPECT_ERROR(report(c, small()), Code::bad_request, "different vocabularies: a has 256 tokens, c has 300");
  Side d = altered(Type::f32);
  d.side.tokenizer = c.tokenizer.get();
  EXPECT_ERROR(report(d, small()), Code::bad_request, "different tokenizers");
}

TEST_F(Report, TextsThatFillNoWindowAreRefusedOrSaid) {
  texts_.push_back({"three.txt", "short", "a"});
  const QualityReport got = report(altered(Type::q8_0), small());
  EXPECT_THAT(report_verdict(got, Language::en),
              testing::Contains(testing::HasSubstr("three.txt (short) fills no window")));
  EXPECT_THAT(report_verdict(got, Language::zh),
              testing::Contains(testing::HasSubstr("three.txt（short）不足一个窗口")));
  texts_ = {{"three.txt", "short", "a"}};
  EXPECT_ERROR(report(altered(Type::q8_0), small()), Code::bad_file, "less than a window of 32");
}

TEST_F(Report, ProgressCountsUpAndMayEndIt) {
  QualityOptions options = small();
  options.speed = true;
  std::set<QualityStage> stages;
  options.progress = [&](QualityStage stage, int64_t done, int64_t total) {
    stages.insert(stage);
    EXPECT_GT(done, 0);
    EXPECT_LE(done, total);
  };
  const QualityReport got = report(altered(Type::q8_0), options);
  EXPECT_THAT(stages, testing::ElementsAre(QualityStage::tensors, QualityStage::windows, QualityStage::speed));
  EXPECT_GT(*got.b.decode_tps, 0);
  options.progress = [&](QualityStage stage, int64_t, int64_t) {
    if (stage == QualityStage::windows) fail(Code::interrupted, "interrupted");
  };
  EXPECT_ERROR(report(altered(Type::q8_0), options), Code::interrupted, "interrupted");
}

TEST_F(Report, TasksAreAnsweredByLikelihoodAndByWriting) {
  // The likelihood of choices, by their bytes.
  const std::vector<std::string> choices = {" reads", " counts", " lost it", "z"};
  double best = -INFINITY;
  int64_t answer = 0;
  for (size_t c = 0; c < choices.size(); ++c) {
    const auto whole = a_->tokenizer->encode("the text" + choices[c], {.add_special = true});
    const auto before = a_->tokenizer->encode("the text", {.add_special = true});
    const auto border = static_cast<size_t>(std::ranges::mismatch(before, whole).in1 - before.begin());
    const auto logits = test::run_tokens(a_->source, "auto", whole);
    double sum = 0;
    for (size_t i = border; i < whole.size(); ++i) {
      sum += test::log_softmax(std::span(logits).subspan((i - 1) * 256, 256))[static_cast<size_t>(whole[i])];
    }
    if (sum / static_cast<double>(choices[c].size()) > best) {
      best = sum / static_cast<double>(choices[c].size());
      answer = static_cast<int64_t>(c);
    }
  }
  QualityOptions options = small();
  options.tasks = {{1, "the text", choices, answer, {}},
                   {2, "the text", choices, (answer + 1) % 4, {}},
                   {3, "the model", {}, 0, "never written"}};
  const QualityReport got = make_quality_report(a_->side, a_->side, texts_, runtime_, options);
  ASSERT_TRUE(got.tasks);
  EXPECT_EQ(got.tasks->choice_tasks, 2);
  EXPECT_EQ(got.tasks->exact_tasks, 1);
  EXPECT_EQ(got.tasks->right_a, 1);
  EXPECT_EQ(got.tasks->right_both, 1);
  EXPECT_TRUE(got.tasks->lost.empty());
  options.tasks = {{1, "the text that is much longer than any window of this test can be", choices, 0, {}}};
  EXPECT_ERROR(make_quality_report(a_->side, a_->side, texts_, runtime_, options), Code::context_exceeded, "line 1");
}

TEST_F(Report, FilesOfAllFormsAndOneByItsEnding) {
  const QualityReport got = report(altered(Type::q4_0), small());
  EXPECT_EQ(write_quality_report(got, folder_ / "out", Language::en).size(), 3u);
  const auto json = nlohmann::json::parse(test::read_file(folder_ / "out" / "report.json"));
  EXPECT_EQ(json["schema_version"], QualityReport::kSchemaVersion);
  EXPECT_THAT(test::read_file(folder_ / "out" / "report.md"), testing::HasSubstr("# Quality report: b against a"));
  write_quality_report(got, folder_ / "page.html", Language::zh);
  EXPECT_THAT(test::read_file(folder_ / "page.html"), testing::HasSubstr("<html lang=\"zh\">"));
  EXPECT_ERROR(check_quality_output(folder_ / "no" / "where"), Code::bad_flag, "is not there");
  EXPECT_ERROR(check_quality_output(folder_ / "a.gguf"), Code::bad_flag, "is not a folder");
}

TEST_F(Report, ThePageStandsAloneAndEscapesWhatItShows) {
  QualityReport got = report(altered(Type::q2_k), small());
  const std::string evil = "<script>alert(1)</script>|\"'&";
  got.b.name = evil;
  got.texts[0].name = evil;
  ASSERT_FALSE(got.partings.empty());
  got.partings[0].context = evil + "\x01";
  got.by_kind[0].name = evil;
  got.tensors.tensors[0].name = evil;
  got.warnings = {{QualityWarning::Kind::unread_text, 0, evil, evil}};
  for (const Language language : {Language::en, Language::zh}) {
    const std::string page = quality_html(got, language);
    EXPECT_EQ(page.find("<script"), std::string::npos);
    for (const char* outside : {"http:", "https:", "src=", "href=", "url(", "@import", "<link"}) {
      EXPECT_EQ(page.find(outside), std::string::npos) << outside;
    }
    EXPECT_THAT(page, testing::HasSubstr("prefers-color-scheme: dark"));
    size_t plots = 0;
    for (size_t at = page.find("<svg"); at != std::string::npos; at = page.find("<svg", at + 1)) ++plots;
    EXPECT_EQ(plots, 5u);
    EXPECT_EQ(page.find("nan"), std::string::npos);
    EXPECT_EQ(page.find("inf\""), std::string::npos);
    const std::string markdown = quality_markdown(got, language);
    EXPECT_EQ(markdown.find("<script"), std::string::npos);
  }
}

}  // namespace
}  // namespace autoglm
