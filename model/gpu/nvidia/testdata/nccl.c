// An NCCL for tests: ranks are threads of one process, memory is the host's, and a sum is
// done when its call returns.
#include "nccl_abi.h"
#include "fake.h"

#include <pthread.h>

char fake_version[] = "version 22203"; // other releases have other bytes in their file

enum { COMM = 0x6789, RANKS = 8 };
struct ncclComm { int magic, rank, ranks; };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int here, round_; // ranks that have come to a meeting, meetings that are over
static const float *offers[RANKS];
static size_t counts[RANKS];
static int async, aborts, held;
static size_t last_stream;

static int enter(const char *name) {
  pthread_mutex_lock(&lock);
  int status = fake_enter(name);
  pthread_mutex_unlock(&lock);
  return status;
}
#define ENTER                                        \
  do {                                               \
    int status = enter(__func__);                    \
    if (status) return (ncclResult_t)status;         \
  } while (0)
#define NEED(condition) \
  if (!(condition)) return ncclInvalidArgument

// What NCCL would say of sums that are under way.
void fake_async(int status) { async = status; }
int fake_aborts(void) { return aborts; }
size_t fake_stream(void) { return last_stream; }
// While graphs hold sums an abort does not return.
void fake_hold(int graphs) {
  pthread_mutex_lock(&lock);
  held = graphs;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
}

ncclResult_t ncclGetVersion(int *version) {
  ENTER;
  *version = atoi(fake_version + 8);
  return ncclSuccess;
}
const char *ncclGetErrorString(ncclResult_t result) {
  return result == ncclUnhandledCudaError ? "unhandled cuda error" : result == ncclRemoteError ? "remote process exited" : "the fake has no words";
}
const char *ncclGetLastError(ncclComm_t comm) { return comm ? "of one" : "the fake was told to"; }

// Each byte of an id depends on its place and on those before it.
static char byte_of(int i) { return (char)(i * 37 + 11); }
ncclResult_t ncclGetUniqueId(ncclUniqueId *uniqueId) {
  ENTER;
  for (int i = 0; i < NCCL_UNIQUE_ID_BYTES; i++) uniqueId->internal[i] = byte_of(i);
  return ncclSuccess;
}

// Waits until all ranks have come.
static void meet(int ranks) {
  int round = round_;
  if (++here == ranks) {
    here = 0, round_++;
    pthread_cond_broadcast(&changed);
  }
  while (round == round_) pthread_cond_wait(&changed, &lock);
}

ncclResult_t ncclCommInitRank(ncclComm_t *comm, int nranks, ncclUniqueId commId, int rank) {
  ENTER;
  NEED(comm && !*comm && nranks > 0 && nranks <= RANKS && rank >= 0 && rank < nranks);
  for (int i = 0; i < NCCL_UNIQUE_ID_BYTES; i++) NEED(commId.internal[i] == byte_of(i));
  pthread_mutex_lock(&lock);
  meet(nranks);
  *comm = calloc(1, sizeof **comm);
  (*comm)->magic = COMM, (*comm)->rank = rank, (*comm)->ranks = nranks;
  fake_objects++;
  pthread_mutex_unlock(&lock);
  return ncclSuccess;
}

ncclResult_t ncclAllReduce(const void *sendbuff, void *recvbuff, size_t count, ncclDataType_t datatype, ncclRedOp_t op,
                           ncclComm_t comm, cudaStream_t stream) {
  ENTER;
  NEED(sendbuff && sendbuff == recvbuff && count && datatype == ncclFloat32 && op == ncclSum && stream);
  NEED(comm && comm->magic == COMM);
  ncclResult_t result = ncclSuccess;
  float *sum = calloc(count, sizeof *sum), *to = recvbuff;
  pthread_mutex_lock(&lock);
  last_stream = (size_t)stream;
  offers[comm->rank] = sendbuff, counts[comm->rank] = count;
  meet(comm->ranks);
  for (int r = 0; r < comm->ranks; r++) {
    if (counts[r] != count) result = ncclInvalidUsage;
    for (size_t i = 0; i < count && !result; i++) sum[i] += offers[r][i];
  }
  meet(comm->ranks); // all have read
  for (size_t i = 0; i < count && !result; i++) to[i] = sum[i];
  pthread_mutex_unlock(&lock);
  free(sum);
  return result;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *asyncError) {
  ENTER;
  NEED(comm && comm->magic == COMM);
  *asyncError = (ncclResult_t)async;
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  ENTER;
  NEED(comm && comm->magic == COMM);
  pthread_mutex_lock(&lock);
  aborts++;
  while (held) pthread_cond_wait(&changed, &lock);
  comm->magic = 0;
  free(comm);
  fake_objects--;
  pthread_mutex_unlock(&lock);
  return ncclSuccess;
}
