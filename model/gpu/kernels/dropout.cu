// The dropout of the paper's section 4.2, with the masks of model.DropoutMask.
#include "device.cuh"

// philox is the generator Philox4x32-10, as model.Philox4x32.
DEVICE void philox(uint32 (&c)[4], uint32 key0, uint32 key1) {
#pragma unroll
  for (int round = 0; round < 10; round++) {
    const uint32 m0 = 0xD2511F53, m1 = 0xCD9E8D57;
    uint32 c0 = __nvvm_mulhi_ui(m1, c[2]) ^ c[1] ^ key0, c2 = __nvvm_mulhi_ui(m0, c[0]) ^ c[3] ^ key1;
    c[1] = m1 * c[2];
    c[3] = m0 * c[0];
    c[0] = c0;
    c[2] = c2;
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
}

DEVICE void words(uint32 (&c)[4], uint32 counter, uint32 layer, uint64 step, uint64 seed) {
  c[0] = counter, c[1] = layer, c[2] = (uint32)step, c[3] = (uint32)(step >> 32);
  philox(c, (uint32)seed, (uint32)(seed >> 32));
}

// dropoutLine is for maps of one position, whose order in memory is the mask's: a thread
// takes V values, of 4 each the generator gives the words. Reads and writes each once. An
// image has quads times 4 of them.
template <class T, int V>
DEVICE void dropoutLine(T *y, const T *x, const Control *control, long long count, uint32 quads,
                        uint32 layer, uint64 seed, uint64 threshold) {
  long long at = (long long)blockX * threadsX + threadX;
  if (at >= count) return;
  float v[V];
  load(v, x + at * V);
  uint64 step = control->step;
  uint32 first = (uint32)control->first * quads;
#pragma unroll
  for (int i = 0; i < V; i += 4) {
    uint32 c[4];
    words(c, first + (uint32)((at * V + i) / 4), layer, step, seed);
#pragma unroll
    for (int j = 0; j < 4; j++) v[i + j] = c[j] < threshold ? 0 : v[i + j];
  }
  store(y + at * V, v);
}

// dropoutMap is for any map: channels last in memory, and first in the mask's order. A
// thread has a value, and asks the generator for its word alone. Threads stand along the
// channels; y counts positions, of all images.
template <class T>
DEVICE void dropoutMap(T *y, const T *x, const Control *control, int positions, Divisor area,
                       int channels, uint32 layer, uint64 seed, uint64 threshold) {
  int c = blockY * threadsX + threadX, position = blockX * threadsY + threadY;
  if (c >= channels || position >= positions) return;
  int image = area.divide(position), within = position - image * (int)area.by;
  uint64 place = ((control->first + image) * channels + c) * area.by + within;
  uint32 w[4];
  words(w, (uint32)(place / 4), layer, control->step, seed);
  uint32 word = place & 2 ? (place & 1 ? w[3] : w[2]) : (place & 1 ? w[1] : w[0]);
  long long at = (long long)position * channels + c;
  float v[1];
  load(v, x + at);
  if (word < threshold) v[0] = 0;
  store(y + at, v);
}

#define DROPOUT_LINE(NAME, T, V)                                                                   \
  KERNEL dropout_line_##NAME(T *y, const T *x, const Control *control, long long count,            \
                             uint32 quads, uint32 layer, uint64 seed, uint64 threshold) {          \
    dropoutLine<T, V>(y, x, control, count, quads, layer, seed, threshold);                        \
  }
DROPOUT_LINE(f32v, float, 4)
DROPOUT_LINE(bf16v, bfloat16, 8)

#define DROPOUT_MAP(NAME, T)                                                                       \
  KERNEL dropout_map_##NAME(T *y, const T *x, const Control *control, int positions, uint32 by,    \
                            uint32 factor, uint32 shift, int channels, uint32 layer, uint64 seed,  \
                            uint64 threshold) {                                                    \
    dropoutMap<T>(y, x, control, positions, Divisor{by, factor, shift}, channels, layer, seed,     \
                  threshold);                                                                      \
  }
DROPOUT_MAP(f32, float)
DROPOUT_MAP(bf16, bfloat16)
