// Max-pooling. Windows may hang over the end of a map. Of equal values the first in reading
// order counts, and alone gets the gradient; the first NaN is larger than all.
//
// Threads stand along the channels, V each; y counts columns of a part of a row; the grid's
// y counts rows and z images.
#include "device.cuh"

// Sides are those of the map that is pooled and of the result.
struct Sides {
  int inH, inW, outH, outW;
};

// Best is a maximum so far, and its place in the window.
struct Best {
  float value;
  int place;

  // A greater one takes its place, and a NaN unless there is one.
  __attribute__((device)) void see(float v, int at) {
    if (!(v <= value) && value == value) value = v, place = at;
  }
};

// indices writes the places, a byte each.
template <int V> DEVICE void indices(uint8 *p, const Best (&b)[V]) {
  if constexpr (V == 1) {
    *p = (uint8)b[0].place;
  } else {
    uint32 w[V / 4];
#pragma unroll
    for (int i = 0; i < V; i += 4)
      w[i / 4] = b[i].place | b[i + 1].place << 8 | b[i + 2].place << 16 | b[i + 3].place << 24;
    if constexpr (V == 4)
      *(uint32 *)p = w[0];
    else
      *(words2 *)p = words2{w[0], w[1]};
  }
}

// poolForward: reads each value of x once for each window that it is in, from memory once;
// writes y and, if index is not 0, a byte a value of y. Windows of K, or of any size where
// K is 0. What hangs over the end repeats the last row and column, which changes nothing:
// equals come too late.
template <class T, int V, int K>
DEVICE void poolForward(T *y, uint8 *index, const T *x, Sides s, int units, int side, int stride) {
  int ox = blockX * threadsY + threadY, oy = blockY;
  if (ox >= s.outW) return;
  long long image = blockZ;
  x += image * s.inH * s.inW * units * V;
  y += image * s.outH * s.outW * units * V;
  if (index) index += image * s.outH * s.outW * units * V;
  int out = (oy * s.outW + ox) * units * V;
  int top = oy * stride, left = ox * stride;
  for (int unit = threadX; unit < units; unit += threadsX) {
    Best best[V];
#pragma unroll
    for (int i = 0; i < V; i++) best[i] = Best{floatOf(0xff800000), 0};
    if constexpr (K > 0) {
      Vector<T, V> v[K * K];
#pragma unroll
      for (int j = 0; j < K * K; j++) {
        int iy = least(top + j / K, s.inH - 1), ix = least(left + j % K, s.inW - 1);
        v[j].read(x + ((iy * s.inW + ix) * units + unit) * V);
      }
#pragma unroll
      for (int j = 0; j < K * K; j++)
#pragma unroll
        for (int i = 0; i < V; i++) best[i].see(v[j].at(i), j);
    } else {
      int bottom = least(top + side, s.inH), right = least(left + side, s.inW);
      for (int iy = top; iy < bottom; iy++)
        for (int ix = left; ix < right; ix++) {
          float v[V];
          load(v, x + ((iy * s.inW + ix) * units + unit) * V);
#pragma unroll
          for (int i = 0; i < V; i++) best[i].see(v[i], (iy - top) * side + ix - left);
        }
    }
    float v[V];
#pragma unroll
    for (int i = 0; i < V; i++) v[i] = best[i].value;
    store(y + out + unit * V, v);
    if (index) indices<V>(index + out + unit * V, best);
  }
}

// bytes4 packs the lowest bytes of four words.
DEVICE uint32 bytes4(uint32 a, uint32 b, uint32 c, uint32 d) {
  return __nvvm_prmt(__nvvm_prmt(a, b, 0x40), __nvvm_prmt(c, d, 0x40), 0x5410);
}

// ordered makes of two bfloat16 in a word two integers in the order of the values, and back:
// it inverts all bits of the negative ones but the sign.
DEVICE uint32 ordered(uint32 w) { return w ^ (__nvvm_prmt(w, 0, 0xbb99) & 0x7fff7fff); }

// poolForward3 is poolForward for windows of three and bfloat16, in integers: a value and
// its place make a key, as in model/cpu, and the greatest key has the maximum and its place.
// That takes half the instructions of comparing the values, which would be more than the
// memory leaves time for. +0 is greater than -0 here.
DEVICE void poolForward3(bfloat16 *y, uint8 *index, const bfloat16 *x, Sides s, int units, int stride) {
  // What ordered makes of -infinity; only NaNs are below, and they go above all so.
  const uint32 lowest = 0x807f0000;
  int ox = blockX * threadsY + threadY, oy = blockY;
  if (ox >= s.outW) return;
  long long image = blockZ;
  const words4 *from = (const words4 *)x + image * s.inH * s.inW * units;
  words4 *to = (words4 *)y + image * s.outH * s.outW * units;
  words2 *places = (words2 *)index + image * s.outH * s.outW * units;
  int out = (oy * s.outW + ox) * units;
  int top = oy * stride, left = ox * stride;
  for (int unit = threadX; unit < units; unit += threadsX) {
    words4 v[9];
#pragma unroll
    for (int j = 0; j < 9; j++) {
      int iy = least(top + j / 3, s.inH - 1), ix = least(left + j % 3, s.inW - 1);
      v[j] = from[(iy * s.inW + ix) * units + unit];
    }
    uint32 best[8];
#pragma unroll
    for (int i = 0; i < 8; i++) best[i] = 0;
#pragma unroll
    for (int j = 0; j < 9; j++)
#pragma unroll
      for (int i = 0; i < 4; i++) {
        uint32 w = ordered(v[j][i]), place = (8 - j) - lowest; // earlier places are greater
        uint32 low = (w << 16) + place, high = (w & 0xffff0000) + place;
        best[2 * i] = low > best[2 * i] ? low : best[2 * i];
        best[2 * i + 1] = high > best[2 * i + 1] ? high : best[2 * i + 1];
      }
    words4 r;
#pragma unroll
    for (int i = 0; i < 8; i++) best[i] += lowest;
#pragma unroll
    for (int i = 0; i < 4; i++) r[i] = ordered(__nvvm_prmt(best[2 * i], best[2 * i + 1], 0x7632));
    to[out + unit] = r;
    if (index)
      places[out + unit] = words2{0x08080808 - bytes4(best[0], best[1], best[2], best[3]),
                                  0x08080808 - bytes4(best[4], best[5], best[6], best[7])};
  }
}

// Places are the places of maxima in their windows, four in a word.
template <int V> struct Places {
  uint32 w[(V + 3) / 4];

  __attribute__((device, always_inline)) inline void read(const uint8 *p) {
    if constexpr (V == 1) {
      w[0] = *p;
    } else if constexpr (V == 4) {
      w[0] = *(const uint32 *)p;
    } else {
      words2 both = *(const words2 *)p;
      w[0] = both.x, w[1] = both.y;
    }
  }
  // add adds to the sums those values whose maximum is at place.
  template <class T>
  __attribute__((device, always_inline)) inline void add(float (&sum)[V], const Vector<T, V> &d, int place) const {
#pragma unroll
    for (int i = 0; i < V; i++) {
      uint32 other = w[i / 4] ^ (uint32)place * 0x01010101;
      if (!(other & 0xffu << (i % 4 * 8))) sum[i] += d.at(i);
    }
  }
};

// poolBackward: writes dx once, and reads dy and index once for each value of the window,
// from memory once. Each value of dx gathers from the windows that it is in. The order of
// the sums is that of the windows.
template <class T, int V>
DEVICE void poolBackward(T *dx, const T *dy, const uint8 *index, Sides s, int units, int side,
                         Divisor stride) {
  int ix = blockX * threadsY + threadY, iy = blockY, step = (int)stride.by;
  if (ix >= s.inW) return;
  long long image = blockZ;
  dx += image * s.inH * s.inW * units * V;
  dy += image * s.outH * s.outW * units * V;
  index += image * s.outH * s.outW * units * V;
  // The first window that reaches the value, and the last that begins at or before it.
  int top = iy < side ? 0 : stride.divide(iy - side) + 1, left = ix < side ? 0 : stride.divide(ix - side) + 1;
  int bottom = least(stride.divide(iy), s.outH - 1), right = least(stride.divide(ix), s.outW - 1);
  for (int unit = threadX; unit < units; unit += threadsX) {
    float sum[V];
#pragma unroll
    for (int i = 0; i < V; i++) sum[i] = 0;
    for (int oy = top; oy <= bottom; oy++)
      for (int ox = left; ox <= right; ox++) {
        int at = ((oy * s.outW + ox) * units + unit) * V;
        Vector<T, V> d;
        Places<V> p;
        d.read(dy + at);
        p.read(index + at);
        p.add(sum, d, (iy - oy * step) * side + ix - ox * step);
      }
    store(dx + ((iy * s.inW + ix) * units + unit) * V, sum);
  }
}

// poolBackward3 is poolBackward for windows of three and a stride of two, the paper's. A
// thread has two by two values, which lie in the same four windows or fewer: it reads a
// window a value, and no neighbour does anything else.
template <class T, int V>
DEVICE void poolBackward3(T *dx, const T *dy, const uint8 *index, Sides s, int units) {
  int column = blockX * threadsY + threadY, row = blockY;
  if (2 * column >= s.inW) return;
  long long image = blockZ;
  dx += image * s.inH * s.inW * units * V;
  dy += image * s.outH * s.outW * units * V;
  index += image * s.outH * s.outW * units * V;
  for (int unit = threadX; unit < units; unit += threadsX) {
    Vector<T, V> d[4];
    Places<V> p[4];
#pragma unroll
    for (int j = 0; j < 4; j++) {
      int oy = row - 1 + j / 2, ox = column - 1 + j % 2, at = ((oy * s.outW + ox) * units + unit) * V;
#pragma unroll
      for (int i = 0; i < (V + 3) / 4; i++) p[j].w[i] = 0xffffffff; // no place
      if (oy < 0 || oy >= s.outH || ox < 0 || ox >= s.outW) continue;
      d[j].read(dy + at);
      p[j].read(index + at);
    }
#pragma unroll
    for (int v = 0; v < 4; v++) {
      int iy = 2 * row + v / 2, ix = 2 * column + v % 2;
      if (iy >= s.inH || ix >= s.inW) continue;
      float sum[V];
#pragma unroll
      for (int i = 0; i < V; i++) sum[i] = 0;
#pragma unroll
      for (int j = 0; j < 4; j++) {
        int y = v / 2 + (j / 2 ? 0 : 2), x = v % 2 + (j % 2 ? 0 : 2);
        if (y < 3 && x < 3) p[j].add(sum, d[j], 3 * y + x);
      }
      store(dx + ((iy * s.inW + ix) * units + unit) * V, sum);
    }
  }
}

#define POOL_FORWARD(NAME, T, V, SUFFIX, K)                                                        \
  KERNEL pool_forward##SUFFIX##_##NAME(T *y, uint8 *index, const T *x, int inH, int inW, int outH, \
                                       int outW, int units, int side, int stride) {                \
    poolForward<T, V, K>(y, index, x, Sides{inH, inW, outH, outW}, units, side, stride);           \
  }
EACH_TYPE(POOL_FORWARD, , 0)
POOL_FORWARD(f32v, float, 4, 3, 3)
KERNEL pool_forward3_bf16v(bfloat16 *y, uint8 *index, const bfloat16 *x, int inH, int inW, int outH,
                           int outW, int units, int, int stride) {
  poolForward3(y, index, x, Sides{inH, inW, outH, outW}, units, stride);
}

#define POOL_BACKWARD(NAME, T, V)                                                                  \
  KERNEL pool_backward_##NAME(T *dx, const T *dy, const uint8 *index, int inH, int inW, int outH,  \
                              int outW, int units, int side, uint32 by, uint32 factor,             \
                              uint32 shift) {                                                      \
    poolBackward<T, V>(dx, dy, index, Sides{inH, inW, outH, outW}, units, side,                    \
                       Divisor{by, factor, shift});                                                \
  }
EACH_TYPE(POOL_BACKWARD)

#define POOL_BACKWARD3(NAME, T, V)                                                                 \
  KERNEL pool_backward3_##NAME(T *dx, const T *dy, const uint8 *index, int inH, int inW, int outH, \
                               int outW, int units) {                                              \
    poolBackward3<T, V>(dx, dy, index, Sides{inH, inW, outH, outW}, units);                        \
  }
POOL_BACKWARD3(f32v, float, 4)
POOL_BACKWARD3(bf16v, bfloat16, 8)
