// Kernels for the interpreter's tests. testdata/kernels.ptx is made of them by
//
//	clang-16 -x cuda --cuda-device-only --cuda-gpu-arch=sm_80 --cuda-feature=+ptx70 \
//	    -nocudainc -nocudalib -O3 -S kernels.cu -o kernels.ptx
//
// The kernels whose names begin with bad_ have a mistake each.

#define GLOBAL extern "C" __attribute__((global))
#define DEVICE __attribute__((device))
#define SHARED __attribute__((shared))
#define CONSTANT __attribute__((constant))
#define NOINLINE __attribute__((noinline))

typedef unsigned int u32;
typedef unsigned long long u64;
typedef unsigned short u16;

DEVICE static inline int tid() { return __nvvm_read_ptx_sreg_tid_x(); }
DEVICE static inline int tidy() { return __nvvm_read_ptx_sreg_tid_y(); }
DEVICE static inline int ntid() { return __nvvm_read_ptx_sreg_ntid_x(); }
DEVICE static inline int bid() { return __nvvm_read_ptx_sreg_ctaid_x(); }
DEVICE static inline int bidy() { return __nvvm_read_ptx_sreg_ctaid_y(); }
DEVICE static inline int nbid() { return __nvvm_read_ptx_sreg_nctaid_x(); }
DEVICE static inline int global_id() { return bid() * ntid() + tid(); }

extern SHARED float dynamic_floats[];

GLOBAL void vector_add(float *y, const float *a, const float *b, int n) {
	int i = global_id();
	if (i < n) y[i] = a[i] + b[i];
}

// y[block] is the sum of the block's part of x.
GLOBAL void block_sum(float *y, const float *x, int n) {
	SHARED float s[256];
	int t = tid();
	float v = 0;
	for (int i = global_id(); i < n; i += nbid() * ntid()) v += x[i];
	s[t] = v;
	__syncthreads();
	for (int k = ntid() / 2; k > 0; k /= 2) {
		if (t < k) s[t] += s[t + k];
		__syncthreads();
	}
	if (t == 0) y[bid()] = s[0];
}

// The sum of a block by shuffles within warps, then by the first warp.
GLOBAL void shuffle_sum(float *y, const float *x) {
	int t = tid();
	float v = x[global_id()];
	for (int k = 16; k > 0; k /= 2) v += __nvvm_shfl_sync_bfly_f32(~0u, v, k, 31);
	if (t % 32 == 0) dynamic_floats[t / 32] = v;
	__syncthreads();
	if (t < 32) {
		v = t < ntid() / 32 ? dynamic_floats[t] : 0;
		for (int k = 16; k > 0; k /= 2) v += __nvvm_shfl_sync_down_f32(~0u, v, k, 31);
		if (t == 0) y[bid()] = v;
	}
}

// x is h x w; y is w x h. Blocks of 32 x 8 threads.
GLOBAL void transpose(float *y, const float *x, int h, int w) {
	SHARED float tile[32][33];
	int c = bid() * 32 + tid(), r = bidy() * 32 + tidy();
	for (int k = 0; k < 32; k += 8)
		if (c < w && r + k < h) tile[tidy() + k][tid()] = x[(r + k) * w + c];
	__syncthreads();
	c = bidy() * 32 + tid(), r = bid() * 32 + tidy();
	for (int k = 0; k < 32; k += 8)
		if (c < h && r + k < w) y[(r + k) * h + c] = tile[tid()][tidy() + k];
}

DEVICE static inline u16 to_bf16(float x) {
	u16 h;
	asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(h) : "f"(x));
	return h;
}

// Pairs of bfloat16 by the packed conversion, and back; odd ones by the single one.
GLOBAL void bf16(u32 *packed, u16 *single, float *back, const float *x, int n) {
	int i = global_id();
	if (i >= n) return;
	u32 p;
	asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(p) : "f"(x[2 * i + 1]), "f"(x[2 * i]));
	packed[i] = p;
	single[2 * i] = to_bf16(x[2 * i]);
	single[2 * i + 1] = to_bf16(x[2 * i + 1]);
	back[2 * i] = __builtin_bit_cast(float, p << 16);
	back[2 * i + 1] = __builtin_bit_cast(float, p & 0xffff0000u);
}

struct alignas(16) words4 { u32 x, y, z, w; };
struct alignas(16) floats4 { float x, y, z, w; };

GLOBAL void philox(words4 *y, u32 layer, u64 step, u64 seed, int n) {
	int i = global_id();
	if (i >= n) return;
	u32 c0 = i, c1 = layer, c2 = step, c3 = step >> 32, k0 = seed, k1 = seed >> 32;
	for (int r = 0; r < 10; r++) {
		u64 p0 = (u64)0xD2511F53u * c0, p1 = (u64)0xCD9E8D57u * c2;
		c0 = (u32)(p1 >> 32) ^ c1 ^ k0;
		c1 = p1;
		c2 = (u32)(p0 >> 32) ^ c3 ^ k1;
		c3 = p0;
		k0 += 0x9E3779B9u;
		k1 += 0xBB67AE85u;
	}
	y[i] = words4{c0, c1, c2, c3};
}

// A histogram by atomics: of the block in shared memory, then of all in global memory.
GLOBAL void histogram(u32 *counts, u32 *most, const u32 *x, int n) {
	SHARED u32 s[64];
	if (tid() < 64) s[tid()] = 0;
	__syncthreads();
	for (int i = global_id(); i < n; i += nbid() * ntid()) {
		__nvvm_atom_add_gen_i((int *)&s[x[i] % 64], 1);
		__nvvm_atom_max_gen_ui(most, x[i]);
	}
	__syncthreads();
	if (tid() < 64) __nvvm_atom_add_gen_i((int *)&counts[tid()], s[tid()]);
}

// y = a x + y, four at once.
GLOBAL void axpy4(floats4 *y, const floats4 *x, float a, int n) {
	int i = global_id();
	if (i >= n) return;
	floats4 u = x[i], v = y[i];
	v.x = __builtin_fmaf(a, u.x, v.x);
	v.y = __builtin_fmaf(a, u.y, v.y);
	v.z = __builtin_fmaf(a, u.z, v.z);
	v.w = __builtin_fmaf(a, u.w, v.w);
	y[i] = v;
}

CONSTANT int table[8] = {3, 1, 4, 1, 5, 9, 2, 6};
DEVICE int counter = 7;

DEVICE NOINLINE int helper(int a, short b) { return a / (b ? b : 1) + table[a & 7]; }

// A call, a table, an array of the thread's own, a switch and a module's variable.
GLOBAL void odds(int *y, int n, int m) {
	int t = global_id();
	int own[16];
	for (int i = 0; i < 16; i++) own[i] = i * m + t;
	own[t & 15]++;
	int s = helper(t - 20, (short)m);
	switch (t % 6) {
	case 0: s += 7; break;
	case 1: s *= 11; break;
	case 2: s -= own[(t * m) & 15]; break;
	case 3: s ^= 0x55; break;
	case 4: s = s % (m + 1); break;
	}
	for (int i = 0; i < 16; i++) s += own[(i * m) & 15];
	if (t < n) {
		y[t] = s;
		__nvvm_atom_add_gen_i(&counter, 1);
	}
}

// The mean in double, and some functions of it.
GLOBAL void doubles(double *y, const float *x, int n) {
	double s = 0;
	for (int i = 0; i < n; i++) s += x[i];
	y[0] = s / n;
	y[1] = __builtin_sqrt(s);
	y[2] = (double)(u64)(s * 1e9);
	y[3] = (float)s < 0 ? -1 : 1;
}

GLOBAL void bad_early(float *y) {
	SHARED float s[64];
	s[tid()] = tid();
	y[tid()] = s[63 - tid()];
}

GLOBAL void bad_race(float *y) {
	SHARED float s[64];
	s[tid()] = 0;
	__syncthreads();
	s[tid()] = tid();
	y[tid()] = s[63 - tid()];
}

GLOBAL void bad_barrier(float *y) {
	if (tid() < 40) __syncthreads();
	y[tid()] = 1;
}

GLOBAL void bad_shared(float *y, int k) {
	SHARED float s[64];
	s[tid() + k] = 1;
	__syncthreads();
	y[tid()] = s[tid()];
}

GLOBAL void bad_unwritten(float *y) {
	SHARED float s[64];
	if (tid() != 5) s[tid()] = 1;
	__syncthreads();
	y[tid()] = s[tid()] + 1;
}

GLOBAL void bad_loop(volatile int *y) {
	while (*y == 0) {
	}
}

GLOBAL void bad_overlap(float *y) { y[bid()] = tid(); }

GLOBAL void bad_shuffle(float *y) {
	float v = tid();
	if (tid() & 1) v = __nvvm_shfl_sync_idx_f32(~0u, v, 0, 31);
	y[tid()] = v;
}

GLOBAL void bad_wait(float *y) {
	float v = tid();
	if (tid() & 1) v = __nvvm_shfl_sync_idx_f32(~0u, v, 0, 31);
	__syncthreads();
	y[tid()] = v;
}

GLOBAL void bad_misaligned(char *y) { *(float *)(y + tid() * 2) = 1; }
