// The batch's images as the first layer wants them: less the mean, shifted in colour, with
// borders, channels last, and in blocks of pixels.
#include "device.cuh"

DEVICE float number(float v) { return v; }
DEVICE float number(unsigned short v) { return floatOf((uint32)v << 16); } // a bfloat16
DEVICE float number(uint8 v) { return v; }
DEVICE float number(short v) { return v; }

// Stored says that a type is that of stored pixels.
template <class S> struct Stored { static const bool value = sizeof(S) == 1; };
template <> struct Stored<short> { static const bool value = true; };

DEVICE void round(float *p, float v) { *p = v; }
DEVICE void round(bfloat16 *p, float v) { p->bits = (unsigned short)pack(v, 0); }

// Picture is the crop as it comes, C x H x W, and what is subtracted from it.
struct Picture {
  int channels, height, width;
  int subHeight, subWidth;
};

// Blocks is what is made of it.
struct Blocks {
  int pad, height, width, channels; // the border before the picture, and the result's shape
  int tile;                         // blocks of a row that a block of threads makes
  int whole;                        // whether the result may be written 16 bytes at a time
};

// One of the images.
template <class S> struct Image {
  const GLOBAL S *source;
  const float *sub; // from the crop's corner on
  int step;         // from a column to the next in sub: -1 in a mirrored crop, from its end
  float red, green, blue;
};

// fill writes a tile's values to shared memory, C channels at a time. Threads stand along
// the columns of the picture, which lie side by side where they are read from; y counts the
// rows of a block. Beyond the picture a thread reads its first value, and takes 0 in its
// place.
template <class S, class T, int C>
DEVICE void fill(T *staged, const Image<S> &m, const Picture &p, const Blocks &b, Divisor side,
                 int first, int count) {
  const bool stored = Stored<S>::value;
  int block = (int)side.by;
  for (int dy = threadY; dy < block; dy += threadsY) {
    int y = blockY * block + dy - b.pad;
    bool inY = y >= 0 && y < p.height;
    for (int column = threadX; column < count * block; column += threadsX) {
      int x = first * block + column - b.pad;
      bool in = inY && x >= 0 && x < p.width;
      int at = in ? y * p.width + x : 0, subAt = in ? y * p.subWidth + x * m.step : 0;
      int bx = side.divide(column), dx = column - bx * block;
      T *to = staged + bx * b.channels + (dy * block + dx) * p.channels;
      for (int c = 0; c < p.channels; c += C) {
        S v[C];
        float sub[C];
#pragma unroll
        for (int i = 0; i < C; i++) {
          v[i] = m.source[at + (c + i) * p.height * p.width];
          if (stored) sub[i] = m.sub[subAt + (c + i) * p.subHeight * p.subWidth];
        }
#pragma unroll
        for (int i = 0; i < C; i++) {
          float r = number(v[i]);
          if (stored) r = (r - sub[i]) + (c + i == 0 ? m.red : c + i == 1 ? m.green : c + i == 2 ? m.blue : 0);
          round(to + c + i, in ? r : 0);
        }
      }
    }
  }
}

extern SHARED words4 stage[]; // a tile, of as many bytes as the launch says

// prepare makes a tile of a row of blocks: reads the crop and its part of sub (which all
// images share) once and writes the result once, each in whole lines.
template <class S, class T>
DEVICE void prepare(const Control *control, T *dst, const float *sub, const Picture &p, const Blocks &b,
                    Divisor side) {
  T *staged = (T *)stage;
  int first = blockX * b.tile, count = least(b.tile, b.width - first), block = (int)side.by;
  Image<S> m;
  m.source = global((const S *)control->source) + (long long)blockZ * p.channels * p.height * p.width;
  m.sub = sub, m.step = 1;
  if constexpr (Stored<S>::value) {
    const GLOBAL Placement *v = global(control->views) + blockZ;
    m.red = v->shift[0], m.green = v->shift[1], m.blue = v->shift[2];
    m.sub += v->top * p.subWidth + v->left;
    if (v->flip) m.sub += p.width - 1, m.step = -1;
  }
  if (p.channels == 3)
    fill<S, T, 3>(staged, m, p, b, side, first, count);
  else
    fill<S, T, 1>(staged, m, p, b, side, first, count);
  int me = threadY * threadsX + threadX, all = threadsX * threadsY;
  int used = block * block * p.channels;
  for (int bx = me; bx < count; bx += all)
    for (int c = used; c < b.channels; c++) round(staged + bx * b.channels + c, 0);
  __syncthreads();
  dst += (((long long)blockZ * b.height + blockY) * b.width + first) * b.channels;
  if (b.whole) {
    int vectors = count * b.channels * (int)sizeof(T) / 16;
    for (int i = me; i < vectors; i += all) ((words4 *)dst)[i] = stage[i];
  } else {
    for (int i = me; i < count * b.channels; i += all) dst[i] = staged[i];
  }
}

#define PREPARE(NAME, S, T)                                                                        \
  KERNEL prepare_##NAME(const Control *control, T *dst, const float *sub, int channels, int height, \
                        int width, int subHeight, int subWidth, int pad, int outHeight,            \
                        int outWidth, int outChannels, int tile, int whole, uint32 by,             \
                        uint32 factor, uint32 shift) {                                             \
    prepare<S, T>(control, dst, sub, Picture{channels, height, width, subHeight, subWidth},        \
                  Blocks{pad, outHeight, outWidth, outChannels, tile, whole},                      \
                  Divisor{by, factor, shift});                                                     \
  }
PREPARE(float_f32, float, float)
PREPARE(float_bf16, float, bfloat16)
PREPARE(bfloat_f32, unsigned short, float)
PREPARE(bfloat_bf16, unsigned short, bfloat16)
PREPARE(uint8_f32, uint8, float)
PREPARE(uint8_bf16, uint8, bfloat16)
PREPARE(int16_f32, short, float)
PREPARE(int16_bf16, short, bfloat16)
