// Attention, plain and latent, against the reference on every ISA, and bit for bit against itself.
#include <numeric>

#include "cpu_support.h"

namespace autoglm {
namespace {

using test::isas_under_test;
using test::Machine;
using test::random_values;
using test::random_weight;

struct Shape {
  int heads = 6, kv_heads = 2, key_dim = 20, value_dim = 12;
  RopeSpec rope{16, false, {1.0f, 0.5f, 0.3f, 0.1f, 0.05f, 0.02f, 0.01f, 0.001f}, 1.0f, {}};
  bool norms = false;
  float softcap = 0.0f;
  int window = 0;
  KvType type = KvType::f32;
};

/// One sequence's part of a step: `rows` more of its tokens.
struct Part {
  int sequence;
  int64_t rows;
};

constexpr int64_t kTokens = 600;
constexpr int kSequences = 3;
constexpr int kBlocks = 40;  // of each sequence

/// Runs the steps and returns each sequence's outputs, in order of its tokens. Sequence s starts at s * 7 tokens less.
std::vector<std::vector<float>> run(Machine& m, const Shape& s, const std::vector<std::vector<Part>>& steps) {
  StepLimits limits;
  limits.rows = kTokens * kSequences;
  limits.widest = s.heads * s.key_dim;
  limits.heads = s.heads;
  limits.head_dim = std::max(s.key_dim, s.value_dim);
  limits.context = kTokens;
  const int rope = m->add_rope(s.rope);
  m.reserve(limits);
  const Norm q_norm{m.buffer(1, s.key_dim, random_values(static_cast<size_t>(s.key_dim), 5)), 1e-6f};
  const Norm k_norm{m.buffer(1, s.key_dim, random_values(static_cast<size_t>(s.key_dim), 6)), 1e-6f};
  const KvLayerSpec layers[] = {{KvLayerSpec::Kind::kv, 1, 4, 4, KvType::bf16},
                                {KvLayerSpec::Kind::kv, s.kv_heads, s.key_dim, s.value_dim, s.type}};
  const std::unique_ptr<KvStore> store = m->make_kv(layers, kSequences * kBlocks);
  std::vector<std::vector<int32_t>> blocks(kSequences);
  for (int i = 0; i < kSequences * kBlocks; ++i) blocks[static_cast<size_t>(i * 7 % kSequences)].push_back(i);

  std::vector<std::vector<float>> q, k, v, results(kSequences);
  for (uint32_t i = 0; i < kSequences; ++i) {
    q.push_back(random_values(static_cast<size_t>(kTokens * s.heads * s.key_dim), 10 + i));
    k.push_back(random_values(static_cast<size_t>(kTokens * s.kv_heads * s.key_dim), 20 + i));
    v.push_back(random_values(static_cast<size_t>(kTokens * s.kv_heads * s.value_dim), 30 + i));
  }
  std::vector<int64_t> past(kSequences, 0);
  for (const std::vector<Part>& step : steps) {
    std::vector<float> bq, bk, bv;
    std::vector<int32_t> positions;
    std::vector<KvSegment> segments;
    int64_t rows = 0;
    for (const Part& part : step) {
      const auto i = static_cast<size_t>(part.sequence);
      const auto add = [&](std::vector<float>& to, const std::vector<float>& from, int64_t cols) {
        to.insert(to.end(), from.begin() + past[i] * cols, from.begin() + (past[i] + part.rows) * cols);
      };
      add(bq, q[i], s.heads * s.key_dim);
      add(bk, k[i], s.kv_heads * s.key_dim);
      add(bv, v[i], s.kv_heads * s.value_dim);
      for (int64_t r = 0; r < part.rows; ++r) positions.push_back(static_cast<int32_t>(past[i] + r));
      segments.push_back({blocks[i], past[i], rows, part.rows});
      rows += part.rows;
      past[i] += part.rows;
    }
    if (!s.rope.sections.empty()) {  // height and width differ from time
      const std::vector<int32_t> time = positions;
      for (int32_t p : time) positions.push_back(p / 3);
      for (int32_t p : time) positions.push_back(p % 5);
    }
    Buffer buffer_q = m.buffer(rows, s.heads * s.key_dim, bq), buffer_k = m.buffer(rows, s.kv_heads * s.key_dim, bk),
           buffer_v = m.buffer(rows, s.kv_heads * s.value_dim, bv), out = m.buffer(rows, s.heads * s.value_dim);
    m->begin_step(rows, positions);
    AttentionArgs args{};
    args.rows = rows, args.q = &buffer_q, args.k = &buffer_k, args.v = &buffer_v, args.out = &out;
    if (s.norms) args.q_norm = &q_norm, args.k_norm = &k_norm;
    args.rope = rope;
    args.heads = s.heads, args.kv_heads = s.kv_heads, args.key_dim = s.key_dim, args.value_dim = s.value_dim;
    args.scale = 0.4f, args.softcap = s.softcap, args.window = s.window;
    args.kv = {store.get(), 1, segments};
    m->attention(args);
    const std::vector<float> values = m.read(out);
    for (size_t i = 0; i < step.size(); ++i) {
      std::vector<float>& result = results[static_cast<size_t>(step[i].sequence)];
      const auto from = values.begin() + segments[i].row_begin * s.heads * s.value_dim;
      result.insert(result.end(), from, from + step[i].rows * s.heads * s.value_dim);
    }
  }
  return results;
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

// f32: scores add at most 64 products, exp() is good to 2e-7 and sees a score of up to 40 whose own error is 1e-6 or
// so; outputs add 600 values. bf16 and q8: the stored keys and values are rounded alike on both sides, but rope and
// norms in float32 may move a value across a rounding border: one step of 2^-8 or 1/127 of its head in one column.
double tolerance(KvType type) { return type == KvType::f32 ? 1e-4 : 2e-2; }

TEST(CpuAttention, AgreesWithTheReferenceForEveryShapeAndCache) {
  for (KvType type : {KvType::f32, KvType::bf16, KvType::q8}) {
    for (size_t i = 0; i < shapes().size(); ++i) {
      Shape shape = shapes()[i];
      shape.type = type;
      // A prompt in three pieces over two borders of a split, then single tokens.
      const std::vector<std::vector<Part>> steps = {{{0, 100}}, {{0, 161}}, {{0, 1}}, {{0, 270}}, {{0, 1}}, {{0, 1}}};
      Machine ref("ref");
      const std::vector<float> expected = run(ref, shape, steps)[0];
      for (const std::string& isa : isas_under_test()) {
        Machine machine(isa);
        EXPECT_LE(test::distance(run(machine, shape, steps)[0], expected), tolerance(type))
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
  for (KvType type : {KvType::f32, KvType::bf16, KvType::q8}) {
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

TEST(CpuAttention, BlocksAreCopiedExportedAndImportedWhole) {
  for (KvType type : {KvType::f32, KvType::bf16, KvType::q8}) {
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

// ---- Latent

struct LatentShape {
  int heads = 5, nope = 32, rope = 8, rank = 64, value = 20;
  Type weights = Type::f32;
  Precision precision = Precision::f32;
  KvType type = KvType::f32;
};

std::vector<float> run_latent(Machine& m, const LatentShape& s, const std::vector<int64_t>& steps) {
  const int64_t total = std::accumulate(steps.begin(), steps.end(), int64_t{0});
  StepLimits limits;
  limits.rows = total;
  limits.widest = s.heads * (s.nope + s.rope);
  limits.heads = s.heads;
  limits.head_dim = s.rank + s.rope;
  limits.context = total;
  limits.latent = true;
  const int rope = m->add_rope({s.rope, true, {1.0f, 0.3f, 0.1f, 0.01f}, 1.0f, {}});
  m.reserve(limits);
  const std::vector<std::byte> k_bytes = random_weight(s.weights, s.heads * s.rank, s.nope, 41, 0.3f);
  const std::vector<std::byte> v_bytes = random_weight(s.weights, s.heads * s.value, s.rank, 42, 0.3f);
  const Weight k_b = m.load(k_bytes, s.weights, s.rank, s.nope, s.precision, s.heads);
  const Weight v_b = m.load(v_bytes, s.weights, s.value, s.rank, s.precision, s.heads);
  const Norm norm{m.buffer(1, s.rank, random_values(static_cast<size_t>(s.rank), 43)), 1e-5f};
  const KvLayerSpec layer{KvLayerSpec::Kind::latent, 1, s.rank + s.rope, s.rank, s.type};
  const std::unique_ptr<KvStore> store = m->make_kv({&layer, 1}, 24);
  std::vector<int32_t> blocks;
  for (int i = 0; i < 24; ++i) blocks.push_back((i * 5 + 3) % 24);
  const int64_t q_cols = s.heads * (s.nope + s.rope), latent_cols = s.rank + s.rope;
  const std::vector<float> q = random_values(static_cast<size_t>(total * q_cols), 44);
  const std::vector<float> latent = random_values(static_cast<size_t>(total * latent_cols), 45);
  std::vector<float> result;
  int64_t past = 0;
  for (int64_t rows : steps) {
    Buffer bq = m.buffer(rows, q_cols, {q.begin() + past * q_cols, q.begin() + (past + rows) * q_cols});
    Buffer bl = m.buffer(rows, latent_cols,
                         {latent.begin() + past * latent_cols, latent.begin() + (past + rows) * latent_cols});
    Buffer out = m.buffer(rows, s.heads * s.value);
    m.begin(rows, past);
    const KvSegment segment{blocks, past, 0, rows};
    LatentAttentionArgs args{};
    args.rows = rows, args.q = &bq, args.latent = &bl, args.latent_norm = &norm, args.k_b = &k_b, args.v_b = &v_b;
    args.rope = rope;
    args.heads = s.heads, args.nope = s.nope, args.rope_dims = s.rope, args.kv_rank = s.rank, args.value_dim = s.value;
    args.scale = 0.3f;
    args.kv = {store.get(), 0, {&segment, 1}};
    args.out = &out;
    m->latent_attention(args);
    const std::vector<float> values = m.read(out);
    result.insert(result.end(), values.begin(), values.end());
    past += rows;
  }
  return result;
}

TEST(CpuLatentAttention, AgreesWithTheReferenceAndWithItself) {
  const std::vector<int64_t> steps = {50, 1, 220, 1, 1};
  for (const LatentShape& base :
       {LatentShape{}, LatentShape{5, 32, 8, 64, 20, Type::q8_0, Precision::automatic, KvType::f32},
        LatentShape{5, 32, 8, 64, 20, Type::bf16, Precision::automatic, KvType::f32},
        LatentShape{2, 20, 8, 36, 7, Type::f32, Precision::automatic, KvType::f32}}) {
    for (KvType type : {KvType::f32, KvType::bf16, KvType::q8}) {
      LatentShape shape = base;
      shape.type = type;
      Machine ref("ref");
      const std::vector<float> expected = run_latent(ref, shape, steps);
      // As for attention; rounded activations of two more products flip here and there.
      const bool exact = type == KvType::f32 && (shape.precision == Precision::f32 || shape.weights == Type::f32);
      for (const std::string& isa : isas_under_test()) {
        Machine one(isa), two(isa, 2);
        const std::vector<float> got = run_latent(one, shape, steps);
        EXPECT_LE(test::distance(got, expected), exact ? 1e-4 : 5e-2) << isa << " type " << static_cast<int>(type);
        EXPECT_EQ(run_latent(two, shape, {273}), got) << isa << " type " << static_cast<int>(type);
      }
    }
  }
}

}  // namespace
}  // namespace autoglm
