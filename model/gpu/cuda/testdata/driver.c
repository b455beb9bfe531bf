// A driver of CUDA for tests, without a GPU: memory is the host's, all work is done at
// once, and three kernels are known by name. It refuses what CUDA refuses: calls without
// a current context, launches beyond limits, objects that are not there.
//
// ALEXNET_FAKE_INIT is what cuInit returns, ALEXNET_FAKE_DEVICES the number of GPUs,
// ALEXNET_FAKE_FAIL (cuName=code) a function that fails.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int result;
typedef uint64_t word;
enum { limit = 1 << 30, magic_stream = 0x57, magic_event = 0xe7, magic_exec = 0x9f };

static __thread int current;
static _Atomic size_t used;
static _Atomic int now; // milliseconds; each piece of work takes one
static _Atomic int retained, objects;
static _Atomic int lost; // a kernel used memory that is not there

static int number(const char *name, int otherwise) {
  const char *s = getenv(name);
  return s && *s ? atoi(s) : otherwise;
}

static result planned(const char *call) {
  const char *f = getenv("ALEXNET_FAKE_FAIL");
  size_t n = strlen(call);
  return f && !strncmp(f, call, n) && f[n] == '=' ? atoi(f + n + 1) : 0;
}

#define ENTER                            \
  do {                                   \
    if (!current) return 201;            \
    if (lost) return lost;               \
    result r = planned(__func__);        \
    if (r) return r;                     \
  } while (0)

result cuInit(unsigned flags) { return flags ? 1 : number("ALEXNET_FAKE_INIT", 0); }
result cuDriverGetVersion(int *v) { *v = 12080; return 0; }
result cuDeviceGetCount(int *n) { *n = number("ALEXNET_FAKE_DEVICES", 1); return planned(__func__); }
result cuDeviceGet(int *d, int ordinal) { *d = ordinal; return 0; }
result cuDeviceGetName(char *s, int n, int d) { (void)d; snprintf(s, n, "a GPU of tests"); return 0; }
result cuDeviceTotalMem_v2(size_t *n, int d) { (void)d; *n = limit; return 0; }
result cuDeviceGetAttribute(int *v, int attribute, int d) {
  (void)d;
  *v = attribute == 75 ? 9 : attribute == 76 ? 0 : attribute == 16 ? 132 : -1;
  return 0;
}
result cuDevicePrimaryCtxRetain(void **ctx, int d) { (void)d; retained++; *ctx = &retained; return planned(__func__); }
result cuDevicePrimaryCtxRelease_v2(int d) { (void)d; return objects ? 1 : retained-- > 0 ? 0 : 201; }
result cuCtxSetCurrent(void *ctx) { current = ctx == &retained; return planned(__func__); }

result cuGetErrorName(result r, const char **s) {
  switch (r) {
  case 1: *s = "CUDA_ERROR_INVALID_VALUE"; return 0;
  case 2: *s = "CUDA_ERROR_OUT_OF_MEMORY"; return 0;
  case 100: *s = "CUDA_ERROR_NO_DEVICE"; return 0;
  case 218: *s = "CUDA_ERROR_INVALID_PTX"; return 0;
  case 700: *s = "CUDA_ERROR_ILLEGAL_ADDRESS"; return 0;
  }
  return 1;
}
result cuGetErrorString(result r, const char **s) {
  switch (r) {
  case 2: *s = "out of memory"; return 0;
  case 100: *s = "no CUDA-capable device is detected"; return 0;
  case 700: *s = "an illegal memory access was encountered"; return 0;
  }
  return 1;
}

// Memory has its size in the 256 bytes before it.
static void *take(size_t n) {
  char *p = aligned_alloc(256, (n + 511) / 256 * 256);
  if (!p) abort();
  *(size_t *)p = n;
  objects++;
  memset(p + 256, 0xa5, n);
  return p + 256;
}
static size_t give(void *p) {
  size_t n = *(size_t *)((char *)p - 256);
  objects--;
  free((char *)p - 256);
  return n;
}
result cuMemGetInfo_v2(size_t *free_, size_t *all) { ENTER; *free_ = limit - used; *all = limit; return 0; }
result cuMemAlloc_v2(word *p, size_t n) {
  ENTER;
  if (n > limit - used) return 2;
  used += n;
  *p = (word)take(n);
  return 0;
}
result cuMemFree_v2(word p) { ENTER; used -= give((void *)p); return 0; }
result cuMemHostAlloc(void **p, size_t n, unsigned flags) { ENTER; if (flags != 1) return 1; *p = take(n); return 0; }
result cuMemFreeHost(void *p) { ENTER; give(p); return 0; }

// Work.
typedef struct { const char *name; int params, shared; } function;
typedef struct { int kind; void *to, *from; size_t n; const function *f; word args[8]; unsigned threads; } work;
typedef struct { int magic, capturing; work *list; size_t n; } stream;
typedef struct { int magic, recorded; double at; } event;

static void do_(const work *w) {
  now++;
  if (w->kind == 'c') memmove(w->to, w->from, w->n);
  if (w->kind == 'z') memset(w->to, 0, w->n);
  if (w->kind != 'k') return;
  if (!strcmp(w->f->name, "axpy")) {
    float *y = (float *)w->args[0], *x = (float *)w->args[1], a;
    memcpy(&a, &w->args[2], 4);
    if (w->args[0] < 4096) { lost = 700; return; }
    for (unsigned i = 0; i < w->threads && i < (uint32_t)w->args[3]; i++) y[i] += a * x[i];
  } else if (!strcmp(w->f->name, "tail")) {
    *(uint32_t *)w->args[0] = (uint32_t)w->args[1];
  }
}
static result put(stream *s, work w) {
  if (!s || s->magic != magic_stream) return 400;
  if (!s->capturing) { do_(&w); return 0; }
  s->list = realloc(s->list, (s->n + 1) * sizeof w);
  s->list[s->n++] = w;
  return 0;
}
result cuMemcpyHtoDAsync_v2(word to, const void *from, size_t n, stream *s) { ENTER; return put(s, (work){'c', (void *)to, (void *)from, n}); }
result cuMemcpyDtoHAsync_v2(void *to, word from, size_t n, stream *s) { ENTER; return put(s, (work){'c', to, (void *)from, n}); }
result cuMemcpyDtoDAsync_v2(word to, word from, size_t n, stream *s) { ENTER; return put(s, (work){'c', (void *)to, (void *)from, n}); }
result cuMemsetD8Async(word to, unsigned char v, size_t n, stream *s) { ENTER; return v ? 1 : put(s, (work){'z', (void *)to, 0, n}); }

result cuStreamCreate(stream **s, unsigned flags) {
  ENTER;
  if (flags != 1) return 1;
  *s = calloc(1, sizeof **s);
  (*s)->magic = magic_stream;
  objects++;
  return 0;
}
result cuStreamDestroy_v2(stream *s) { ENTER; if (s->magic != magic_stream) return 400; s->magic = 0; objects--; return 0; }
result cuStreamSynchronize(stream *s) { ENTER; return s->capturing ? 900 : 0; }
result cuStreamWaitEvent(stream *s, event *e, unsigned flags) { ENTER; return flags || e->magic != magic_event || s->magic != magic_stream ? 400 : 0; }

result cuEventCreate(event **e, unsigned flags) { ENTER; if (flags != 1) return 1; *e = calloc(1, sizeof **e); (*e)->magic = magic_event; objects++; return 0; }
result cuEventDestroy_v2(event *e) { ENTER; if (e->magic != magic_event) return 400; e->magic = 0; objects--; return 0; }
result cuEventRecord(event *e, stream *s) { ENTER; if (s->magic != magic_stream) return 400; e->recorded = 1; e->at = now; return 0; }
result cuEventQuery(event *e) { ENTER; return e->magic == magic_event ? 0 : 400; }
result cuEventSynchronize(event *e) { ENTER; return e->magic == magic_event ? 0 : 400; }
result cuEventElapsedTime(float *ms, event *a, event *b) { ENTER; if (!a->recorded || !b->recorded) return 400; *ms = b->at - a->at; return 0; }
result cuEventElapsedTime_v2(float *ms, event *a, event *b) { return cuEventElapsedTime(ms, a, b); }

// A graph and what it becomes are the list of work.
result cuStreamBeginCapture_v2(stream *s, int mode) { ENTER; if (mode != 2 || s->capturing) return 1; s->capturing = 1; return 0; }
result cuStreamEndCapture(stream *s, stream **g) {
  ENTER;
  if (!s->capturing) return 1;
  *g = malloc(sizeof **g);
  **g = *s;
  (*g)->magic = magic_exec;
  objects++;
  s->capturing = 0;
  s->list = NULL;
  s->n = 0;
  return 0;
}
result cuGraphInstantiateWithFlags(stream **x, stream *g, word flags) {
  ENTER;
  if (flags || g->magic != magic_exec) return 1;
  *x = malloc(sizeof **x);
  **x = *g;
  objects++;
  return 0;
}
result cuGraphDestroy(stream *g) { ENTER; objects--; free(g); return 0; }
result cuGraphExecDestroy(stream *x) { ENTER; objects--; free(x); return 0; }
result cuGraphLaunch(stream *x, stream *s) {
  ENTER;
  if (x->magic != magic_exec || s->magic != magic_stream) return 400;
  for (size_t i = 0; i < x->n; i++) do_(&x->list[i]);
  return 0;
}

// Modules.
static function known[] = {{"axpy", 4, 48 << 10}, {"tail", 2, 48 << 10}};
result cuModuleLoadDataEx(void **m, const char *ptx, unsigned n, const int *options, void **values) {
  ENTER;
  if (!strstr(ptx, "not PTX")) { *m = known; objects++; return 0; }
  for (unsigned i = 0; i + 1 < n; i++)
    if (options[i] == 5 && options[i + 1] == 6)
      snprintf(values[i], (size_t)values[i + 1], "ptxas application ptx input, line 4; fatal   : Parsing error near 'is': syntax error\n");
  return 218;
}
result cuModuleUnload(void *m) { ENTER; if (m != known) return 400; objects--; return 0; }
result cuModuleGetFunction(function **f, void *m, const char *name) {
  ENTER;
  for (size_t i = 0; m == known && i < sizeof known / sizeof *known; i++)
    if (!strcmp(known[i].name, name)) { *f = &known[i]; return 0; }
  return 500;
}
result cuFuncSetAttribute(function *f, int attribute, int v) { ENTER; if (attribute != 8 || v > 227 << 10) return 1; f->shared = v; return 0; }
result cuLaunchKernel(function *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                      unsigned shared, stream *s, void **params, void **extra) {
  ENTER;
  if (!gx || !gy || !gz || !bx || !by || !bz || bx * by * bz > 1024 || extra || shared > (unsigned)f->shared) return 1;
  work w = {.kind = 'k', .f = f, .threads = gx * gy * gz * bx * by * bz};
  for (int i = 0; i < f->params; i++) memcpy(&w.args[i], params[i], 8);
  return put(s, w);
}
