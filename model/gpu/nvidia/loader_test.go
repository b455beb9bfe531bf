//go:build linux && (amd64 || arm64) && !static

package nvidia

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestLoader opens the libraries in processes of their own: through the loader's path,
// and out of pip's folders, where cuDNN's parts lie that it looks for by name alone.
func TestLoader(t *testing.T) {
	const site = "loader/venv/lib/python3.12/site-packages"
	lt := build(t, "part.c", site+"/nvidia/cublas/lib/libcublasLt.so.12")
	blas := buildBLAS(t, site+"/nvidia/cublas/lib/libcublas.so.12")
	graph := build(t, "part.c", site+"/nvidia/cudnn/lib/libcudnn_graph.so.9")
	// Alphabetically cnn comes first, and needs all others.
	ops := build(t, "part.c", site+"/nvidia/cudnn/lib/libcudnn_ops.so.9", "-Wl,--no-as-needed", graph, lt)
	build(t, "part.c", site+"/nvidia/cudnn/lib/libcudnn_cnn.so.9", "-Wl,--no-as-needed", ops, graph)
	dnn := buildDNN(t, site+"/nvidia/cudnn/lib", "split 0", "split 1", "version 091002", "version 091500")
	dir := filepath.Dir(buildDNN(t, "path"))
	buildBLAS(t, "path/libcublas.so.13", "major 12", "major 13")
	buildBLAS(t, "path/libcublas.so.12")
	root := filepath.Dir(dir)
	venv := filepath.Join(root, "loader/venv")
	empty := t.TempDir()

	bare := runChild(t, empty, "HOME="+empty)
	if !strings.Contains(bare, "is not here") {
		t.Skip("this machine has the libraries: " + bare)
	}
	for _, want := range []string{"cuDNN is not here: ", "cuBLAS is not here: ", "libcudnn.so.9: cannot open shared object file", "pip install"} {
		if !strings.Contains(bare, want) {
			t.Errorf("%q is not in: %s", want, bare)
		}
	}
	for _, test := range []struct {
		name string
		env  []string
		want string
	}{
		// The path's cuDNN says that it is for CUDA 12, so cuBLAS 12 goes with it.
		{"LD_LIBRARY_PATH", []string{"LD_LIBRARY_PATH=" + dir}, "cuDNN 9.10.2, cuBLAS 12.9.1 from libcudnn.so.9 and libcublas.so.12"},
		{"virtual environment", []string{"VIRTUAL_ENV=" + venv}, "cuDNN 9.15.0, cuBLAS 12.9.1 from " + dnn + " and libcublas.so.12"},
		{"path before pip", []string{"LD_LIBRARY_PATH=" + dir, "VIRTUAL_ENV=" + venv}, "cuDNN 9.10.2, cuBLAS 12.9.1 from libcudnn.so.9 and libcublas.so.12"},
		{"variables", []string{"LD_LIBRARY_PATH=" + dir, VariableDNN + "=" + filepath.Dir(dnn), VariableBLAS + "=" + blas},
			"cuDNN 9.15.0, cuBLAS 12.9.1 from " + dnn + " and " + blas},
		{"none", []string{"LD_LIBRARY_PATH=" + dir, VariableDNN + "=none"}, "nvidia: cuDNN is not used: ALEXNET_CUDNN=none"},
	} {
		if got := runChild(t, empty, append(test.env, "HOME="+empty)...); got != test.want {
			t.Errorf("%s:\n%s\ninstead of\n%s", test.name, got, test.want)
		}
	}
	// Without one of its parts cuDNN would end the process: it is not used.
	if err := os.Rename(graph, graph+".away"); err != nil {
		t.Fatal(err)
	}
	defer os.Rename(graph+".away", graph)
	if got := runChild(t, empty, "VIRTUAL_ENV="+venv, "HOME="+empty); !strings.Contains(got, "libcudnn.so.9 lacks a part: libcudnn_graph.so.9: cannot open") {
		t.Errorf("a part is missing: %s", got)
	}
}

// TestHeaders looks for the numbers and the functions in NVIDIA's headers, where they
// are here.
func TestHeaders(t *testing.T) {
	dir := os.Getenv(headersVariable)
	if dir == "" {
		t.Skip(headersVariable + " names no folder with cudnn.h and cublas_v2.h")
	}
	text := "#include <cudnn.h>\n#include <cublas_v2.h>\n"
	for _, v := range numbers {
		text += fmt.Sprintf("_Static_assert(%s == %d, \"%s\");\n", v.name, v.got, v.name)
	}
	names := slices.Concat(namesDNNTable, namesBLASTable, []string{"cudnnGetErrorString", "cublasGetStatusName", "cublasGetStatusString"})
	for _, d := range directionTable {
		names = append(names, d.heuristic, d.measure, d.workspace, d.execute)
	}
	text += "void *functions[] = {(void *)" + strings.Join(names, ", (void *)") + "};\n"
	text += "_Static_assert(sizeof(cudnnConvolutionFwdAlgoPerf_t) == 48 && offsetof(cudnnConvolutionFwdAlgoPerf_t, mathType) == 28, \"rank\");\n"
	file := filepath.Join(t.TempDir(), "numbers.c")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("gcc", "-fsyntax-only", "-Wno-deprecated-declarations", "-I"+dir, file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
