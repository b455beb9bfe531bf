// A cuDNN 9 for tests: it has the interface of NVIDIA's, checks what it is given, and
// computes plainly, on the host's memory.
#include "cudnn_abi.h"
#include "fake.h"
#include <dlfcn.h>

// The tests make other releases, and one that looks for its parts, by changing these
// bytes in the library's file.
char fake_version[] = "version 091002", fake_cudart[] = "cudart 12090", fake_split[] = "split 0";

enum { HANDLE = 0x1234, TENSOR, FILTER, CONVOLUTION };
struct cudnnContext { int magic; cudaStream_t stream; };
struct cudnnTensorStruct { int magic; cudnnDataType_t type; int set, n, c, h, w; };
struct cudnnFilterStruct { int magic; cudnnDataType_t type; int set, k, c, h, w; };
struct cudnnConvolutionStruct { int magic; cudnnMathType_t math; int set, pad, stride, groups; };

static char last_error[128];
static cudnnStatus_t bad(const char *why) {
  snprintf(last_error, sizeof last_error, "fake: %s", why);
  return CUDNN_STATUS_BAD_PARAM;
}
#define ENTER                                        \
  do {                                               \
    int status = fake_enter(__func__);               \
    last_error[0] = 0;                               \
    if (status) return (cudnnStatus_t)status;        \
  } while (0)
#define NEED(condition) \
  if (!(condition)) return bad(#condition)

// The algorithms of a direction (0 forward, 1 weights, 2 data) as the heuristics rank
// them. executes is the status of running one.
static struct rank { int algo, status, determinism, math, executes; size_t memory; } ranks[3][16] = {
    {{7, 3000, 1, 1, 0, 0}, {4, 0, 1, 0, 0, (size_t)-4096}, {6, 0, 0, 1, 0, 1024}, {1, 0, 1, 1, 0, 4096}, {0, 0, 1, 3, 0, 0}},
    {{0, 0, 0, 1, 0, 0}, {1, 0, 1, 1, 0, 2048}, {3, 0, 0, 3, 0, 512}},
    {{0, 0, 0, 1, 0, 128}, {1, 0, 1, 0, 0, 8192}},
};
static int rank_counts[3] = {5, 3, 2};
static int last_algo[3], last_math[3];
static size_t last_stream, last_work;

void fake_rank_clear(int dir) { rank_counts[dir] = 0; }
void fake_rank(int dir, int algo, int status, int determinism, int math, int executes, size_t memory) {
  struct rank r = {algo, status, determinism, math, executes, memory};
  ranks[dir][rank_counts[dir]++] = r;
}
int fake_last_algo(int dir) { return last_algo[dir]; }
int fake_last_math(int dir) { return last_math[dir]; }
size_t fake_last_stream(void) { return last_stream; }
size_t fake_last_work(void) { return last_work; }

size_t cudnnGetVersion(void) { return atoi(fake_version + 8); }
size_t cudnnGetCudartVersion(void) { return atoi(fake_cudart + 7); }

const char *cudnnGetErrorString(cudnnStatus_t status) {
  switch ((int)status) {
    case 1008: return "CUDNN_STATUS_SUBLIBRARY_LOADING_FAILED";
    case 2000: return "CUDNN_STATUS_BAD_PARAM";
    case 3000: return "CUDNN_STATUS_NOT_SUPPORTED";
    case 4003: return "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED";
    case 5000: return "CUDNN_STATUS_EXECUTION_FAILED";
  }
  return "CUDNN_STATUS_OF_THE_FAKE";
}
void cudnnGetLastErrorString(char *message, size_t max_size) { snprintf(message, max_size, "%s", last_error); }

cudnnStatus_t cudnnCreate(cudnnHandle_t *handle) {
  ENTER;
  NEED(handle);
  const char *parts[] = {"libcudnn_graph.so.9", "libcudnn_ops.so.9", "libcudnn_cnn.so.9"};
  for (int i = 0; i < 3 && fake_split[6] == '1'; i++)
    if (!dlopen(parts[i], RTLD_LAZY)) {
      snprintf(last_error, sizeof last_error, "%s", dlerror());
      return CUDNN_STATUS_SUBLIBRARY_LOADING_FAILED;
    }
  *handle = calloc(1, sizeof **handle);
  (*handle)->magic = HANDLE;
  fake_objects++;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
  ENTER;
  NEED(handle && handle->magic == HANDLE);
  handle->magic = 0;
  free(handle);
  fake_objects--;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t streamId) {
  ENTER;
  NEED(handle && handle->magic == HANDLE);
  fake_lock();
  handle->stream = streamId;
  last_stream = (size_t)streamId;
  fake_unlock();
  return CUDNN_STATUS_SUCCESS;
}

#define OBJECT(Create, Destroy, kind, MAGIC)               \
  cudnnStatus_t Create(kind *d) {                          \
    ENTER;                                                 \
    NEED(d);                                               \
    *d = calloc(1, sizeof **d);                            \
    (*d)->magic = MAGIC;                                   \
    fake_objects++;                                        \
    return CUDNN_STATUS_SUCCESS;                           \
  }                                                        \
  cudnnStatus_t Destroy(kind d) {                          \
    ENTER;                                                 \
    NEED(d && d->magic == MAGIC);                          \
    d->magic = 0;                                          \
    free(d);                                               \
    fake_objects--;                                        \
    return CUDNN_STATUS_SUCCESS;                           \
  }
OBJECT(cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor, cudnnTensorDescriptor_t, TENSOR)
OBJECT(cudnnCreateFilterDescriptor, cudnnDestroyFilterDescriptor, cudnnFilterDescriptor_t, FILTER)
OBJECT(cudnnCreateConvolutionDescriptor, cudnnDestroyConvolutionDescriptor, cudnnConvolutionDescriptor_t, CONVOLUTION)

cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t d, cudnnTensorFormat_t format, cudnnDataType_t type,
                                         int n, int c, int h, int w) {
  ENTER;
  NEED(d && d->magic == TENSOR);
  NEED(format == CUDNN_TENSOR_NHWC && (type == CUDNN_DATA_FLOAT || type == CUDNN_DATA_BFLOAT16));
  NEED(n > 0 && c > 0 && h > 0 && w > 0);
  d->set = 1, d->type = type, d->n = n, d->c = c, d->h = h, d->w = w;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t d, cudnnDataType_t type, cudnnTensorFormat_t format,
                                         int k, int c, int h, int w) {
  ENTER;
  NEED(d && d->magic == FILTER);
  NEED(format == CUDNN_TENSOR_NHWC && (type == CUDNN_DATA_FLOAT || type == CUDNN_DATA_BFLOAT16));
  NEED(k > 0 && c > 0 && h > 0 && w > 0);
  d->set = 1, d->type = type, d->k = k, d->c = c, d->h = h, d->w = w;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t d, int pad_h, int pad_w, int u, int v,
                                              int dilation_h, int dilation_w, cudnnConvolutionMode_t mode,
                                              cudnnDataType_t computeType) {
  ENTER;
  NEED(d && d->magic == CONVOLUTION);
  NEED(pad_h >= 0 && pad_h == pad_w && u > 0 && u == v && dilation_h == 1 && dilation_w == 1);
  NEED(mode == CUDNN_CROSS_CORRELATION && computeType == CUDNN_DATA_FLOAT);
  d->set = 1, d->pad = pad_h, d->stride = u, d->groups = 1;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetConvolutionGroupCount(cudnnConvolutionDescriptor_t d, int groupCount) {
  ENTER;
  NEED(d && d->magic == CONVOLUTION && d->set && groupCount > 0);
  d->groups = groupCount;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t d, cudnnMathType_t mathType) {
  ENTER;
  NEED(d && d->magic == CONVOLUTION && d->set && (int)mathType >= 0 && mathType <= CUDNN_FMA_MATH);
  d->math = mathType;
  return CUDNN_STATUS_SUCCESS;
}

static int out_size(int in, int window, const struct cudnnConvolutionStruct *d) {
  return (in + 2 * d->pad - window) / d->stride + 1;
}
cudnnStatus_t cudnnGetConvolution2dForwardOutputDim(const cudnnConvolutionDescriptor_t d, const cudnnTensorDescriptor_t x,
                                                    const cudnnFilterDescriptor_t f, int *n, int *c, int *h, int *w) {
  ENTER;
  NEED(d && d->magic == CONVOLUTION && d->set && x && x->magic == TENSOR && x->set && f && f->magic == FILTER && f->set);
  NEED(x->c == f->c * d->groups);
  *n = x->n, *c = f->k, *h = out_size(x->h, f->h, d), *w = out_size(x->w, f->w, d);
  return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t fits(cudnnHandle_t handle, cudnnTensorDescriptor_t x, cudnnFilterDescriptor_t f,
                          cudnnConvolutionDescriptor_t d, cudnnTensorDescriptor_t y) {
  NEED(handle && handle->magic == HANDLE);
  NEED(x && x->magic == TENSOR && x->set && y && y->magic == TENSOR && y->set);
  NEED(f && f->magic == FILTER && f->set && d && d->magic == CONVOLUTION && d->set);
  NEED(x->type == y->type && x->type == f->type);
  NEED(x->n == y->n && x->c == f->c * d->groups && y->c == f->k && f->k % d->groups == 0);
  NEED(y->h == out_size(x->h, f->h, d) && y->w == out_size(x->w, f->w, d));
  return CUDNN_STATUS_SUCCESS;
}

static const struct rank *find_rank(int dir, int algo) {
  for (int i = 0; i < rank_counts[dir]; i++)
    if (ranks[dir][i].algo == algo) return &ranks[dir][i];
  return NULL;
}

// The three directions differ in their operands' order and in types' names.
#define DIRECTION(dir, Get, Find, GetSize, Algo, Perf, P1, P2, P3, X, F, Y)                                             \
  static cudnnStatus_t rank_##dir(cudnnHandle_t handle, P1, P2, const cudnnConvolutionDescriptor_t conv, P3,            \
                                  const int requestedAlgoCount, int *returnedAlgoCount, Perf *perfResults) {            \
    cudnnStatus_t status = fits(handle, X, F, conv, Y);                                                                 \
    if (status) return status;                                                                                          \
    NEED(requestedAlgoCount > 0 && returnedAlgoCount && perfResults);                                                   \
    int n = 0;                                                                                                          \
    for (; n < rank_counts[dir] && n < requestedAlgoCount; n++) {                                                       \
      const struct rank *r = &ranks[dir][n];                                                                            \
      Perf p = {(Algo)r->algo, (cudnnStatus_t)r->status, 0.5f + n, r->memory, (cudnnDeterminism_t)r->determinism,       \
                (cudnnMathType_t)r->math, {0}};                                                                         \
      perfResults[n] = p;                                                                                               \
    }                                                                                                                   \
    *returnedAlgoCount = n;                                                                                             \
    return CUDNN_STATUS_SUCCESS;                                                                                        \
  }                                                                                                                     \
  cudnnStatus_t Get(cudnnHandle_t handle, P1, P2, const cudnnConvolutionDescriptor_t conv, P3,                          \
                    const int requestedAlgoCount, int *returnedAlgoCount, Perf *perfResults) {                          \
    ENTER;                                                                                                              \
    return rank_##dir(handle, a, b, conv, c, requestedAlgoCount, returnedAlgoCount, perfResults);                       \
  }                                                                                                                     \
  cudnnStatus_t Find(cudnnHandle_t handle, P1, P2, const cudnnConvolutionDescriptor_t conv, P3,                         \
                     const int requestedAlgoCount, int *returnedAlgoCount, Perf *perfResults) {                         \
    ENTER;                                                                                                              \
    return rank_##dir(handle, a, b, conv, c, requestedAlgoCount, returnedAlgoCount, perfResults);                       \
  }                                                                                                                     \
  cudnnStatus_t GetSize(cudnnHandle_t handle, P1, P2, const cudnnConvolutionDescriptor_t conv, P3, Algo algo,           \
                        size_t *sizeInBytes) {                                                                          \
    ENTER;                                                                                                              \
    cudnnStatus_t status = fits(handle, X, F, conv, Y);                                                                 \
    if (status) return status;                                                                                          \
    const struct rank *r = find_rank(dir, algo);                                                                        \
    if (!r) return CUDNN_STATUS_NOT_SUPPORTED;                                                                             \
    *sizeInBytes = r->memory;                                                                                           \
    return CUDNN_STATUS_SUCCESS;                                                                                        \
  }
#define T(v) const cudnnTensorDescriptor_t v
#define W(v) const cudnnFilterDescriptor_t v
DIRECTION(0, cudnnGetConvolutionForwardAlgorithm_v7, cudnnFindConvolutionForwardAlgorithm, cudnnGetConvolutionForwardWorkspaceSize,
          cudnnConvolutionFwdAlgo_t, cudnnConvolutionFwdAlgoPerf_t, T(a), W(b), T(c), a, b, c)
DIRECTION(1, cudnnGetConvolutionBackwardFilterAlgorithm_v7, cudnnFindConvolutionBackwardFilterAlgorithm, cudnnGetConvolutionBackwardFilterWorkspaceSize,
          cudnnConvolutionBwdFilterAlgo_t, cudnnConvolutionBwdFilterAlgoPerf_t, T(a), T(b), W(c), a, c, b)
DIRECTION(2, cudnnGetConvolutionBackwardDataAlgorithm_v7, cudnnFindConvolutionBackwardDataAlgorithm, cudnnGetConvolutionBackwardDataWorkspaceSize,
          cudnnConvolutionBwdDataAlgo_t, cudnnConvolutionBwdDataAlgoPerf_t, W(a), T(b), T(c), c, a, b)

// Says whether an execution may go on, and fills its workspace.
static cudnnStatus_t execute(int dir, cudnnHandle_t handle, int algo, const struct cudnnConvolutionStruct *d,
                             const float *alpha, const float *beta, void *work, size_t bytes) {
  const struct rank *r = find_rank(dir, algo);
  if (!r || r->status) return CUDNN_STATUS_NOT_SUPPORTED;
  NEED(alpha && beta && handle->stream);
  if (r->executes) return (cudnnStatus_t)r->executes;
  NEED(bytes >= r->memory && (work || !r->memory));
  memset(work ? work : &bytes, 0xa5, work ? bytes : 0);
  last_algo[dir] = algo, last_math[dir] = d->math, last_work = (size_t)work;
  return CUDNN_STATUS_SUCCESS;
}

// Calls body for every multiplication of x with a weight, with the three indices.
#define EACH(body)                                                                            \
  for (int n = 0; n < y->n; n++)                                                              \
    for (int p = 0; p < y->h; p++)                                                            \
      for (int q = 0; q < y->w; q++)                                                          \
        for (int k = 0; k < f->k; k++)                                                        \
          for (int r = 0; r < f->h; r++)                                                      \
            for (int s = 0; s < f->w; s++)                                                    \
              for (int c = 0; c < f->c; c++) {                                                \
                int h = p * d->stride - d->pad + r, w = q * d->stride - d->pad + s;           \
                if (h < 0 || h >= x->h || w < 0 || w >= x->w) continue;                       \
                size_t iy = (((size_t)n * y->h + p) * y->w + q) * y->c + k;                   \
                size_t ix = (((size_t)n * x->h + h) * x->w + w) * x->c + k / (f->k / d->groups) * f->c + c; \
                size_t iw = (((size_t)k * f->h + r) * f->w + s) * f->c + c;                   \
                body;                                                                         \
              }

static cudnnStatus_t compute(int dir, cudnnHandle_t handle, const void *alpha, const void *beta, cudnnTensorDescriptor_t x,
                             cudnnFilterDescriptor_t f, cudnnConvolutionDescriptor_t d, cudnnTensorDescriptor_t y,
                             const void *a, const void *b, void *out, int algo, void *work, size_t bytes) {
  cudnnStatus_t status = fits(handle, x, f, d, y);
  if (status) return status;
  NEED(a && b && out);
  fake_lock();
  status = execute(dir, handle, algo, d, alpha, beta, work, bytes);
  if (!status) {
    size_t sizes[3] = {(size_t)y->n * y->h * y->w * y->c, (size_t)f->k * f->h * f->w * f->c, (size_t)x->n * x->h * x->w * x->c};
    float *sums = calloc(sizes[dir], sizeof *sums);
    int bf16 = x->type == CUDNN_DATA_BFLOAT16;
    if (dir == 0) EACH(sums[iy] += load_value(a, ix, bf16) * load_value(b, iw, bf16))
    if (dir == 1) EACH(sums[iw] += load_value(a, ix, bf16) * load_value(b, iy, bf16))
    if (dir == 2) EACH(sums[ix] += load_value(a, iw, bf16) * load_value(b, iy, bf16))
    for (size_t i = 0; i < sizes[dir]; i++)
      store_value(out, i, bf16, *(const float *)alpha, sums[i], *(const float *)beta);
    free(sums);
  }
  fake_unlock();
  return status;
}

cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t handle, const void *alpha, const cudnnTensorDescriptor_t xDesc,
                                      const void *x, const cudnnFilterDescriptor_t wDesc, const void *w,
                                      const cudnnConvolutionDescriptor_t convDesc, cudnnConvolutionFwdAlgo_t algo,
                                      void *workSpace, size_t workSpaceSizeInBytes, const void *beta,
                                      const cudnnTensorDescriptor_t yDesc, void *y) {
  ENTER;
  return compute(0, handle, alpha, beta, xDesc, wDesc, convDesc, yDesc, x, w, y, algo, workSpace, workSpaceSizeInBytes);
}
cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t handle, const void *alpha, const cudnnTensorDescriptor_t xDesc,
                                             const void *x, const cudnnTensorDescriptor_t dyDesc, const void *dy,
                                             const cudnnConvolutionDescriptor_t convDesc,
                                             cudnnConvolutionBwdFilterAlgo_t algo, void *workSpace,
                                             size_t workSpaceSizeInBytes, const void *beta,
                                             const cudnnFilterDescriptor_t dwDesc, void *dw) {
  ENTER;
  return compute(1, handle, alpha, beta, xDesc, dwDesc, convDesc, dyDesc, x, dy, dw, algo, workSpace, workSpaceSizeInBytes);
}
cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t handle, const void *alpha, const cudnnFilterDescriptor_t wDesc,
                                           const void *w, const cudnnTensorDescriptor_t dyDesc, const void *dy,
                                           const cudnnConvolutionDescriptor_t convDesc, cudnnConvolutionBwdDataAlgo_t algo,
                                           void *workSpace, size_t workSpaceSizeInBytes, const void *beta,
                                           const cudnnTensorDescriptor_t dxDesc, void *dx) {
  ENTER;
  return compute(2, handle, alpha, beta, dxDesc, wDesc, convDesc, dyDesc, w, dy, dx, algo, workSpace, workSpaceSizeInBytes);
}
