// Biases and activations, and what is as simple: products with a number, changes of type.
//
// Where columns have a meaning, threads stand in two dimensions: x takes V columns, y a
// row, so that no thread divides and each keeps its biases in registers. Rows follow one
// another in memory, and so do the threads' accesses.
#include "device.cuh"

// tanhOf is accurate to some units in the last place: a polynomial below 0.6, and
// 1 - 2/(exp(2x)+1) above.
DEVICE float tanhOf(float x) {
  float a = floatOf(bitsOf(x) & 0x7fffffff), z = x * x;
  float p = fma(z, -0.00626911972f, 0.021110959f);
  p = fma(z, p, -0.0538739488f);
  p = fma(z, p, 0.133329154f);
  p = fma(z, p, -0.333333303f);
  float small = fma(x * z, p, x);
  float e = exp2(a * 2.88539008f);
  float large = fma(-2.0f, inverse(e + 1), 1.0f);
  large = floatOf(bitsOf(large) | (bitsOf(x) & 0x80000000));
  return a < 0.6f ? small : large;
}

// activate keeps a NaN one, as max(0, x) in Go does, and makes 0 of -0.
template <int A> DEVICE float activate(float x) {
  if constexpr (A == ReLU) return __nvvm_fmax_nan_f(x, 0);
  if constexpr (A == Tanh) return tanhOf(x);
  return x;
}

// slope multiplies a gradient by the activation's derivative, from its output.
template <int A> DEVICE float slope(float dy, float a) {
  if constexpr (A == ReLU) return a > 0 ? dy : 0;
  if constexpr (A == Tanh) return dy * (1 - a * a);
  return dy;
}

// biasAct: y[r][c] = act(y[r][c] + bias[c]). Reads and writes each value once. A thread
// has four rows in flight, or one where there is more to compute.
template <class T, int V, int A>
DEVICE void biasAct(T *y, const float *bias, int rows, int units) {
  const int ahead = A == Tanh ? 1 : 4; // kernels.go has this number, too
  int unit = blockY * threadsX + threadX;
  if (unit >= units) return;
  float b[V];
  Vector<T, V> x[ahead];
#pragma unroll
  for (int i = 0; i < V; i += 4) {
    Vector<float, V < 4 ? V : 4> some;
    some.read(bias + unit * V + i);
#pragma unroll
    for (int j = 0; j < (V < 4 ? V : 4); j++) b[i + j] = some.at(j);
  }
  int row = blockX * (ahead * threadsY) + threadY;
  long long step = (long long)threadsY * units * V;
  y += ((long long)row * units + unit) * V;
#pragma unroll
  for (int j = 0; j < ahead; j++)
    if (row + j * threadsY < rows) x[j].read(y + j * step);
#pragma unroll
  for (int j = 0; j < ahead; j++) {
    if (row + j * threadsY >= rows) return;
    float v[V];
#pragma unroll
    for (int i = 0; i < V; i++) v[i] = activate<A>(x[j].at(i) + b[i]);
    store(y + j * step, v);
  }
}

#define BIAS_ACT(NAME, T, V, ACT)                                                                  \
  KERNEL bias_##ACT##_##NAME(T *y, const float *bias, int rows, int units) {                       \
    biasAct<T, V, ACT>(y, bias, rows, units);                                                      \
  }
EACH_TYPE(BIAS_ACT, None)
EACH_TYPE(BIAS_ACT, ReLU)
EACH_TYPE(BIAS_ACT, Tanh)

// each calls f for count values of x, V at a time, and writes what it makes of them to y.
// Reads and writes each value once. A thread has two vectors in flight.
template <class T, int V, class S, class F>
DEVICE void each(T *y, const S *x, long long count, F f) {
  const int ahead = 2;
  Vector<S, V> v[ahead];
  long long at = (long long)blockX * (ahead * threadsX) + threadX;
#pragma unroll
  for (int j = 0; j < ahead; j++)
    if (at + j * threadsX < count) v[j].read(x + (at + j * threadsX) * V);
#pragma unroll
  for (int j = 0; j < ahead; j++) {
    if (at + j * threadsX >= count) return;
    float r[V];
#pragma unroll
    for (int i = 0; i < V; i++) r[i] = f(v[j].at(i));
    store(y + (at + j * threadsX) * V, r);
  }
}

template <int A> struct Activation {
  __attribute__((device)) float operator()(float x) const { return activate<A>(x); }
};

struct Product {
  float by;
  __attribute__((device)) float operator()(float x) const { return x * by; }
};

// activate: y = act(x).
#define ACTIVATE(NAME, T, V, ACT)                                                                  \
  KERNEL activate_##ACT##_##NAME(T *y, const T *x, long long count) {                              \
    each<T, V>(y, x, count, Activation<ACT>());                                                    \
  }
EACH_TYPE(ACTIVATE, None)
EACH_TYPE(ACTIVATE, ReLU)
EACH_TYPE(ACTIVATE, Tanh)

// scale: y = x*by.
#define SCALE(NAME, T, V)                                                                          \
  KERNEL scale_##NAME(T *y, const T *x, long long count, float by) {                               \
    each<T, V>(y, x, count, Product{by});                                                          \
  }
EACH_TYPE(SCALE)

// widen and narrow change the type: 2 bytes a value on one side, 4 on the other.
KERNEL widen(float *y, const bfloat16 *x, long long count) {
  each<float, 1>(y, x, count, Activation<None>());
}
KERNEL widen_v(float *y, const bfloat16 *x, long long count) {
  each<float, 4>(y, x, count, Activation<None>());
}
KERNEL narrow(bfloat16 *y, const float *x, long long count) {
  each<bfloat16, 1>(y, x, count, Activation<None>());
}
KERNEL narrow_v(bfloat16 *y, const float *x, long long count) {
  each<bfloat16, 4>(y, x, count, Activation<None>());
}

// keep: g = keep ? g : 0. Reads a byte a value and writes only the zeros, with which most
// of the values that are none need no traffic at all.
KERNEL keep(float *g, const uint8 *keep, long long count) {
  long long at = (long long)blockX * (4 * threadsX) + threadX;
#pragma unroll
  for (int j = 0; j < 4; j++, at += threadsX)
    if (at < count && !keep[at]) g[at] = 0;
}

// actBackward: dz = dy*act'(a), and the sums of dz's columns over the rows of this block
// to partial, if that is not 0. Reads dy and a once each, writes dz once; partial is small.
// The rows of a block are those that the number of blocks makes its own, so the order of
// the sums depends on the shape alone.
template <class T, int V, int A>
DEVICE void actBackward(T *dz, const T *dy, const T *a, float *partial, int rows, int units) {
  const int ahead = 2;
  static SHARED float sums[256 * V];
  int unit = blockY * threadsX + threadX;
  bool write = A != None || dz != dy;
  float total[V];
#pragma unroll
  for (int i = 0; i < V; i++) total[i] = 0;
  if (unit < units) {
    int stride = blocksX * threadsY;
    long long step = (long long)stride * units * V;
    long long at = ((long long)(blockX * threadsY + threadY) * units + unit) * V;
    for (int row = blockX * threadsY + threadY; row < rows; row += ahead * stride, at += ahead * step) {
      Vector<T, V> d[ahead], o[ahead];
#pragma unroll
      for (int j = 0; j < ahead; j++) {
        if (row + j * stride >= rows) continue;
        d[j].read(dy + at + j * step);
        if (A != None) o[j].read(a + at + j * step);
      }
#pragma unroll
      for (int j = 0; j < ahead; j++) {
        if (row + j * stride >= rows) continue;
        float v[V];
#pragma unroll
        for (int i = 0; i < V; i++) {
          v[i] = slope<A>(d[j].at(i), o[j].at(i));
          total[i] += v[i];
        }
        if (write) store(dz + at + j * step, v);
      }
    }
  }
  if (!partial) return;
  int wide = threadsX * V;
#pragma unroll
  for (int i = 0; i < V; i++) sums[threadY * wide + threadX * V + i] = total[i];
  __syncthreads();
  int first = blockY * wide, columns = least(wide, units * V - first);
  for (int c = threadY * threadsX + threadX; c < columns; c += threadsX * threadsY) {
    float sum = 0;
    for (int y = 0; y < threadsY; y++) sum += sums[y * wide + c];
    partial[(long long)blockX * units * V + first + c] = sum;
  }
}

#define ACT_BACKWARD(NAME, T, V, ACT)                                                              \
  KERNEL backward_##ACT##_##NAME(T *dz, const T *dy, const T *a, float *partial, int rows,         \
                                 int units) {                                                      \
    actBackward<T, V, ACT>(dz, dy, a, partial, rows, units);                                       \
  }
EACH_TYPE(ACT_BACKWARD, None)
EACH_TYPE(ACT_BACKWARD, ReLU)
EACH_TYPE(ACT_BACKWARD, Tanh)

// bias_sums: sums[c] = the sum of column c of partial, rows x columns. Reads partial once.
// A block has 32 columns, and 32 threads for each.
KERNEL bias_sums(float *sums, const float *partial, int rows, int columns) {
  static SHARED float parts[32][32];
  int c = blockX * 32 + threadX;
  float sum = 0;
  if (c < columns) {
#pragma unroll 4
    for (int r = threadY; r < rows; r += 32) sum += partial[(long long)r * columns + c];
  }
  parts[threadY][threadX] = sum;
  __syncthreads();
  if (threadY || c >= columns) return;
  float total = 0;
#pragma unroll
  for (int y = 0; y < 32; y++) total += parts[y][threadX];
  sums[c] = total;
}
