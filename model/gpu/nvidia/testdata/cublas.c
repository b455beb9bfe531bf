// A cuBLAS for tests, like the cuDNN beside it.
#include "cublas_abi.h"
#include "fake.h"

char fake_major[] = "major 12"; // other releases have other bytes in their file

enum { HANDLE = 0x4321 };
struct cublasContext { int magic; cudaStream_t stream; void *work; size_t bytes; int math; };

// Of the last product: stream, workspace and its size, how it was computed, the mode.
static size_t last[5];
static int needs_workspace;
void fake_need_workspace(int need) { needs_workspace = need; }
size_t fake_last(int what) { return last[what]; }

#define ENTER                                        \
  do {                                               \
    int status = fake_enter(__func__);               \
    if (status) return (cublasStatus_t)status;       \
  } while (0)
#define NEED(condition) \
  if (!(condition)) return CUBLAS_STATUS_INVALID_VALUE

cublasStatus_t cublasGetProperty(libraryPropertyType type, int *value) {
  ENTER;
  NEED(value && (int)type >= 0 && type <= PATCH_LEVEL);
  *value = type == MAJOR_VERSION ? atoi(fake_major + 6) : type == MINOR_VERSION ? 9 : 1;
  return CUBLAS_STATUS_SUCCESS;
}
const char *cublasGetStatusName(cublasStatus_t status) {
  switch ((int)status) {
    case 1: return "CUBLAS_STATUS_NOT_INITIALIZED";
    case 3: return "CUBLAS_STATUS_ALLOC_FAILED";
    case 7: return "CUBLAS_STATUS_INVALID_VALUE";
    case 13: return "CUBLAS_STATUS_EXECUTION_FAILED";
  }
  return "CUBLAS_STATUS_OF_THE_FAKE";
}
const char *cublasGetStatusString(cublasStatus_t status) {
  return (int)status == 3 ? "the resource allocation failed" : "the fake has no words";
}

cublasStatus_t cublasCreate_v2(cublasHandle_t *handle) {
  ENTER;
  NEED(handle);
  *handle = calloc(1, sizeof **handle);
  (*handle)->magic = HANDLE;
  fake_objects++;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
  ENTER;
  NEED(handle && handle->magic == HANDLE);
  handle->magic = 0;
  free(handle);
  fake_objects--;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t streamId) {
  ENTER;
  NEED(handle && handle->magic == HANDLE);
  fake_lock();
  handle->stream = streamId;
  handle->work = NULL, handle->bytes = 0; // as the manual says
  fake_unlock();
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void *workspace, size_t workspaceSizeInBytes) {
  ENTER;
  NEED(handle && handle->magic == HANDLE && workspace && (size_t)workspace % 256 == 0);
  handle->work = workspace, handle->bytes = workspaceSizeInBytes;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
  ENTER;
  NEED(handle && handle->magic == HANDLE);
  handle->math = mode;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb, int m, int n, int k,
                            const void *alpha, const void *A, cudaDataType Atype, int lda, const void *B, cudaDataType Btype,
                            int ldb, const void *beta, void *C, cudaDataType Ctype, int ldc,
                            cublasComputeType_t computeType, cublasGemmAlgo_t algo) {
  ENTER;
  NEED(handle && handle->magic == HANDLE && handle->stream && alpha && beta && A && B && C);
  NEED((transa == CUBLAS_OP_N || transa == CUBLAS_OP_T) && (transb == CUBLAS_OP_N || transb == CUBLAS_OP_T));
  NEED(m > 0 && n > 0 && k > 0 && ldc >= m && lda >= (transa == CUBLAS_OP_N ? m : k) && ldb >= (transb == CUBLAS_OP_N ? k : n));
  NEED(algo == CUBLAS_GEMM_DEFAULT && (handle->work || !needs_workspace));
  int bf16 = Atype == CUDA_R_16BF;
  if (Atype != Btype || (!bf16 && Atype != CUDA_R_32F) || (Ctype != CUDA_R_32F && !(bf16 && Ctype == CUDA_R_16BF)))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  if (computeType != CUBLAS_COMPUTE_32F && !(computeType == CUBLAS_COMPUTE_32F_FAST_TF32 && !bf16))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  fake_lock();
  if (handle->work) memset(handle->work, 0x5a, handle->bytes);
  for (int i = 0; i < m; i++)
    for (int j = 0; j < n; j++) {
      float sum = 0;
      for (int l = 0; l < k; l++)
        sum += load_value(A, transa == CUBLAS_OP_N ? i + (size_t)l * lda : l + (size_t)i * lda, bf16) *
               load_value(B, transb == CUBLAS_OP_N ? l + (size_t)j * ldb : j + (size_t)l * ldb, bf16);
      store_value(C, i + (size_t)j * ldc, Ctype == CUDA_R_16BF, *(const float *)alpha, sum, *(const float *)beta);
    }
  last[0] = (size_t)handle->stream, last[1] = (size_t)handle->work, last[2] = handle->bytes, last[3] = computeType, last[4] = handle->math;
  fake_unlock();
  return CUBLAS_STATUS_SUCCESS;
}
