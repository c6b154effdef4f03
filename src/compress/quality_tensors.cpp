// How a fault is told from the noise of a type:
//
//  * the whole tensor: with factor f = <a,b> / <a,a> and cosine c, honest rounding keeps c near 1 (0.94 at two bits)
//  and
//    f within a few percent of 1. c < kStranger: another tensor; |f - 1| > kFactor: scaled.
//  * a block of 32 columns: r = |b - a|^2 / max(|a|^2, a quarter of the tensor's mean block), which is 1 where a block
//    was zeroed or doubled, and 0.1 where it was rounded to two bits. Blocks with r > kBadBlock are looked at again:
//    A's block is rounded to B's type here, among B's other columns, and if that comes out half as badly, the type is
//    to blame (a small block beside a large one under a common scale) and not the file.
//  * GPTQ moves a block by what other columns lost, which has nothing to do with the block itself: B = A + d, d at a
//    right angle to A, so that the cosine is 1 / sqrt(1 + r). Damage looks otherwise: nothing is left, or A times a
//    factor (cosine near 1), or what does not resemble A at all (kBlockStranger, r of 10 if it were GPTQ).
//  * where a file says that channels were scaled, the scales are found and undone first (compress/scales_between.h).
#include "compress/quality_tensors.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "base/error.h"
#include "compress/scales_between.h"
#include "compress/scaling.h"
#include "compress/tensor_values.h"
#include "model/families/family.h"
#include "model/tensor_table.h"

namespace autoglm {
namespace {

constexpr double kStranger = 0.7;
constexpr double kSame = 0.9;  // cosine of a tensor and what it was swapped with
constexpr double kFactor = 0.25;
constexpr double kBadBlock = 0.8;
constexpr double kBlockStranger = 0.3;
constexpr double kBlockScaled = 0.78;  // what moved sideways by kBadBlock has a cosine of 0.75
constexpr double kNothingLeft = 0.1;
constexpr int64_t kBlock = 32;
constexpr int64_t kSpan = 256;  // columns that share scales in the widest type
constexpr int64_t kPieceValues = int64_t{1} << 16;

struct Sums {
  double aa = 0, bb = 0, ab = 0, dd = 0;
  bool finite_a = true, finite_b = true;
  void add(const float* a, const float* b, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
      const double x = a[i];
      const double y = b[i];
      aa += x * x;
      bb += y * y;
      ab += x * y;
      dd += (y - x) * (y - x);
    }
  }
  void add(const Sums& o) {
    aa += o.aa;
    bb += o.bb;
    ab += o.ab;
    dd += o.dd;
    finite_a = finite_a && o.finite_a;
    finite_b = finite_b && o.finite_b;
  }
  double cosine() const { return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : (aa == bb ? 1.0 : 0.0); }
  double factor() const { return aa > 0 ? ab / aa : 1.0; }
  double relative() const { return aa > 0 ? std::sqrt(dd / aa) : (dd > 0 ? 1.0 : 0.0); }
};

/// Calls visit(row, a's values, b's values, part) for all rows on all workers and adds up the parts in order.
template <typename Part, typename Visit>
Part over_rows(const TensorValues& a, const TensorValues& b, WorkerPool& pool, Visit&& visit) {
  const int64_t grain = std::max<int64_t>(1, kPieceValues / a.cols());
  std::vector<Part> parts(static_cast<size_t>((a.rows() + grain - 1) / grain));
  pool.parallel_for(a.rows(), grain, [&](int64_t begin, int64_t end) {
    std::vector<float> x(static_cast<size_t>(a.cols()));
    std::vector<float> y(static_cast<size_t>(a.cols()));
    Part& part = parts[static_cast<size_t>(begin / grain)];
    for (int64_t row = begin; row < end; ++row) {
      a.read(row, x.data());
      b.read(row, y.data());
      visit(row, x.data(), y.data(), part);
    }
  });
  Part total{};
  for (const Part& part : parts) total.add(part);
  return total;
}

Sums whole(const TensorValues& a, const TensorValues& b, WorkerPool& pool) {
  return over_rows<Sums>(a, b, pool, [&](int64_t, const float* x, const float* y, Sums& part) {
    Sums row;
    row.add(x, y, a.cols());
    // A sum of squares in double overflows for no finite float32: it is finite exactly where all values are.
    row.finite_a = std::isfinite(row.aa);
    row.finite_b = std::isfinite(row.bb);
    part.add(row);
  });
}

struct BlockFaults {
  int64_t count = 0;
  double worst = 0;  // r of the worst faulty block
  double factor = 0;
  int64_t row = 0, column = 0;
  double any_worst = 0;  // of all blocks that weigh enough
  void add(const BlockFaults& o) {
    count += o.count;
    any_worst = std::max(any_worst, o.any_worst);
    if (o.worst <= worst) return;
    worst = o.worst;
    factor = o.factor;
    row = o.row;
    column = o.column;
  }
};

/// Whether a block is far off as damage is, and not as what GPTQ moves there. `least`: of the tensor's blocks.
bool looks_damaged(const Sums& block, double least) {
  if (block.bb <= kNothingLeft * block.aa || block.cosine() > kBlockScaled) return true;
  // A block of next to nothing may well become something else.
  return block.cosine() < kBlockStranger && (block.aa >= least || block.bb > 16 * least);
}

/// What the noise of rounding makes of A's block among what B has beside it (with which it shares scales), as r.
double rounding_noise(const TensorValues& stored, int64_t row, const float* a, const float* b, int64_t column,
                      int64_t n, double weight) {
  const TypeInfo& t = info(stored.type());
  const int64_t cols = stored.cols();
  const int64_t begin = t.block_columns > 1 ? column / kSpan * kSpan : column;
  const int64_t end = t.block_columns > 1 ? std::min(cols, begin + kSpan) : column + n;
  std::vector<std::byte> bytes(static_cast<size_t>(row_bytes(stored.type(), end - begin)));
  std::vector<float> back(static_cast<size_t>(end - begin));
  std::vector<float> span(b + begin, b + end);
  std::copy_n(a + column, n, span.begin() + (column - begin));
  const std::span<const float> factors = stored.stored_with(row);
  const auto factor = [&](size_t i) { return factors.empty() ? 1.0f : factors[static_cast<size_t>(begin) + i]; };
  for (size_t i = 0; i < span.size(); ++i) span[i] *= factor(i);
  t.encode(span.data(), bytes.data(), end - begin);
  t.decode(bytes.data(), back.data(), end - begin);
  for (size_t i = 0; i < back.size(); ++i) back[i] /= factor(i);
  Sums sums;
  sums.add(a + column, back.data() + (column - begin), n);
  return sums.dd / weight;
}

BlockFaults look_at_blocks(const TensorValues& a, const TensorValues& b, const Sums& sums, WorkerPool& pool) {
  const int64_t cols = a.cols();
  const int64_t blocks_a_row = (cols + kBlock - 1) / kBlock;
  const double blocks = static_cast<double>(a.rows()) * static_cast<double>(blocks_a_row);
  const double least = 0.25 * sums.aa / blocks;
  const auto visit = [&](int64_t row, const float* x, const float* y, BlockFaults& part) {
    for (int64_t column = 0; column < cols; column += kBlock) {
      const int64_t n = std::min(kBlock, cols - column);
      Sums block;
      block.add(x + column, y + column, n);
      const double weight = std::max(block.aa, least);
      if (weight <= 0) continue;
      const double r = block.dd / weight;
      part.any_worst = std::max(part.any_worst, r);
      if (r <= kBadBlock || !looks_damaged(block, least)) continue;
      if (rounding_noise(b, row, x, y, column, n, weight) > 0.5 * r) continue;
      BlockFaults one;
      one.count = 1;
      one.worst = r;
      one.factor = block.factor();
      one.row = row;
      one.column = column;
      part.add(one);
    }
  };
  return over_rows<BlockFaults>(a, b, pool, visit);
}

[[noreturn]] void fail_not_finite(const std::string& tensor, const ModelSource& source) {
  fail(Code::numeric, "tensor '" + tensor + "' of " + source.path().string() + " holds a NaN or an infinity",
       "the file is damaged, or was written by a step that overflowed: make it again");
}

/// One model's tensors by their place in the table.
struct Side {
  const ModelSource* source;
  ArchSpec spec;
  std::vector<LocatedTensor> tensors;
  explicit Side(const ModelSource& from) : source(&from), spec(read_spec(from)), tensors(locate_tensors(spec, from)) {}
  std::string name(const LocatedTensor& tensor) const { return gguf_name(spec, *tensor.row, tensor.layer); }
  ScaledForm form() const { return {.spec = &spec, .container = source->container(), .tensors = &tensors}; }
};

struct Pair {
  const LocatedTensor* a;
  const LocatedTensor* b;
  size_t figures;  // index of its figures
};

bool same_shape(const TensorShape& x, const TensorShape& y) {
  return x.count == y.count && x.rows == y.rows && x.cols == y.cols;
}

class Comparer {
 public:
  Comparer(const ModelSource& a, const ModelSource& b, WorkerPool& pool) : a_(a), b_(b), pool_(pool) {
    const bool scaled = a.metadata().has(kScalingKey) || b.metadata().has(kScalingKey);
    if (scaled) scales_.emplace(scales_between(a_.form(), b_.form(), pool));
  }

  TensorComparison run(const std::function<void(int64_t, int64_t)>& progress) {
    match();
    int64_t total = 0;
    for (const Pair& pair : pairs_) total += pair.a->shape.elements();
    int64_t done = 0;
    for (const Pair& pair : pairs_) {
      judge(pair);
      done += pair.a->shape.elements();
      if (progress) progress(done, total);
    }
    name_swaps();
    return std::move(out_);
  }

 private:
  using Place = std::pair<Role, int>;

  void match() {
    std::map<Place, const LocatedTensor*> of_b;
    for (const LocatedTensor& tensor : b_.tensors) of_b[{tensor.row->role, tensor.layer}] = &tensor;
    for (const LocatedTensor& tensor : a_.tensors) {
      const auto found = of_b.find({tensor.row->role, tensor.layer});
      if (found == of_b.end()) {
        out_.only_a.push_back(a_.name(tensor));
        check_alone(a_, tensor);
        continue;
      }
      if (same_shape(tensor.shape, found->second->shape)) {
        pairs_.push_back({&tensor, found->second, pairs_.size()});
      } else {
        out_.other_shape.push_back(a_.name(tensor));
        check_alone(a_, tensor);
        check_alone(b_, *found->second);
      }
      of_b.erase(found);
    }
    for (const LocatedTensor& tensor : b_.tensors) {
      if (!of_b.contains({tensor.row->role, tensor.layer})) continue;
      out_.only_b.push_back(b_.name(tensor));
      check_alone(b_, tensor);
    }
  }

  // B's tensor as it was before its channels were scaled: by its own scales, or those of a tensor of the same shape.
  TensorValues values_of_b(const LocatedTensor& tensor, const LocatedTensor& scaled_as) const {
    const TensorScales undo = scales_ ? TensorScales(*scales_, scaled_as) : TensorScales();
    return {b_.spec, b_.source->container(), tensor, undo};
  }

  // A tensor without a partner: only its values can be bad.
  void check_alone(const Side& side, const LocatedTensor& tensor) {
    const TensorValues values(side.spec, side.source->container(), tensor);
    if (!whole(values, values, pool_).finite_a) fail_not_finite(side.name(tensor), *side.source);
  }

  void judge(const Pair& pair) {
    const TensorValues a(a_.spec, a_.source->container(), *pair.a);
    const TensorValues b = values_of_b(*pair.b, *pair.b);
    const Sums sums = whole(a, b, pool_);
    const std::string name = a_.name(*pair.a);
    if (!sums.finite_a) fail_not_finite(name, *a_.source);
    if (!sums.finite_b) fail_not_finite(name, *b_.source);
    TensorFigures figures;
    figures.name = name;
    figures.layer = pair.a->layer;
    figures.role = pair.a->row->word;
    figures.type_a = info(pair.a->type).name;
    figures.type_b = info(pair.b->type).name;
    figures.values = pair.a->shape.elements();
    figures.bytes_b = pair.b->bytes();
    figures.relative_error = sums.relative();
    figures.cosine = sums.cosine();
    figures.factor = sums.factor();
    figures.fault = fault(a, b, sums, figures.worst_block);
    out_.tensors.push_back(std::move(figures));
  }

  std::optional<TensorFault> fault(const TensorValues& a, const TensorValues& b, const Sums& sums, double& worst) {
    TensorFault found;
    if (sums.dd == 0) return std::nullopt;
    const BlockFaults blocks = look_at_blocks(a, b, sums, pool_);
    worst = std::sqrt(blocks.any_worst);
    if (sums.aa > 0 && sums.bb == 0) {
      found.kind = TensorFaultKind::zeroed;
    } else if (sums.cosine() < kStranger) {
      found.kind = TensorFaultKind::differs;
    } else if (std::abs(sums.factor() - 1) > kFactor) {
      found.kind = TensorFaultKind::scaled;
      found.factor = sums.factor();
    } else if (blocks.count > 0) {
      found.kind = TensorFaultKind::blocks;
      found.factor = blocks.factor;
      found.blocks = blocks.count;
      found.row = blocks.row;
      found.column = blocks.column;
    } else {
      return std::nullopt;
    }
    return found;
  }

  // A tensor that resembles nothing in its place may be one that belongs elsewhere.
  void name_swaps() {
    for (const Pair& pair : pairs_) {
      std::optional<TensorFault>& fault = out_.tensors[pair.figures].fault;
      if (!fault || fault->kind != TensorFaultKind::differs) continue;
      for (const Pair& other : pairs_) {
        if (other.figures == pair.figures || !same_shape(other.a->shape, pair.b->shape)) continue;
        if (!out_.tensors[other.figures].fault) continue;
        const TensorValues a(a_.spec, a_.source->container(), *other.a);
        const TensorValues b = values_of_b(*pair.b, *other.b);
        if (whole(a, b, pool_).cosine() < kSame) continue;
        fault->kind = TensorFaultKind::swapped;
        fault->other = out_.tensors[other.figures].name;
        break;
      }
    }
  }

  Side a_, b_;
  WorkerPool& pool_;
  std::optional<ChannelScales> scales_;  // of B against A
  std::vector<Pair> pairs_;
  TensorComparison out_;
};

}  // namespace

std::string_view name(TensorFaultKind kind) {
  switch (kind) {
    case TensorFaultKind::scaled:
      return "scaled";
    case TensorFaultKind::zeroed:
      return "zeroed";
    case TensorFaultKind::swapped:
      return "swapped";
    case TensorFaultKind::differs:
      return "differs";
    case TensorFaultKind::blocks:
      return "blocks";
  }
  return "differs";
}

std::vector<size_t> TensorComparison::worst() const {
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t x, size_t y) {
    const TensorFigures& a = tensors[x];
    const TensorFigures& b = tensors[y];
    if (a.fault.has_value() != b.fault.has_value()) return a.fault.has_value();
    if (a.relative_error != b.relative_error) return a.relative_error > b.relative_error;
    return x < y;
  });
  return order;
}

TensorComparison compare_tensors(const ModelSource& a, const ModelSource& b, WorkerPool& pool,
                                 const std::function<void(int64_t done, int64_t total)>& progress) {
  return Comparer(a, b, pool).run(progress);
}

}  // namespace autoglm
