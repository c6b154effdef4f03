// The inner loops of quantization, in plain C++ that the compiler turns into the widest vectors this machine has.
//
// Sums run in 16 lanes that are added in one fixed order and nothing is fused, so every machine computes the same bits.
#pragma once

#include <cstdint>

// One version of a function an instruction set, chosen when the program starts. Sanitizers run before that choice
// could.
#if defined(__x86_64__) && !defined(AUTOGLM_SANITIZED)
#define AUTOGLM_WIDEST __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define AUTOGLM_WIDEST
#endif

namespace autoglm {

/// Weighted sums over a group's values x (n of them, a multiple of 16) and codes q, weights h.
struct CodeSums {
  float h = 0;    // of h
  float q = 0;    // of h q
  float qq = 0;   // of h q^2
  float x = 0;    // of h x
  float xq = 0;   // of h x q
  float err = 0;  // of h (x - value)^2, where asked for
};

/// q = x * inverse rounded to the nearest of low..high. Fills qq and xq.
void uniform_sums(const float* x, const float* h, int n, float inverse, float low, float high, CodeSums& out);

/// q = the value of IQ4_NL's table nearest to x * inverse. Fills qq and xq.
void table_sums(const float* x, const float* h, int n, float inverse, CodeSums& out);

/// q = (x + minimum) * inverse rounded to the nearest of 0..top. Fills all but err.
void affine_sums(const float* x, const float* h, int n, float inverse, float minimum, float top, CodeSums& out);

/// Sum of h (x - (scale q - minimum))^2 for the nearest codes.
float uniform_error(const float* x, const float* h, int n, float scale, float minimum, float low, float high);
float table_error(const float* x, const float* h, int n, float scale);

/// y[i] -= factor * x[i].
void subtract_scaled(float* y, const float* x, float factor, int64_t n);
void subtract_scaled(double* y, const double* x, double factor, int64_t n);

/// Where y[r * stride + i] lies, for r < rows and i < cols.
template <typename Value>
struct Target {
  Value* y;
  int64_t stride;
  int64_t rows, cols;
};
/// Factor k of row r lies at data[r * row + k * step].
template <typename Value>
struct Factors {
  const Value* data;
  int64_t row, step;
};

/// A product of matrices taken away: y[r][i] -= factor[r][k] * x[k * stride + i], for k < count one after the other,
/// so that no element depends on how many others there are. y must not overlap what it is computed from.
void subtract_product(const Target<float>& y, const Factors<float>& factors, const float* x, int64_t stride,
                      int64_t count);
void subtract_product(const Target<double>& y, const Factors<double>& factors, const double* x, int64_t stride,
                      int64_t count);

/// The largest of x[i]^2 t[i] (n of them, a multiple of 16, t not negative), made smooth: the norm of power 8 over
/// them. to[i] += that norm's derivative by log t[i]. 0, and nothing added, where all are 0 or one is not finite.
float add_smooth_maximum(const float* x, const float* t, int n, float* to);

double dot(const float* x, const float* y, int64_t n);

/// log of the sum of e^x[i], in nats; the exponentials are right to about 2e-7. Not finite if an x is not.
double log_sum_exp(const float* x, int64_t n);

/// to[i * stride + j] += sum over rows r of x[r * width + first_i + i] * x[r * width + first_j + j], for i < rows_i and
/// j < 64. The tile's part beyond the matrix is for the caller to leave room for.
void add_moments(const float* x, int64_t rows, int64_t width, int64_t first_i, int rows_i, int64_t first_j, int cols_j,
                 float* to, int64_t stride);

}  // namespace autoglm
