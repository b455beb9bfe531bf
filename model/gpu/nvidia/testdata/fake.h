// What the fake libraries share: calls are counted, may be told to fail, and must not
// overlap.
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
  const char *name;
  int calls, status, skip;
} fake_functions[64];
static atomic_int fake_busy;
static int fake_objects; // made and not destroyed
static int fake_overlaps;

static int fake_slot(const char *name) {
  int i = 0;
  while (fake_functions[i].name && strcmp(fake_functions[i].name, name)) i++;
  if (!fake_functions[i].name) fake_functions[i].name = strdup(name);
  return i;
}

// Lets a function return a status, after so many calls that are as usual; once.
void fake_fail(const char *name, int status, int skip) {
  int i = fake_slot(name);
  fake_functions[i].status = status;
  fake_functions[i].skip = skip;
}

int fake_calls(const char *name) { return fake_functions[fake_slot(name)].calls; }
int fake_live(void) { return fake_objects; }
void fake_forgive(int n) { fake_objects -= n; }
int fake_overlapped(void) { return fake_overlaps; }

static int fake_enter(const char *name) {
  int i = fake_slot(name);
  fake_functions[i].calls++;
  if (!fake_functions[i].status || fake_functions[i].skip-- > 0) return 0;
  int status = fake_functions[i].status;
  fake_functions[i].status = 0;
  return status;
}

// Every function that takes a handle is in use by one caller at a time.
static void fake_lock(void) {
  if (atomic_fetch_add(&fake_busy, 1)) fake_overlaps++;
}
static void fake_unlock(void) { atomic_fetch_sub(&fake_busy, 1); }

static float from_bf16(uint16_t v) {
  uint32_t bits = (uint32_t)v << 16;
  float f;
  memcpy(&f, &bits, 4);
  return f;
}

static uint16_t to_bf16(float f) {
  uint32_t bits;
  memcpy(&bits, &f, 4);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16); // to nearest, ties to even
}

static float load_value(const void *p, size_t i, int bf16) {
  return bf16 ? from_bf16(((const uint16_t *)p)[i]) : ((const float *)p)[i];
}

// Adds beta times what is there only when beta is not zero, as the libraries do.
static void store_value(void *p, size_t i, int bf16, float alpha, float sum, float beta) {
  float v = alpha * sum;
  if (beta != 0) v += beta * load_value(p, i, bf16);
  if (bf16)
    ((uint16_t *)p)[i] = to_bf16(v);
  else
    ((float *)p)[i] = v;
}
