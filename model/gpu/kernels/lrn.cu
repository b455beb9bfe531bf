// Local response normalisation over the channels of each position, the paper's section 3.3:
//
//	s[c] = k + alpha * sum of x[j]^2 over the channels j around c, of c's group
//	y[c] = x[c] * s[c]^-beta
//	dx[c] = dy[c]*s[c]^-beta - 2*alpha*beta * x[c] * sum of dy[j]*x[j]*s[j]^(-beta-1)
//
// There are two of each kernel. The first is for the paper's windows of five channels and
// its beta of 3/4, with V channels a thread; the other is for anything.
#include "device.cuh"
#include "window.cuh"

// Neighbours are V channels and the two on either side, or zeros beyond the group.
template <class T, int V> struct Neighbours {
  Vector<T, V> own;
  Vector<T, 2> left, right;

  __attribute__((device, always_inline)) inline void read(const T *x, bool before, bool after) {
    left.w[0] = right.w[0] = 0;
    if constexpr (sizeof(T) == 4) left.w[1] = right.w[1] = 0;
    if (before) left.read(x - 2);
    if (after) right.read(x + V);
    own.read(x);
  }
  __attribute__((device, always_inline)) inline void get(float (&v)[V + 4]) const {
#pragma unroll
    for (int i = 0; i < V + 4; i++) v[i] = i < 2 ? left.at(i) : i < V + 2 ? own.at(i - 2) : right.at(i - V - 2);
  }
};

// round2 rounds two values to T.
DEVICE void round2(const float *, float &, float &) {}
DEVICE void round2(const bfloat16 *, float &a, float &b) {
  uint32 word = pack(a, b);
  a = low(word), b = high(word);
}

// Biases are those of V channels and of the two on either side. With them x is what a
// convolution gave, and what is normalised is its sum with them after a ReLU, rounded as
// if it had been to memory in between.
template <int V> struct Biases {
  float b[V + 4];

  __attribute__((device, always_inline)) inline void read(const float *bias, bool before, bool after) {
    Vector<float, 2> left, right;
    left.w[0] = left.w[1] = right.w[0] = right.w[1] = 0;
    if (before) left.read(bias - 2);
    if (after) right.read(bias + V);
    b[0] = left.at(0), b[1] = left.at(1), b[V + 2] = right.at(0), b[V + 3] = right.at(1);
#pragma unroll
    for (int i = 0; i < V; i += 4) {
      Vector<float, 4> own;
      own.read(bias + i);
#pragma unroll
      for (int j = 0; j < 4; j++) b[2 + i + j] = own.at(j);
    }
  }
  // Beyond the group both are zeros, and stay so.
  template <class T> __attribute__((device, always_inline)) inline void add(const T *type, float (&v)[V + 4]) const {
#pragma unroll
    for (int i = 0; i < V + 4; i += 2) {
      v[i] = __nvvm_fmax_nan_f(v[i] + b[i], 0);
      v[i + 1] = __nvvm_fmax_nan_f(v[i + 1] + b[i + 1], 0);
      round2(type, v[i], v[i + 1]);
    }
  }
};

template <int V> DEVICE void squares(float (&q)[V], const float (&v)[V]) {
#pragma unroll
  for (int i = 0; i < V; i++) q[i] = v[i] * v[i];
}

// five sets s to the sums of the five terms around each.
template <int V> DEVICE void five(float (&s)[V], const float (&q)[V + 4]) {
  float two[V + 2];
#pragma unroll
  for (int i = 0; i < V + 2; i++) two[i] = q[i] + q[i + 1];
#pragma unroll
  for (int i = 0; i < V; i++) s[i] = two[i] + (two[i + 2] + q[i + 4]);
}

// lrnForward reads x from memory once (the two neighbours on either side come from the
// nearest cache) and writes y. Threads stand along the channels; y counts rows, and each
// has two in flight.
template <class T, int V>
DEVICE void lrnForward(T *y, const T *x, const float *bias, int rows, int units, Divisor group,
                       float alpha, float k) {
  const int ahead = 2;
  int unit = blockY * threadsX + threadX;
  if (unit >= units) return;
  int place = unit - group.divide(unit) * (int)group.by;
  bool before = place > 0, after = place < (int)group.by - 1;
  int row = blockX * (ahead * threadsY) + threadY;
  long long at = ((long long)row * units + unit) * V, step = (long long)threadsY * units * V;
  Neighbours<T, V> n[ahead];
#pragma unroll
  for (int j = 0; j < ahead; j++) {
    if (row + j * threadsY < rows) n[j].read(x + at + j * step, before, after);
  }
  Biases<V> b;
  if (bias) b.read(bias + unit * V, before, after);
#pragma unroll
  for (int j = 0; j < ahead; j++) {
    if (row + j * threadsY >= rows) return;
    float v[V], w[V + 4], q[V + 4], s[V];
    n[j].get(w);
    if (bias) b.add(x, w);
    squares(q, w);
    five(s, q);
#pragma unroll
    for (int i = 0; i < V; i++) {
      float r = rootInverse(fma(alpha, s[i], k));
      v[i] = w[i + 2] * (r * root(r));
    }
    store(y + at + j * step, v);
  }
}

// lrnBackward reads x and dy from memory once and writes dx. A row's threads stand side by
// side in one block, and hand each other the outer terms of their sums in shared memory.
template <class T, int V>
DEVICE void lrnBackward(T *dx, const T *dy, const T *x, const float *bias, int rows, int units,
                        Divisor group, float alpha, float k, float factor, int relu) {
  static SHARED floats4 edges[256]; // the first two and the last two terms
  int unit = threadX, row = blockX * threadsY + threadY, me = threadY * threadsX + threadX;
  int place = unit - group.divide(unit) * (int)group.by;
  bool before = place > 0, after = place < (int)group.by - 1;
  long long at = ((long long)row * units + unit) * V;
  float v[V], d[V], s[V], term[V + 4];
  if (row < rows) {
    Neighbours<T, V> n;
    Vector<T, V> up;
    float q[V + 4], w[V + 4];
    up.read(dy + at);
    n.read(x + at, before, after);
    up.get(d);
    n.get(w);
    if (bias) {
      Biases<V> b;
      b.read(bias + unit * V, before, after);
      b.add(x, w);
    }
#pragma unroll
    for (int i = 0; i < V; i++) v[i] = w[i + 2];
    squares(q, w);
    five(s, q);
#pragma unroll
    for (int i = 0; i < V; i++) {
      float r = rootInverse(fma(alpha, s[i], k));
      d[i] *= r * root(r);
      term[i + 2] = d[i] * v[i] * (r * r);
    }
    edges[me] = floats4{term[2], term[3], term[V], term[V + 1]};
  }
  __syncthreads();
  if (row >= rows) return;
  term[0] = term[1] = term[V + 2] = term[V + 3] = 0;
  if (before) term[0] = edges[me - 1].z, term[1] = edges[me - 1].w;
  if (after) term[V + 2] = edges[me + 1].x, term[V + 3] = edges[me + 1].y;
  five(s, term);
#pragma unroll
  for (int i = 0; i < V; i++) {
    d[i] = fma(-factor * v[i], s[i], d[i]);
    if (relu && !(v[i] > 0)) d[i] = 0;
  }
  store(dx + at, d);
}

#define LRN(NAME, T, V)                                                                            \
  KERNEL lrn_forward_##NAME(T *y, const T *x, const float *bias, int rows, int units, uint32 by,   \
                            uint32 factor, uint32 shift, float alpha, float k) {                   \
    lrnForward<T, V>(y, x, bias, rows, units, Divisor{by, factor, shift}, alpha, k);               \
  }                                                                                                \
  KERNEL lrn_backward_##NAME(T *dx, const T *dy, const T *x, const float *bias, int rows,          \
                             int units, uint32 by, uint32 factor, uint32 shift, float alpha,       \
                             float k, float twice, int relu) {                                     \
    lrnBackward<T, V>(dx, dy, x, bias, rows, units, Divisor{by, factor, shift}, alpha, k, twice,   \
                      relu);                                                                       \
  }
LRN(f32v, float, 4)
LRN(bf16v, bfloat16, 8)

// around adds the terms of the channels around c, of its group.
DEVICE float around(const float *terms, int c, int half, const Divisor &group) {
  int first = group.divide(c) * (int)group.by, last = first + (int)group.by - 1;
  if (first < c - half) first = c - half;
  last = least(last, c + half);
  float sum = 0;
  for (int j = first; j <= last; j++) sum += terms[j];
  return sum;
}

// lrnAnyForward has the squares of its rows in shared memory: a float32 a channel. Reads x
// twice, the second time from cache, and writes y.
template <class T>
DEVICE void lrnAnyForward(T *y, const T *x, int rows, int channels, Divisor group, Window w) {
  int row = blockX * threadsY + threadY;
  float *q = line + threadY * channels, v[1];
  x += (long long)row * channels, y += (long long)row * channels;
  if (row < rows)
    for (int c = threadX; c < channels; c += threadsX) {
      load(v, x + c);
      q[c] = v[0] * v[0];
    }
  __syncthreads();
  if (row >= rows) return;
  for (int c = threadX; c < channels; c += threadsX) {
    load(v, x + c);
    v[0] *= w.power(w.base(around(q, c, w.half, group)));
    store(y + c, v);
  }
}

// lrnAnyBackward has three float32 a channel in shared memory: the squares, the powers of
// s, and the terms of the sums. Reads x and dy from memory once and writes dx.
template <class T>
DEVICE void lrnAnyBackward(T *dx, const T *dy, const T *x, int rows, int channels, Divisor group,
                           Window w, float factor, int relu) {
  int row = blockX * threadsY + threadY;
  float *q = line + 3 * threadY * channels, *power = q + channels, *term = power + channels;
  float v[1], d[1];
  x += (long long)row * channels, dy += (long long)row * channels, dx += (long long)row * channels;
  if (row < rows)
    for (int c = threadX; c < channels; c += threadsX) {
      load(v, x + c);
      q[c] = v[0] * v[0];
    }
  __syncthreads();
  if (row < rows)
    for (int c = threadX; c < channels; c += threadsX) {
      load(v, x + c);
      load(d, dy + c);
      float s = w.base(around(q, c, w.half, group));
      power[c] = w.power(s);
      term[c] = d[0] * v[0] * power[c] * inverse(s);
    }
  __syncthreads();
  if (row >= rows) return;
  for (int c = threadX; c < channels; c += threadsX) {
    load(v, x + c);
    load(d, dy + c);
    d[0] = fma(-factor * v[0], around(term, c, w.half, group), d[0] * power[c]);
    if (relu && !(v[0] > 0)) d[0] = 0;
    store(dx + c, d);
  }
}

#define LRN_ANY(NAME, T)                                                                           \
  KERNEL lrn_any_forward_##NAME(T *y, const T *x, int rows, int channels, uint32 by, uint32 factor, \
                                uint32 shift, int half, float alpha, float beta, float k) {        \
    lrnAnyForward<T>(y, x, rows, channels, Divisor{by, factor, shift}, Window{half, alpha, beta, k}); \
  }                                                                                                \
  KERNEL lrn_any_backward_##NAME(T *dx, const T *dy, const T *x, int rows, int channels, uint32 by, \
                                 uint32 factor, uint32 shift, int half, float alpha, float beta,   \
                                 float k, float twice, int relu) {                                 \
    lrnAnyBackward<T>(dx, dy, x, rows, channels, Divisor{by, factor, shift},                       \
                      Window{half, alpha, beta, k}, twice, relu);                                  \
  }
LRN_ANY(f32, float)
LRN_ANY(bf16, bfloat16)
