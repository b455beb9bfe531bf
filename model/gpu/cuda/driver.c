//go:build gpu && linux && cgo && (amd64 || arm64)

#define _GNU_SOURCE
#include "driver.h"
#include "functions.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

// cuda.h defines most names as macros for the release of the function that it declares
// (cuMemAlloc is cuMemAlloc_v2). SYMBOL(f) is what f means, #f how it was written.
#define TEXT(x) #x
#define SYMBOL(f) TEXT(f)

#define HIDDEN __attribute__((visibility("hidden"), used))

// Before the library is loaded, and for functions that it does not have.
HIDDEN CUresult alexnet_not_loaded(void) { return CUDA_ERROR_NOT_INITIALIZED; }
HIDDEN CUresult alexnet_missing(void) { return CUDA_ERROR_NOT_SUPPORTED; }

// A pointer for each function,
#define POINTER(f) HIDDEN void *alexnet_##f = (void *)alexnet_not_loaded;
NEEDED(POINTER)
CU_ONLY(POINTER)

// and the function, which jumps to where it points with all parameters as they are. In
// assembly, because C cannot forward parameters that it does not know.
#if defined(__x86_64__)
#define JUMP(pointer) "  jmp *" pointer "(%rip)\n"
#else
#define JUMP(pointer) \
  "  adrp x16, " pointer "\n" \
  "  ldr x16, [x16, #:lo12:" pointer "]\n" \
  "  br x16\n"
#endif
#define FUNCTION(f)                     \
  __asm__(".text\n"                     \
          ".p2align 4\n"                \
          ".globl " SYMBOL(f) "\n"      \
          ".hidden " SYMBOL(f) "\n"     \
          ".type " SYMBOL(f) ", %function\n" \
          SYMBOL(f) ":\n" JUMP("alexnet_" #f) \
          ".size " SYMBOL(f) ", . - " SYMBOL(f) "\n");
NEEDED(FUNCTION)
CU_ONLY(FUNCTION)

// What cu calls when the program starts, long before it is known whether a GPU is wanted.
HIDDEN CUresult cuInit(unsigned int flags) {
  (void)flags;
  return CUDA_SUCCESS;
}

void alexnet_load_driver(const char *file, alexnet_driver *d) {
  struct entry {
    const char *name;
    void **pointer;
    int needed;
  };
#define NEEDED_ENTRY(f) {SYMBOL(f), &alexnet_##f, 1},
#define ENTRY(f) {SYMBOL(f), &alexnet_##f, 0},
  static const struct entry entries[] = {NEEDED(NEEDED_ENTRY) CU_ONLY(ENTRY)};

  memset(d, 0, sizeof *d);
  // Never closed: the driver has threads of its own.
  void *lib = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  if (!lib) {
    const char *said = dlerror();
    snprintf(d->problem, sizeof d->problem, "%s", said ? said : "dlopen failed");
    return;
  }
  d->loaded = 1;
  for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
    void *at = dlsym(lib, entries[i].name);
    if (!at && entries[i].needed && !d->missing[0])
      snprintf(d->missing, sizeof d->missing, "%s", entries[i].name);
    *entries[i].pointer = at ? at : (void *)alexnet_missing;
  }
  CUresult (*init)(unsigned int) = (CUresult (*)(unsigned int))dlsym(lib, "cuInit");
  if (init)
    d->init = init(0);
  else
    snprintf(d->missing, sizeof d->missing, "cuInit");
}
