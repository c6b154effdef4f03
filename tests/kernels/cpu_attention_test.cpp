// Attention, plain and latent, against the reference on every ISA, and bit for bit against itself.
#include "cpu_scenarios.h"

namespace autoglm::test {
namespace {

using Shape = AttentionShape;

constexpr int64_t kTokens = 600;
constexpr int kSequences = 3;

std::vector<std::vector<float>> run(Machine& m, const Shape& s, const std::vector<std::vector<Part>>& steps) {
  std::vector<AttentionInput> inputs;
  for (uint32_t i = 0; i < kSequences; ++i) {
    inputs.push_back({random_values(static_cast<size_t>(kTokens * s.heads * s.key_dim), 10 + i),
                      random_values(static_cast<size_t>(kTokens * s.kv_heads * s.key_dim), 20 + i),
                      random_values(static_cast<size_t>(kTokens * s.kv_heads * s.value_dim), 30 + i)});
  }
  return run_attention(m, s, inputs, steps);
}

std::vector<Shape> shapes() {
  std::vector<Shape> all(7);
  all[1].norms = true, all[1].rope.interleaved = true, all[1].rope.magnitude = 1.3f;
  all[2].softcap = 3.0f;
  all[3].window = 37;
  all[4].window = 300, all[4].heads = 3, all[4].kv_heads = 3;
  all[5].heads = 9, all[5].kv_heads = 1, all[5].key_dim = 33, all[5].value_dim = 17, all[5].rope.sections = {4, 2, 2};
  all[6].heads = 2, all[6].kv_heads = 2, all[6].key_dim = 64, all[6].value_dim = 80;
  return all;
}

TEST(CpuAttention, AgreesWithTheReferenceForEveryShapeAndCache) {
  for (KvType type : kKvTypes) {
    for (size_t i = 0; i < shapes().size(); ++i) {
      Shape shape = shapes()[i];
      shape.type = type;
      // A prompt in three pieces over two borders of a split, then single tokens.
      const std::vector<std::vector<Part>> steps = {{{0, 100}}, {{0, 161}}, {{0, 1}}, {{0, 270}}, {{0, 1}}, {{0, 1}}};
      Machine ref("ref");
      const std::vector<float> expected = run(ref, shape, steps)[0];
      for (const std::string& isa : isas_under_test()) {
        Machine machine(isa);
        const std::vector<float> got = run(machine, shape, steps)[0];
        const AttentionTolerance tolerance = attention_tolerance(isa, type);
        EXPECT_LE(distance(got, expected), tolerance.largest)
            << isa << " shape " << i << " type " << static_cast<int>(type);
        EXPECT_LE(rms_distance(got, expected), tolerance.rms)
            << isa << " shape " << i << " type " << static_cast<int>(type);
      }
    }
  }
}

TEST(CpuAttention, SameBitsForChunksBatchMatesAndThreads) {
  const std::vector<std::vector<Part>> whole = {{{0, 590}}};
  std::vector<std::vector<Part>> single = {{{0, 235}}};  // token by token over both borders of a split
  for (int i = 0; i < 40; ++i) single.push_back({{0, 1}});
  single.push_back({{0, 225}});
  for (int i = 0; i < 90; ++i) single.push_back({{0, 1}});
  const std::vector<std::vector<Part>> chunks = {{{0, 255}}, {{0, 2}}, {{0, 254}}, {{0, 79}}};
  const std::vector<std::vector<Part>> mates = {{{1, 40}, {0, 300}}, {{2, 300}, {0, 100}, {1, 1}}, {{1, 1}, {0, 190}}};
  for (KvType type : kKvTypes) {
    for (size_t i = 0; i < shapes().size(); ++i) {
      Shape shape = shapes()[i];
      shape.type = type;
      for (const std::string& isa : isas_under_test()) {
        Machine a(isa), b(isa, 2), c(isa), d(isa, 3), e(isa, 2);
        const std::vector<float> expected = run(a, shape, whole)[0];
        EXPECT_EQ(run(b, shape, single)[0], expected) << isa << " shape " << i << ": one token at a time, two threads";
        EXPECT_EQ(run(c, shape, chunks)[0], expected) << isa << " shape " << i << ": in chunks";
        EXPECT_EQ(run(d, shape, mates)[0], expected) << isa << " shape " << i << ": with batch mates, three threads";
        EXPECT_EQ(run(e, shape, whole)[0], expected) << isa << " shape " << i << ": two threads";
      }
    }
  }
}

// Rows of a tile share the work on its values: what one may not see must not reach it.
TEST(CpuAttention, WhatIsNotFiniteReachesOnlyThoseWhoSeeIt) {
  constexpr int64_t kRows = 40, kBad = 23;
  for (KvType type : kKvTypes) {
    for (int window : {0, 5}) {
      Shape shape;
      shape.type = type;
      shape.window = window;
      AttentionInput input{random_values(static_cast<size_t>(kRows * shape.heads * shape.key_dim), 1),
                           random_values(static_cast<size_t>(kRows * shape.kv_heads * shape.key_dim), 2),
                           random_values(static_cast<size_t>(kRows * shape.kv_heads * shape.value_dim), 3)};
      const int64_t v_cols = shape.kv_heads * shape.value_dim, out_cols = shape.heads * shape.value_dim;
      std::fill_n(input.v.begin() + kBad * v_cols, v_cols, std::numeric_limits<float>::infinity());
      for (const std::string& isa : isas_under_test()) {
        Machine one(isa), two(isa, 2);
        const std::vector<float> whole = run_attention(one, shape, {&input, 1}, {{{0, kRows}}})[0];
        const std::vector<std::vector<Part>> single(kRows, {{0, 1}});
        const std::vector<float> apart = run_attention(two, shape, {&input, 1}, single)[0];
        for (size_t i = 0; i < whole.size(); ++i) {
          const auto row = static_cast<int64_t>(i) / out_cols;
          const bool sees = row >= kBad && (window == 0 || row < kBad + window);
          ASSERT_EQ(std::isfinite(whole[i]), !sees) << isa << " row " << row;
          if (!sees) {
            ASSERT_EQ(whole[i], apart[i]) << isa << " row " << row;
          }
        }
      }
    }
  }
}

// A weight may be 2^180 times that of the first tokens: what scores are measured from must not overflow.
TEST(CpuAttention, LaterTokensMayOutweighTheFirstByFar) {
  constexpr int64_t kRows = 300;
  for (KvType type : kKvTypes) {
    Shape shape;
    shape.type = type;
    shape.rope.dims = 0;
    AttentionInput input{std::vector<float>(static_cast<size_t>(kRows * shape.heads * shape.key_dim), 1.0f),
                         std::vector<float>(static_cast<size_t>(kRows * shape.kv_heads * shape.key_dim), 8.0f),
                         random_values(static_cast<size_t>(kRows * shape.kv_heads * shape.value_dim), 3)};
    std::fill_n(input.k.begin(), 16 * shape.kv_heads * shape.key_dim, -8.0f);
    Machine ref("ref");
    const std::vector<float> expected = run_attention(ref, shape, {&input, 1}, {{{0, kRows}}})[0];
    for (const std::string& isa : isas_under_test()) {
      Machine one(isa), two(isa, 2);
      const std::vector<float> whole = run_attention(one, shape, {&input, 1}, {{{0, kRows}}})[0];
      EXPECT_LE(distance(whole, expected), 0.1) << isa << " type " << static_cast<int>(type);
      const std::vector<std::vector<Part>> single(kRows, {{0, 1}});
      EXPECT_EQ(run_attention(two, shape, {&input, 1}, single)[0], whole) << isa << " type " << static_cast<int>(type);
    }
  }
}

TEST(CpuAttention, BlocksAreCopiedExportedAndImportedWhole) {
  for (KvType type : kKvTypes) {
    for (const std::string& isa : isas_under_test()) {
      Machine m(isa);
      const KvLayerSpec layers[] = {{KvLayerSpec::Kind::kv, 2, 20, 12, type},
                                    {KvLayerSpec::Kind::latent, 1, 36, 20, type}};
      const std::unique_ptr<KvStore> store = m->make_kv(layers, 4);
      EXPECT_EQ(store->block_bytes(), m->kv_block_bytes(layers));
      EXPECT_EQ(store->blocks(), 4);
      std::vector<std::byte> in(static_cast<size_t>(store->block_bytes())), out(in.size());
      for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<std::byte>(i * 31);
      store->import_block(2, in);
      store->copy_block(2, 0);
      store->export_block(0, out);
      EXPECT_EQ(in, out);
      store->export_block(1, out);
      EXPECT_THAT(out, testing::Each(std::byte{0}));
    }
  }
}

// A cache that one ISA has written another may read (a saved prompt, after the program was moved): rotated keys
// included.
TEST(CpuAttention, EveryIsaStoresTheSameBits) {
  for (KvType type : {KvType::q8, KvType::q4}) {
    std::vector<std::byte> first;
    for (const std::string& isa : isas_under_test()) {
      Machine m(isa);
      m.reserve(limits_for(16, 160));
      const KvLayerSpec layers[] = {{KvLayerSpec::Kind::kv, 2, 80, 48, type}};
      const std::unique_ptr<KvStore> store = m->make_kv(layers, 1);
      Buffer q = m.buffer(16, 160, random_values(16 * 160, 71)), k = m.buffer(16, 160, random_values(16 * 160, 72)),
             v = m.buffer(16, 96, random_values(16 * 96, 73));
      Buffer out = m.buffer(16, 96);
      const std::vector<int32_t> block = {0};
      const KvSegment segment{.blocks = block, .past = 0, .row_begin = 0, .rows = 16};
      m.begin(16);
      AttentionArgs args{};
      args.rows = 16, args.q = &q, args.k = &k, args.v = &v, args.out = &out, args.rope = -1;
      args.heads = args.kv_heads = 2, args.key_dim = 80, args.value_dim = 48, args.scale = 0.1f;
      args.kv = {store.get(), 0, {&segment, 1}};
      m->attention(args);
      std::vector<std::byte> bytes(static_cast<size_t>(store->block_bytes()));
      store->export_block(0, bytes);
      if (first.empty()) first = bytes;
      EXPECT_TRUE(bytes == first) << isa << " type " << static_cast<int>(type);
    }
  }
}

// ---- Latent

TEST(CpuLatentAttention, AgreesWithTheReferenceAndWithItself) {
  const std::vector<int64_t> steps = {50, 1, 220, 1, 1};
  for (const LatentShape& base :
       {LatentShape{}, LatentShape{5, 32, 8, 64, 20, Type::q8_0, Precision::automatic, KvType::f32},
        LatentShape{5, 32, 8, 64, 20, Type::bf16, Precision::automatic, KvType::f32},
        LatentShape{2, 20, 8, 36, 7, Type::f32, Precision::automatic, KvType::f32}}) {
    for (KvType type : kKvTypes) {
      LatentShape shape = base;
      shape.type = type;
      const LatentInput input = random_latent_input(shape, 273);
      Machine ref("ref");
      const std::vector<float> expected = run_latent(ref, shape, input, steps);
      // As for attention; rounded activations of two more products flip here and there.
      const bool exact = type == KvType::f32 && (shape.precision == Precision::f32 || shape.weights == Type::f32);
      for (const std::string& isa : isas_under_test()) {
        Machine one(isa), two(isa, 2);
        const std::vector<float> got = run_latent(one, shape, input, steps);
        EXPECT_LE(distance(got, expected), exact ? 1e-4 : 5e-2) << isa << " type " << static_cast<int>(type);
        EXPECT_EQ(run_latent(two, shape, input, {273}), got) << isa << " type " << static_cast<int>(type);
      }
    }
  }
}

}  // namespace
}  // namespace autoglm::test
