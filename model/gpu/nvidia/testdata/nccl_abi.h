// The part of NCCL's interface that is used here, as in NVIDIA's nccl.h; with
// -DNVIDIA_HEADERS that is taken instead, where it is beside those of the other libraries.
#if defined(NVIDIA_HEADERS) && __has_include(<nccl.h>)
#include <nccl.h>
#else
#include <stddef.h>
typedef struct ncclComm *ncclComm_t;
typedef struct CUstream_st *cudaStream_t;
#define NCCL_UNIQUE_ID_BYTES 128
typedef struct { char internal[NCCL_UNIQUE_ID_BYTES]; } ncclUniqueId;
typedef enum {
  ncclSuccess = 0,
  ncclUnhandledCudaError = 1,
  ncclSystemError = 2,
  ncclInternalError = 3,
  ncclInvalidArgument = 4,
  ncclInvalidUsage = 5,
  ncclRemoteError = 6,
  ncclInProgress = 7
} ncclResult_t;
typedef enum { ncclSum = 0 } ncclRedOp_t;
typedef enum { ncclFloat32 = 7 } ncclDataType_t;
#endif
