//go:build gpu && linux && cgo && (amd64 || arm64)

package cuda

import (
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// compiler runs the C compiler as cgo does.
func compiler(t *testing.T, args ...string) ([]byte, error) {
	t.Helper()
	cc := "cc"
	if s := os.Getenv("CC"); s != "" {
		cc = s
	}
	if _, err := exec.LookPath(cc); err != nil {
		t.Skip("this needs a C compiler: ", err)
	}
	return exec.Command(cc, args...).CombinedOutput()
}

// header returns the cuda.h that this program was built with.
func header(t *testing.T, dir string) string {
	t.Helper()
	src := filepath.Join(dir, "find.c")
	ok(t, os.WriteFile(src, []byte("#include <cuda.h>\n"), 0o666))
	args := append(strings.Fields(os.Getenv("CGO_CFLAGS")), "-I/usr/local/cuda/include", "-I/opt/cuda/include", "-M", src)
	out, err := compiler(t, args...)
	if err != nil {
		t.Skipf("where cuda.h is cannot be told: %v\n%s", err, out)
	}
	for _, f := range strings.Fields(string(out)) {
		if filepath.Base(f) != "cuda.h" {
			continue
		}
		text, err := os.ReadFile(f)
		ok(t, err)
		if !strings.Contains(string(text), "#include_next") { // else it is the shim, wherever that lies
			return string(text)
		}
	}
	t.Skipf("cuda.h is not in\n%s", out)
	return ""
}

// as13 makes a cuda.h what CUDA 13.0's is in the five functions that the shim is about.
// Nobody's cuda.h of 13 was at hand when this was written.
func as13(t *testing.T, h string) string {
	t.Helper()
	if !regexp.MustCompile(`#define CUDA_VERSION 1[12]`).MatchString(h) {
		return h // it is 13's
	}
	h = regexp.MustCompile(`#define CUDA_VERSION \d+`).ReplaceAllString(h, "#define CUDA_VERSION 13000")
	for name, params := range map[string]string{
		"cuCtxCreate":            "CUcontext *, struct new13 *, unsigned int, CUdevice",
		"cuMemAdvise":            "CUdeviceptr, size_t, CUmem_advise, struct new13",
		"cuMemPrefetchAsync":     "CUdeviceptr, size_t, struct new13, unsigned int, CUstream",
		"cuGraphAddDependencies": "CUgraph, const CUgraphNode *, const CUgraphNode *, const struct new13 *, size_t",
		"cuGraphGetEdges":        "CUgraph, CUgraphNode *, CUgraphNode *, struct new13 *, size_t *",
	} {
		n := 2
		if name == "cuCtxCreate" {
			n = 4
		}
		h = regexp.MustCompile(`(?m)^ *# *define +`+name+`(_v2)? .*$`).ReplaceAllString(h, "")
		h = regexp.MustCompile(`CUresult CUDAAPI `+name+`_v2\([^;]*;`).ReplaceAllString(h, "")
		old := regexp.MustCompile(`CUresult CUDAAPI ` + name + `\([^;]*;`)
		if !old.MatchString(h) {
			t.Fatalf("cuda.h has no %s", name)
		}
		h = old.ReplaceAllString(h, fmt.Sprintf("\n#define %s %s_v%d\nCUresult CUDAAPI %s(%s);", name, name, n, name, params))
	}
	return strings.Replace(h, "#include <stdlib.h>", "#include <stdlib.h>\nstruct new13 { int type, id; };", 1)
}

// TestShim compiles what cu calls against CUDA 13: it fails, but not with the shim, and
// what is then called is what it was before 13.
func TestShim(t *testing.T) {
	dir := t.TempDir()
	ok(t, os.WriteFile(filepath.Join(dir, "cuda.h"), []byte(as13(t, header(t, dir))), 0o666))
	src, object := filepath.Join(dir, "calls.c"), filepath.Join(dir, "calls.o")
	ok(t, os.WriteFile(src, []byte(`#include <cuda.h>
CUresult calls(CUcontext *c, CUdeviceptr p, CUdevice d, CUgraph g, CUgraphNode *a, CUgraphNode *b, size_t *n) {
  return cuCtxCreate(c, 0, d) || cuMemAdvise(p, 1, CU_MEM_ADVISE_SET_READ_MOSTLY, d) || cuMemPrefetchAsync(p, 1, d, 0) ||
    cuGraphAddDependencies(g, a, b, 1) || cuGraphGetEdges(g, a, b, n);
}
`), 0o666))
	if out, err := compiler(t, "-Werror", "-I"+dir, "-c", src, "-o", object); err == nil {
		t.Fatalf("CUDA 13 needs no shim:\n%s", out)
	}
	if out, err := compiler(t, "-Werror", "-Ishim", "-I"+dir, "-c", src, "-o", object); err != nil {
		t.Fatalf("with the shim: %v\n%s", err, out)
	}
	f, err := elf.Open(object)
	ok(t, err)
	defer f.Close()
	symbols, err := f.Symbols()
	ok(t, err)
	var called []string
	for _, s := range symbols {
		if strings.HasPrefix(s.Name, "cu") {
			called = append(called, s.Name)
		}
	}
	slices.Sort(called)
	if want := []string{"cuCtxCreate_v2", "cuGraphAddDependencies", "cuGraphGetEdges", "cuMemAdvise", "cuMemPrefetchAsync"}; !slices.Equal(called, want) {
		t.Errorf("called: %v, not %v", called, want)
	}
}
