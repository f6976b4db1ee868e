/*
 * Prints a digest of the bits of every floating-point operation on awkward operands, NaNs with payloads and signalling
 * ones above all: WebAssembly lets engines choose the bits of many of these results. One line per operation.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <wasm_simd128.h>

#define SIMD __attribute__((target("simd128")))

static const uint32_t f32_bits[] = {
    0x00000000, 0x80000000, 0x00000001, 0x80000001, 0x007fffff, 0x00800000, 0x3f800000, 0xbf800000, 0x3fc00000,
    0x40490fdb, 0x4b000001, 0x7f7fffff, 0xff7fffff, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000, 0x7f800001,
    0xff800001, 0x7fbfffff, 0x7fc12345, 0xffc54321, 0x7fffffff, 0xffffffff, 0x3effffff, 0x33800001,
};
static const uint64_t f64_bits[] = {
    0x0000000000000000, 0x8000000000000000, 0x0000000000000001, 0x8000000000000001, 0x000fffffffffffff,
    0x0010000000000000, 0x3ff0000000000000, 0xbff0000000000000, 0x3ff8000000000000, 0x400921fb54442d18,
    0x4330000000000001, 0x7fefffffffffffff, 0xffefffffffffffff, 0x7ff0000000000000, 0xfff0000000000000,
    0x7ff8000000000000, 0xfff8000000000000, 0x7ff0000000000001, 0xfff0000000000001, 0x7ff7ffffffffffff,
    0x7ff8000012345678, 0xfff8876543210000, 0x7fffffffffffffff, 0xffffffffffffffff, 0x36a0000000000001,
    0x47f0000000000000,
};
enum { N = sizeof f32_bits / sizeof f32_bits[0], M = sizeof f64_bits / sizeof f64_bits[0] };

static uint64_t digest;

static void add(const void *bytes, size_t length) {
  for (size_t i = 0; i < length; i++) digest = (digest ^ ((const unsigned char *)bytes)[i]) * 1099511628211ull;
}

static void end(const char *name) {
  printf("%s %016llx\n", name, (unsigned long long)digest);
  digest = 14695981039346656037ull;
}

static float f32(int i) {
  volatile uint32_t bits = f32_bits[i];
  uint32_t copy = bits;
  float value;
  memcpy(&value, &copy, sizeof value);
  return value;
}

static double f64(int i) {
  volatile uint64_t bits = f64_bits[i];
  uint64_t copy = bits;
  double value;
  memcpy(&value, &copy, sizeof value);
  return value;
}

#define ONE(name, type, count, get, expression)                                                                        \
  for (int i = 0; i < count; i++) {                                                                                    \
    type x = get(i);                                                                                                   \
    __auto_type result = expression;                                                                                   \
    add(&result, sizeof result);                                                                                       \
  }                                                                                                                    \
  end(name);
#define TWO(name, type, count, get, expression)                                                                        \
  for (int i = 0; i < count; i++)                                                                                      \
    for (int j = 0; j < count; j++) {                                                                                  \
      type x = get(i), y = get(j);                                                                                     \
      __auto_type result = expression;                                                                                 \
      add(&result, sizeof result);                                                                                     \
    }                                                                                                                  \
  end(name);
#define BOTH(kind, name, f, d) kind("f32." name, float, N, f32, f) kind("f64." name, double, M, f64, d)

SIMD static void vectors(void) {
#define V32(name, op)                                                                                                  \
  for (int i = 0; i < N; i++)                                                                                          \
    for (int j = 0; j < N; j++) {                                                                                      \
      v128_t x = wasm_f32x4_make(f32(i), f32(j), f32((i + j) % N), f32((i * j) % N)), y = wasm_f32x4_splat(f32(j));    \
      (void)y; v128_t result = op;                                                                                     \
      add(&result, sizeof result);                                                                                     \
    }                                                                                                                  \
  end("f32x4." name);
#define V64(name, op)                                                                                                  \
  for (int i = 0; i < M; i++)                                                                                          \
    for (int j = 0; j < M; j++) {                                                                                      \
      v128_t x = wasm_f64x2_make(f64(i), f64((i + j) % M)), y = wasm_f64x2_splat(f64(j));                              \
      (void)y; v128_t result = op;                                                                                     \
      add(&result, sizeof result);                                                                                     \
    }                                                                                                                  \
  end("f64x2." name);
  V32("add", wasm_f32x4_add(x, y)) V64("add", wasm_f64x2_add(x, y))
  V32("sub", wasm_f32x4_sub(x, y)) V64("sub", wasm_f64x2_sub(x, y))
  V32("mul", wasm_f32x4_mul(x, y)) V64("mul", wasm_f64x2_mul(x, y))
  V32("div", wasm_f32x4_div(x, y)) V64("div", wasm_f64x2_div(x, y))
  V32("min", wasm_f32x4_min(x, y)) V64("min", wasm_f64x2_min(x, y))
  V32("max", wasm_f32x4_max(x, y)) V64("max", wasm_f64x2_max(x, y))
  V32("pmin", wasm_f32x4_pmin(x, y)) V64("pmin", wasm_f64x2_pmin(x, y))
  V32("pmax", wasm_f32x4_pmax(x, y)) V64("pmax", wasm_f64x2_pmax(x, y))
  V32("sqrt", wasm_f32x4_sqrt(x)) V64("sqrt", wasm_f64x2_sqrt(x))
  V32("ceil", wasm_f32x4_ceil(x)) V64("ceil", wasm_f64x2_ceil(x))
  V32("floor", wasm_f32x4_floor(x)) V64("floor", wasm_f64x2_floor(x))
  V32("trunc", wasm_f32x4_trunc(x)) V64("trunc", wasm_f64x2_trunc(x))
  V32("nearest", wasm_f32x4_nearest(x)) V64("nearest", wasm_f64x2_nearest(x))
  V32("neg", wasm_f32x4_neg(x)) V64("abs", wasm_f64x2_abs(x))
  V32("promote", wasm_f64x2_promote_low_f32x4(x)) V64("demote", wasm_f32x4_demote_f64x2_zero(x))
  V32("trunc_sat", wasm_i32x4_trunc_sat_f32x4(x)) V64("trunc_sat", wasm_i32x4_trunc_sat_f64x2_zero(x))
}

int main(void) {
  digest = 14695981039346656037ull;
  BOTH(TWO, "add", x + y, x + y)
  BOTH(TWO, "sub", x - y, x - y)
  BOTH(TWO, "mul", x * y, x * y)
  BOTH(TWO, "div", x / y, x / y)
  BOTH(TWO, "min", __builtin_wasm_min_f32(x, y), __builtin_wasm_min_f64(x, y))
  BOTH(TWO, "max", __builtin_wasm_max_f32(x, y), __builtin_wasm_max_f64(x, y))
  BOTH(TWO, "copysign", copysignf(x, y), copysign(x, y))
  BOTH(TWO, "fma", fmaf(x, y, x), fma(x, y, x))
  BOTH(TWO, "fmod", fmodf(x, y), fmod(x, y))
  BOTH(TWO, "pow", powf(x, y), pow(x, y))
  BOTH(ONE, "sqrt", sqrtf(x), sqrt(x))
  BOTH(ONE, "ceil", ceilf(x), ceil(x))
  BOTH(ONE, "floor", floorf(x), floor(x))
  BOTH(ONE, "trunc", truncf(x), trunc(x))
  BOTH(ONE, "nearest", rintf(x), rint(x))
  BOTH(ONE, "neg", -x, -x)
  BOTH(ONE, "abs", fabsf(x), fabs(x))
  BOTH(ONE, "sin", sinf(x), sin(x))
  BOTH(ONE, "exp", expf(x), exp(x))
  BOTH(ONE, "log", logf(x), log(x))
  ONE("promote", float, N, f32, (double)x)
  ONE("demote", double, M, f64, (float)x)
  vectors();
  return 0;
}
