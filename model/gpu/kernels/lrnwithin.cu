// Response normalisation within channels: as over channels, but the sums are over the
// square of positions around each, in its own channel. Beyond the edges there are zeros.
#include "device.cuh"
#include "window.cuh"

// Plane is the map of an image, with channels last in memory.
struct Plane {
  int height, width, channels;

  // around adds f of the places in the square around (y, x).
  template <class F> __attribute__((device)) float around(int y, int x, int half, F f) const {
    float sum = 0;
    int top = y < half ? 0 : y - half, left = x < half ? 0 : x - half;
    for (int i = top; i <= least(y + half, height - 1); i++)
      for (int j = left; j <= least(x + half, width - 1); j++) sum += f((i * width + j) * channels);
    return sum;
  }
};

template <class T> struct Square {
  const T *x;
  __attribute__((device)) float operator()(int at) const {
    float v[1];
    load(v, x + at);
    return v[0] * v[0];
  }
};

// lrnWithinForward: a thread has a value, and reads its window from cache. Threads stand
// along the channels; y counts columns; the grid's y counts rows and z images.
template <class T> DEVICE void lrnWithinForward(T *y, const T *x, Plane p, Window w) {
  int column = blockX * threadsY + threadY;
  if (column >= p.width) return;
  long long image = (long long)blockZ * p.height * p.width * p.channels;
  int at = (blockY * p.width + column) * p.channels;
  for (int c = threadX; c < p.channels; c += threadsX) {
    float v[1];
    load(v, x + image + at + c);
    v[0] *= w.power(w.base(p.around(blockY, column, w.half, Square<T>{x + image + c})));
    store(y + image + at + c, v);
  }
}

// lrnWithinBackward has threadsX channels of an image in a block, with three float32 a value
// in shared memory as in lrnAnyBackward. Reads x and dy from memory once and writes dx.
template <class T>
DEVICE void lrnWithinBackward(T *dx, const T *dy, const T *x, Plane p, Window w, float factor) {
  int c = blockX * threadsX + threadX, wide = threadsX, area = p.height * p.width;
  bool mine = c < p.channels;
  long long image = (long long)blockZ * area * p.channels + c;
  float *q = line + threadX, *power = q + area * wide, *terms = power + area * wide;
  Plane near{p.height, p.width, wide};
  float v[1], d[1];
  if (mine)
    for (int i = threadY; i < area; i += threadsY) {
      load(v, x + image + i * p.channels);
      q[i * wide] = v[0] * v[0];
    }
  __syncthreads();
  if (mine)
    for (int i = threadY; i < area; i += threadsY) {
      int row = i / p.width;
      load(v, x + image + i * p.channels);
      load(d, dy + image + i * p.channels);
      float s = w.base(near.around(row, i - row * p.width, w.half, [q](int at) { return q[at]; }));
      power[i * wide] = w.power(s);
      terms[i * wide] = d[0] * v[0] * power[i * wide] * inverse(s);
    }
  __syncthreads();
  if (!mine) return;
  for (int i = threadY; i < area; i += threadsY) {
    int row = i / p.width;
    load(v, x + image + i * p.channels);
    load(d, dy + image + i * p.channels);
    float s = near.around(row, i - row * p.width, w.half, [terms](int at) { return terms[at]; });
    d[0] = fma(-factor * v[0], s, d[0] * power[i * wide]);
    store(dx + image + i * p.channels, d);
  }
}

// lrnWithinLarge is lrnWithinBackward for maps that do not fit into shared memory. It
// computes the terms of each sum anew, from cache.
template <class T>
DEVICE void lrnWithinLarge(T *dx, const T *dy, const T *x, Plane p, Window w, float factor) {
  int column = blockX * threadsY + threadY;
  if (column >= p.width) return;
  long long image = (long long)blockZ * p.height * p.width * p.channels;
  for (int c = threadX; c < p.channels; c += threadsX) {
    const T *xs = x + image + c, *ds = dy + image + c;
    float sum = 0, v[1], d[1];
    int top = blockY < w.half ? 0 : blockY - w.half, left = column < w.half ? 0 : column - w.half;
    for (int i = top; i <= least(blockY + w.half, p.height - 1); i++)
      for (int j = left; j <= least(column + w.half, p.width - 1); j++) {
        float s = w.base(p.around(i, j, w.half, Square<T>{xs}));
        load(v, xs + (i * p.width + j) * p.channels);
        load(d, ds + (i * p.width + j) * p.channels);
        sum += d[0] * v[0] * w.power(s) * inverse(s);
      }
    int at = (blockY * p.width + column) * p.channels;
    load(v, xs + at);
    load(d, ds + at);
    float s = w.base(p.around(blockY, column, w.half, Square<T>{xs}));
    d[0] = fma(-factor * v[0], sum, d[0] * w.power(s));
    store(dx + image + at + c, d);
  }
}

#define LRN_WITHIN(NAME, T)                                                                        \
  KERNEL lrn_within_forward_##NAME(T *y, const T *x, int height, int width, int channels, int half, \
                                   float alpha, float beta, float k) {                             \
    lrnWithinForward<T>(y, x, Plane{height, width, channels}, Window{half, alpha, beta, k});       \
  }                                                                                                \
  KERNEL lrn_within_backward_##NAME(T *dx, const T *dy, const T *x, int height, int width,         \
                                    int channels, int half, float alpha, float beta, float k,      \
                                    float twice) {                                                 \
    lrnWithinBackward<T>(dx, dy, x, Plane{height, width, channels}, Window{half, alpha, beta, k},  \
                         twice);                                                                   \
  }                                                                                                \
  KERNEL lrn_within_large_##NAME(T *dx, const T *dy, const T *x, int height, int width,            \
                                 int channels, int half, float alpha, float beta, float k,         \
                                 float twice) {                                                    \
    lrnWithinLarge<T>(dx, dy, x, Plane{height, width, channels}, Window{half, alpha, beta, k},     \
                      twice);                                                                      \
  }
LRN_WITHIN(f32, float)
LRN_WITHIN(bf16, bfloat16)
