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
  long long out = ((image * s.outH + oy) * s.outW + ox) * units * V;
  int top = oy * stride, left = ox * stride;
  for (int unit = threadX; unit < units; unit += threadsX) {
    Best best[V];
#pragma unroll
    for (int i = 0; i < V; i++) best[i] = Best{floatOf(0xff800000), 0};
    if constexpr (K > 0) {
      float v[K * K][V];
#pragma unroll
      for (int j = 0; j < K * K; j++) {
        int iy = least(top + j / K, s.inH - 1), ix = least(left + j % K, s.inW - 1);
        load(v[j], x + ((iy * s.inW + ix) * units + unit) * V);
      }
#pragma unroll
      for (int j = 0; j < K * K; j++)
#pragma unroll
        for (int i = 0; i < V; i++) best[i].see(v[j][i], j);
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
  long long out = ((image * s.outH + oy) * s.outW + ox) * units;
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
    ((words4 *)y)[out + unit] = r;
    if (index)
      ((words2 *)index)[out + unit] = words2{0x08080808 - bytes4(best[0], best[1], best[2], best[3]),
                                             0x08080808 - bytes4(best[4], best[5], best[6], best[7])};
  }
}

// Places are the places of maxima in their windows, four in a word.
template <int V> struct Places {
  uint32 w[(V + 3) / 4];
  __attribute__((device)) void read(const uint8 *p) {
    if constexpr (V == 1) {
      w[0] = *p;
    } else if constexpr (V == 4) {
      w[0] = *(const uint32 *)p;
    } else {
      words2 both = *(const words2 *)p;
      w[0] = both.x, w[1] = both.y;
    }
  }
  // seek makes those bytes 0 that are place.
  __attribute__((device)) void seek(int place) {
#pragma unroll
    for (int i = 0; i < (V + 3) / 4; i++) w[i] ^= (uint32)place * 0x01010101;
  }
  __attribute__((device)) bool found(int i) const { return (w[i / 4] & 0xffu << (i % 4 * 8)) == 0; }
};

// poolBackward: writes dx once, and reads dy and index once for each value of the window,
// from memory once. Each value of dx gathers from the windows that it is in; where Few,
// those are at most two in each direction. The order of the sums is that of the windows.
template <class T, int V, bool Few>
DEVICE void poolBackward(T *dx, const T *dy, const uint8 *index, Sides s, int units, int side,
                         Divisor stride) {
  int ix = blockX * threadsY + threadY, iy = blockY, step = (int)stride.by;
  if (ix >= s.inW) return;
  long long image = blockZ, in = ((image * s.inH + iy) * s.inW + ix) * units * V;
  dy += image * s.outH * s.outW * units * V;
  index += image * s.outH * s.outW * units * V;
  // The last window that begins at or before the value, and the first that reaches it.
  int bottom = least(stride.divide(iy), s.outH - 1), right = least(stride.divide(ix), s.outW - 1);
  int top = iy < side ? 0 : stride.divide(iy - side) + 1, left = ix < side ? 0 : stride.divide(ix - side) + 1;
  for (int unit = threadX; unit < units; unit += threadsX) {
    float sum[V];
#pragma unroll
    for (int i = 0; i < V; i++) sum[i] = 0;
    if constexpr (Few) {
      int at = ((top * s.outW + left) * units + unit) * V;
      int place = (iy - top * step) * side + ix - left * step;
      float d[4][V];
      Places<V> p[4];
#pragma unroll
      for (int j = 0; j < 4; j++) {
        if (top + j / 2 > bottom || left + j % 2 > right) continue;
        int to = at + (j / 2 * s.outW + j % 2) * units * V;
        load(d[j], dy + to);
        p[j].read(index + to);
      }
#pragma unroll
      for (int j = 0; j < 4; j++) {
        if (top + j / 2 > bottom || left + j % 2 > right) continue;
        p[j].seek(place - (j / 2 * side + j % 2) * step);
#pragma unroll
        for (int i = 0; i < V; i++)
          if (p[j].found(i)) sum[i] += d[j][i];
      }
    } else {
      for (int oy = top; oy <= bottom; oy++)
        for (int ox = left; ox <= right; ox++) {
          int at = ((oy * s.outW + ox) * units + unit) * V;
          int place = (iy - oy * step) * side + ix - ox * step;
          float d[V];
          Places<V> p;
          load(d, dy + at);
          p.read(index + at);
          p.seek(place);
#pragma unroll
          for (int i = 0; i < V; i++)
            if (p.found(i)) sum[i] += d[i];
        }
    }
    store(dx + in + unit * V, sum);
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

#define POOL_BACKWARD(NAME, T, V, SUFFIX, FEW)                                                     \
  KERNEL pool_backward##SUFFIX##_##NAME(T *dx, const T *dy, const uint8 *index, int inH, int inW,  \
                                        int outH, int outW, int units, int side, uint32 by,        \
                                        uint32 factor, uint32 shift) {                             \
    poolBackward<T, V, FEW>(dx, dy, index, Sides{inH, inW, outH, outW}, units, side,               \
                            Divisor{by, factor, shift});                                           \
  }
EACH_TYPE(POOL_BACKWARD, , false)
POOL_BACKWARD(f32v, float, 4, 2, true)
POOL_BACKWARD(bf16v, bfloat16, 8, 2, true)
