// The few words of CUDA C++ that the kernels need, spelled with clang's builtins so that
// no header of NVIDIA's is needed to compile them, and what several kernels share: types
// of values, vectors of them, and functions of numbers.
//
// The compiler is told not to contract products and sums (-ffp-contract=off): each rounds
// by itself, as in Go, but where fma is written. All arithmetic is in float32.
#pragma once

#define KERNEL extern "C" __attribute__((global)) void
#define DEVICE static inline __attribute__((device, always_inline))
#define SHARED __attribute__((shared))

#define threadX ((int)__nvvm_read_ptx_sreg_tid_x())
#define threadY ((int)__nvvm_read_ptx_sreg_tid_y())
#define threadsX ((int)__nvvm_read_ptx_sreg_ntid_x())
#define threadsY ((int)__nvvm_read_ptx_sreg_ntid_y())
#define blockX ((int)__nvvm_read_ptx_sreg_ctaid_x())
#define blockY ((int)__nvvm_read_ptx_sreg_ctaid_y())
#define blockZ ((int)__nvvm_read_ptx_sreg_ctaid_z())
#define blocksX ((int)__nvvm_read_ptx_sreg_nctaid_x())

typedef unsigned char uint8;
typedef unsigned int uint32;
typedef unsigned long long uint64;

// bfloat16 is the upper half of a float32.
struct bfloat16 {
  unsigned short bits;
};

typedef uint32 words2 __attribute__((ext_vector_type(2)));
typedef uint32 words4 __attribute__((ext_vector_type(4)));
typedef float floats2 __attribute__((ext_vector_type(2)));
typedef float floats4 __attribute__((ext_vector_type(4)));

// Placement says where a stored picture's crop lay, whether it was mirrored, and how its
// colours are shifted. kernels.Placement writes it.
struct Placement {
  int top, left, flip;
  float shift[3];
};

// Control is what changes from step to step. kernels.Control writes it.
struct Control {
  uint64 step, first;
  const void *source;
  const Placement *views;
  const int *labels;
  float lossScale, rate, momentum, decay;
};
static_assert(sizeof(Placement) == 24 && sizeof(Control) == 56, "control.go has these sizes");

// Acts are the activations, as kernels.Act numbers them.
enum Acts { None, ReLU, Tanh };

// Divisor divides numbers below 2^31 by one that is known before the launch only: a
// product's upper half, a sum and a shift, in place of some twenty instructions.
// kernels.divisor makes the words.
struct Divisor {
  uint32 by, factor, shift;

  __attribute__((device)) inline int divide(int n) const {
    return (int)((__nvvm_mulhi_ui((uint32)n, factor) + (uint32)n) >> shift);
  }
};

// GLOBAL is the device's memory as opposed to shared memory. The compiler sees of a kernel's
// parameters that they point there, but not of what was itself read from memory.
#define GLOBAL __attribute__((address_space(1)))
template <class T> DEVICE const GLOBAL T *global(const T *p) { return (const GLOBAL T *)p; }

DEVICE uint32 bitsOf(float x) { return __builtin_bit_cast(uint32, x); }
DEVICE float floatOf(uint32 b) { return __builtin_bit_cast(float, b); }
DEVICE int least(int a, int b) { return a < b ? a : b; }
DEVICE bool finite(float x) { return (bitsOf(x) & 0x7f800000) != 0x7f800000; }

// fma rounds once.
DEVICE float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

// exp2, log2, root and rootInverse are the processor's own, good to two or three units in
// the last place (log2 to 2^-22 near 1). Those below 2^-126 count as zeros.
DEVICE float exp2(float x) { return __nvvm_ex2_approx_ftz_f(x); }
DEVICE float log2(float x) { return __nvvm_lg2_approx_ftz_f(x); }
DEVICE float root(float x) { return __nvvm_sqrt_approx_ftz_f(x); }
DEVICE float rootInverse(float x) { return __nvvm_rsqrt_approx_ftz_f(x); }
DEVICE float inverse(float x) { return __nvvm_rcp_rn_f(x); }

// pack rounds two values to bfloat16, to nearest, ties to even, into the halves of a word.
DEVICE uint32 pack(float low, float high) {
  uint32 word;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
  return word;
}
DEVICE float low(uint32 word) { return floatOf(word << 16); }
DEVICE float high(uint32 word) { return floatOf(word & 0xffff0000); }

// Vector is V values as they are in memory: 1, or 4, 8 or 16 bytes of them, which lie at a
// multiple of their size. What is read early and used late stays so in between.
template <class T, int V> struct Vector {
  static const int words = V * sizeof(T) < 4 ? 1 : V * sizeof(T) / 4;
  uint32 w[words];

  __attribute__((device, always_inline)) inline void read(const T *p) {
    if constexpr (sizeof(T) == 2 && V == 1) {
      w[0] = p->bits;
    } else if constexpr (words == 1) {
      w[0] = *(const uint32 *)p;
    } else if constexpr (words == 2) {
      words2 v = *(const words2 *)p;
      w[0] = v.x, w[1] = v.y;
    } else {
      static_assert(words == 4, "at most 16 bytes");
      words4 v = *(const words4 *)p;
      w[0] = v.x, w[1] = v.y, w[2] = v.z, w[3] = v.w;
    }
  }
  // at returns value i.
  __attribute__((device, always_inline)) inline float at(int i) const {
    if constexpr (sizeof(T) == 4) return floatOf(w[i]);
    return i % 2 ? high(w[i / 2]) : low(w[i / 2]);
  }
  __attribute__((device, always_inline)) inline void get(float (&v)[V]) const {
#pragma unroll
    for (int i = 0; i < V; i++) v[i] = at(i);
  }
};

// load and store move V values as float32.
template <int V, class T> DEVICE void load(float (&v)[V], const T *p) {
  Vector<T, V> x;
  x.read(p);
  x.get(v);
}

template <int V> DEVICE void store(float *p, const float (&v)[V]) {
  if constexpr (V == 1) {
    *p = v[0];
  } else {
#pragma unroll
    for (int i = 0; i < V; i += 4)
      *(floats4 *)(p + i) = floats4{v[i], v[i + 1], v[i + 2], v[i + 3]};
  }
}

template <int V> DEVICE void store(bfloat16 *p, const float (&v)[V]) {
  if constexpr (V == 1) {
    p->bits = (unsigned short)pack(v[0], 0);
  } else if constexpr (V == 4) {
    *(words2 *)p = words2{pack(v[0], v[1]), pack(v[2], v[3])};
  } else {
    static_assert(V == 8, "16 bytes");
    *(words4 *)p = words4{pack(v[0], v[1]), pack(v[2], v[3]), pack(v[4], v[5]), pack(v[6], v[7])};
  }
}

// The kernels of a family, for both types, eight or four values at a time and one.
#define EACH_TYPE(MAKE, ...)                                                                       \
  MAKE(f32, float, 1, ##__VA_ARGS__)                                                               \
  MAKE(f32v, float, 4, ##__VA_ARGS__)                                                              \
  MAKE(bf16, bfloat16, 1, ##__VA_ARGS__)                                                           \
  MAKE(bf16v, bfloat16, 8, ##__VA_ARGS__)
