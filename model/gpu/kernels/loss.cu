// Softmax, cross-entropy and rank, one block of 256 threads an image.
#include "device.cuh"

// expOf is e^x for x <= 0, to two units in the last place: 2^k times e^r with a small r.
DEVICE float expOf(float x) {
  const float magic = 12582912; // 1.5 * 2^23: adding it rounds to integers
  float k = fma(x, 1.44269504f, magic) - magic;
  float r = fma(k, -0.693145752f, x); // ln 2 in two parts, the first short
  r = fma(k, -1.42860677e-6f, r);
  float e = exp2(r * 1.44269504f);
  if (k < -150) return 0;
  // In two steps, so that numbers below 2^-126 come out, too.
  int whole = (int)k, first = whole >> 1;
  float half = floatOf((uint32)(first + 127) << 23);
  return e * half * floatOf((uint32)(whole - first + 127) << 23);
}

// larger is the larger number. A NaN needs no care: the sum becomes one.
DEVICE float larger(float a, float b) { return a > b ? a : b; }

// across combines a value of each of the 256 threads, always in the same order.
template <class V, class F> DEVICE V across(V v, V (&all)[256], V (&some)[32], F f) {
  int t = threadX;
  all[t] = v;
  __syncthreads();
  if (t < 32) {
    V s = all[t];
    for (int i = t + 32; i < 256; i += 32) s = f(s, all[i]);
    some[t] = s;
  }
  __syncthreads();
  V s = some[0];
  for (int i = 1; i < 32; i++) s = f(s, some[i]);
  return s;
}

struct Larger {
  __attribute__((device)) float operator()(float a, float b) const { return larger(a, b); }
};
struct Sum {
  __attribute__((device)) float operator()(float a, float b) const { return a + b; }
  __attribute__((device)) int operator()(int a, int b) const { return a + b; }
};

// softmaxLoss: probs = softmax(logits), d = (probs - onehot)*lossScale if d is not 0, the
// label's cross-entropy and its rank. Reads the logits from memory once (later passes find
// them in the nearest cache) and writes probs and d once.
template <class T>
DEVICE void softmaxLoss(T *d, float *probs, float *losses, int *ranks, const float *logits,
                        const Control *control, int classes) {
  static SHARED float allFloats[256], someFloats[32];
  static SHARED int allInts[256], someInts[32];
  int image = blockX;
  long long first = (long long)image * classes;
  logits += first, probs += first;
  int label = control->labels ? global(control->labels)[image] : -1;
  float scale = label < 0 ? 0 : control->lossScale;

  float top = floatOf(0xff800000);
  for (int c = threadX; c < classes; c += 256) top = larger(logits[c], top);
  top = across(top, allFloats, someFloats, Larger());
  float total = 0;
  for (int c = threadX; c < classes; c += 256) total += expOf(logits[c] - top);
  total = across(total, allFloats, someFloats, Sum());

  float inv = inverse(total), mine = 0, logit = 0;
  if (label >= 0) {
    logit = logits[label] - top;
    mine = expOf(logit) * inv;
  }
  int ahead = 0;
  for (int c = threadX; c < classes; c += 256) {
    float p = expOf(logits[c] - top) * inv;
    // Not ahead are those with less, and equals behind; a NaN is ahead.
    if (c != label && !(p < mine || (p == mine && c > label))) ahead++;
    probs[c] = p;
    if (d) {
      float v[1] = {label < 0 ? 0 : (c == label ? p - 1 : p) * scale};
      store(d + first + c, v);
    }
  }
  ahead = across(ahead, allInts, someInts, Sum());
  if (threadX) return;
  ranks[image] = label < 0 ? -1 : ahead;
  losses[image] = label < 0 ? 0 : log2(total) * 0.693147181f - logit;
}

#define SOFTMAX_LOSS(NAME, T)                                                                      \
  KERNEL softmax_loss_##NAME(T *d, float *probs, float *losses, int *ranks, const float *logits,   \
                             const Control *control, int classes) {                                \
    softmaxLoss<T>(d, probs, losses, ranks, logits, control, classes);                             \
  }
SOFTMAX_LOSS(f32, float)
SOFTMAX_LOSS(bf16, bfloat16)
