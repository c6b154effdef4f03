// Channels scaled by anything: the model must compute the same, in every family.
#include "model/channel_scales.h"

#include <random>
#include <set>

#include "model/convert.h"
#include "model/families/family.h"
#include "model/model_support.h"
#include "model/random_weights.h"
#include "model/tiny_shapes.h"

namespace autoglm::test {
namespace {

class ChannelScalesTest : public testing::TestWithParam<std::string> {
 protected:
  /// The model in F32 with scales folded in; tensors of `without` keep theirs at 1.
  std::shared_ptr<const ModelSource> fold(const ModelSource& source, const ChannelScales& scales,
                                          std::optional<Role> without = std::nullopt) {
    ConvertOptions options;
    options.type = Type::f32;
    options.adjust = [&](const LocatedTensor& tensor, int64_t row, std::span<float> values) {
      if (tensor.row->role == without) return;
      const std::vector<float> before(values.begin(), values.end());
      TensorScales(scales, tensor).apply(tensor, row, values);
      if (!std::equal(before.begin(), before.end(), values.begin())) changed_.insert(tensor.row->role);
    };
    convert_model(source, scratch_.path() / "folded.gguf", options);
    return open_model(scratch_.path() / "folded.gguf");
  }

  std::set<Role> changed_;
  TemporaryFolder scratch_;
};

/// Scales from 1/8 to 8 for all channels of all sites, or of one.
ChannelScales random_scales(const ArchSpec& spec, const ScaleSite* only = nullptr) {
  ChannelScales out(spec);
  std::mt19937 random(3);
  for (const ScaledChannels& channels : scaled_channels(spec)) {
    if (only && channels.site != only) continue;
    std::vector<float> scales(static_cast<size_t>(channels.values()));
    for (float& scale : scales) scale = std::exp2(static_cast<float>(random() % 6001) / 1000.0f - 3.0f);
    out.set(channels, std::move(scales));
  }
  return out;
}

TEST_P(ChannelScalesTest, TheModelComputesTheSame) {
  const Golden golden = read_golden(GetParam());
  const auto source = open_golden(GetParam(), "config.json", scratch_.path());
  const ArchSpec spec = read_spec(*source);
  const auto folded = fold(*source, random_scales(spec));
  const auto expected = run_tokens(source, "ref", golden.tokens);
  EXPECT_LT(max_error(run_tokens(folded, "ref", golden.tokens), expected), 3e-4);
  EXPECT_LT(max_error(run_tokens(folded, "auto", golden.tokens), golden.logits), 1e-3);
  // It is another file all the same: every tensor that a site names and the model has was changed.
  std::set<Role> named;
  for (const ScaledChannels& channels : scaled_channels(spec)) {
    for (const auto& roles : {channels.site->writers, channels.site->readers}) named.insert(roles.begin(), roles.end());
  }
  for (const LocatedTensor& tensor : locate_tensors(spec, *source)) {
    EXPECT_EQ(changed_.contains(tensor.row->role), named.contains(tensor.row->role)) << tensor.row->word;
  }
  EXPECT_TRUE(changed_.contains(Role::attention_output));
}

// What would be seen if a tensor were forgotten: each of them matters.
TEST_P(ChannelScalesTest, EachSideMatters) {
  const Golden golden = read_golden(GetParam());
  const auto source = open_golden(GetParam(), "config.json", scratch_.path());
  const ArchSpec spec = read_spec(*source);
  const auto expected = run_tokens(source, "auto", golden.tokens);
  for (const ScaleSite& site : scale_sites()) {
    const ChannelScales scales = random_scales(spec, &site);
    if (scales.empty()) continue;
    for (const auto& roles : {site.writers, site.readers}) {
      for (const Role role : roles) {
        changed_.clear();
        fold(*source, scales);
        if (!changed_.contains(role)) continue;  // this model has no such tensor
        const auto folded = fold(*source, scales, role);
        EXPECT_GT(max_error(run_tokens(folded, "auto", golden.tokens), expected), 2e-3)
            << site.word << " without " << tensor_row(role).word;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, ChannelScalesTest, testing::ValuesIn(golden_names()), test_name);

std::vector<std::string> names_of(const ModelShape& shape) {
  WorkerPool pool({.threads = 1});
  std::vector<std::string> out;
  const auto source = random_model(shape, {}, 1, pool);
  const ArchSpec spec = read_spec(*source);
  for (const ScaledChannels& channels : scaled_channels(spec)) {
    if (channels.layer != 0) {
      out.push_back(channels.name() + " " + std::to_string(channels.sets) + "x" + std::to_string(channels.channels));
    }
  }
  return out;
}

TEST(ScaleSites, AreThoseThatTheArchitectureHas) {
  using testing::ElementsAre;
  EXPECT_THAT(names_of(tiny_llama()), ElementsAre("blk.1.attn_norm 1x256", "blk.1.attn_v 1x128", "blk.1.ffn_norm 1x256",
                                                  "blk.1.ffn_up 1x512", "output_norm 1x256"));
  // A tied head is an embedding too: its columns are no channels of the norm alone.
  EXPECT_THAT(names_of(tiny_gemma()), testing::Not(testing::Contains("output_norm 1x256")));
  EXPECT_THAT(names_of(tiny_moe()),
              ElementsAre("blk.1.attn_norm 1x256", "blk.1.attn_v 1x128", "blk.1.ffn_norm 1x256",
                          "blk.1.ffn_up_exps 8x256", "blk.1.ffn_up_shexp 1x256", "output_norm 1x256"));
  EXPECT_THAT(
      names_of(tiny_mla()),
      ElementsAre("blk.1.attn_norm 1x256", "blk.1.attn_q_a_norm 1x256", "blk.1.attn_v_b 1x256", "blk.1.ffn_norm 1x256",
                  "blk.1.ffn_up_exps 8x256", "blk.1.ffn_up_shexp 1x256", "output_norm 1x256"));
}

}  // namespace
}  // namespace autoglm::test
