package nvidia

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// tree makes empty files below a folder.
func tree(t *testing.T, files ...string) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the search is for Linux's folders")
	}
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		f = filepath.Join(root, f)
		if err := os.MkdirAll(filepath.Dir(f), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f, nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// at makes places of a tree; in values, / at the beginning stands for its root.
func at(root string, env map[string]string) places {
	return places{root: root, system: "x86_64-linux-gnu", getenv: func(name string) string {
		if v, ok := env[name]; ok && strings.HasPrefix(v, "/") {
			return root + strings.ReplaceAll(v, ":/", ":"+root+"/")
		}
		return env[name]
	}}
}

// TestOrder: what is tried, in which order.
func TestOrder(t *testing.T) {
	root := tree(t,
		"usr/local/cuda-12.4/lib64/libcudnn.so.9",
		"usr/local/cuda-12.4/lib64/libcublas.so.12",
		"usr/local/cuda-13.1/lib64/libcublas.so.13",
		"usr/local/cuda/lib64/libcublas.so.12",
		"usr/lib/x86_64-linux-gnu/libcudnn.so.9",
		"usr/lib/aarch64-linux-gnu/libcudnn.so.9", // another processor's
		"conda/lib/libcudnn.so.9",
		"venv/lib/python3.12/site-packages/nvidia/cudnn/lib/libcudnn.so.9",
		"venv/lib/python3.12/site-packages/nvidia/cu13/lib/libcublas.so.13",
		"venv/lib/python3.12/site-packages/nvidia/cublas/lib/libcublas.so.12",
		"py/bin/python3",
		"py/lib/python3.11/site-packages/nvidia/cudnn/lib/libcudnn.so.9",
		"py/lib/python3.11/site-packages/nvidia/cudnn/lib/libcudnn.so.8",
		"pyenv/shims/python3",
		"pyenv/versions/3.10.1/lib/python3.10/site-packages/nvidia/cudnn/lib/libcudnn.so.9",
		"home/.local/lib/python3.9/site-packages/nvidia/cudnn/lib/libcudnn.so.9",
		"opt/app/.venv/lib/python3.13/site-packages/nvidia/cudnn/lib/libcudnn.so.9",
		"usr/lib/python3/dist-packages/nvidia/cudnn/lib/libcudnn.so.9",
		"toolkit/lib64/libcudnn.so.9",
	)
	env := map[string]string{"CONDA_PREFIX": "/conda", "VIRTUAL_ENV": "/venv", "PATH": "/nowhere:/py/bin:/pyenv/shims", "HOME": "/home", "CUDA_HOME": "/toolkit"}
	list, looked, err := at(root, env).candidates(wantedDNN())
	if err != nil {
		t.Fatal(err)
	}
	site := func(s string) string { return s + "/site-packages/nvidia/cudnn/lib/libcudnn.so.9" }
	check(t, root, list, "libcudnn.so.9", "/toolkit/lib64/libcudnn.so.9", "/usr/local/cuda-12.4/lib64/libcudnn.so.9", "/usr/lib/x86_64-linux-gnu/libcudnn.so.9",
		"/conda/lib/libcudnn.so.9", site("/venv/lib/python3.12"), site("/py/lib/python3.11"), site("/pyenv/versions/3.10.1/lib/python3.10"),
		site("/home/.local/lib/python3.9"), "/usr/lib/python3/dist-packages/nvidia/cudnn/lib/libcudnn.so.9", site("/opt/app/.venv/lib/python3.13"))
	if c := list[5]; c.site != root+"/venv/lib/python3.12/site-packages" || list[1].site != "" {
		t.Errorf("site-packages %q", c.site)
	}
	if !slices.Contains(looked, root+"/usr/local/cuda-13.1/lib64") || slices.Contains(looked, root+"/usr/lib64") {
		t.Errorf("looked in %q", looked)
	}
	if err := wantedDNN().others(looked); err == nil || !strings.Contains(err.Error(), "libcudnn.so.8: release 9 is needed") {
		t.Errorf("release 8 is there too: %v", err)
	}
	// cuBLAS: the folder of the cuDNN that was found first, the newest release before
	// others, or that of cuDNN's CUDA.
	near := root + "/venv/lib/python3.12/site-packages/nvidia/cublas/lib"
	thirteen := []string{"libcublas.so.13", "/usr/local/cuda-13.1/lib64/libcublas.so.13", "/venv/lib/python3.12/site-packages/nvidia/cu13/lib/libcublas.so.13"}
	twelve := []string{"libcublas.so.12", near[len(root):] + "/libcublas.so.12", "/usr/local/cuda/lib64/libcublas.so.12",
		"/usr/local/cuda-12.4/lib64/libcublas.so.12", near[len(root):] + "/libcublas.so.12"}
	for cuda, want := range map[int][]string{0: slices.Concat(thirteen, twelve), 13: slices.Concat(thirteen, twelve), 12: slices.Concat(twelve, thirteen)} {
		list, _, err := at(root, env).candidates(wantedBLAS(cuda), near)
		if err != nil {
			t.Fatal(err)
		}
		check(t, root, list, want...)
	}
}

func check(t *testing.T, root string, list []candidate, want ...string) {
	t.Helper()
	var got []string
	for _, c := range list {
		got = append(got, strings.TrimPrefix(c.path, root))
	}
	if !slices.Equal(got, want) {
		t.Errorf("tried\n%s\ninstead of\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestVariables: a file, a folder, a name, none.
func TestVariables(t *testing.T) {
	root := tree(t, "a/libcudnn.so.9", "b/lib64/libcudnn.so.9", "c/lib/libcudnn.so.9", "c/libcudnn.so.8", "d/x",
		"venv/lib/python3.12/site-packages/nvidia/cudnn/lib/libcudnn.so.9", "e/libcublas.so.12", "e/libcublas.so.13")
	for value, want := range map[string]string{
		"/a/libcudnn.so.9": "/a/libcudnn.so.9",
		"/a":               "/a/libcudnn.so.9",
		"/b":               "/b/lib64/libcudnn.so.9",
		"/c":               "/c/lib/libcudnn.so.9",
		"libcudnn.so.9.1":  "libcudnn.so.9.1",
		"/venv/lib/python3.12/site-packages/nvidia/cudnn": "/venv/lib/python3.12/site-packages/nvidia/cudnn/lib/libcudnn.so.9",
	} {
		list, _, err := at(root, map[string]string{VariableDNN: value}).candidates(wantedDNN())
		if err != nil {
			t.Fatal(err)
		}
		check(t, root, list, want)
		if inVenv := strings.Contains(value, "venv"); inVenv != (list[0].site != "") {
			t.Errorf("%s: site %q", value, list[0].site)
		}
	}
	list, _, err := at(root, map[string]string{VariableBLAS: "/e"}).candidates(wantedBLAS(12))
	if err != nil {
		t.Fatal(err)
	}
	check(t, root, list, "/e/libcublas.so.12")
	for value, want := range map[string]string{
		"/d":                "libcudnn.so.9 is in none of",
		"/z/libcudnn.so.9":  "no such file or directory",
		None:                "ALEXNET_CUDNN=none",
		"/d/x/libcudnn.so9": "not a directory",
	} {
		var missing *MissingError
		_, _, err := at(root, map[string]string{VariableDNN: value}).candidates(wantedDNN())
		if !errors.As(err, &missing) || !strings.Contains(err.Error(), want) || (value == None) != (missing.Err == nil) {
			t.Errorf("%s: %v", value, err)
		}
	}
}

// TestCompanions: what is loaded before a library of pip's.
func TestCompanions(t *testing.T) {
	const s = "s/lib/python3.12/site-packages/"
	files := []string{
		s + "nvidia/cudnn/lib/libcudnn.so.9", s + "nvidia/cudnn/lib/libcudnn_ops.so.9", s + "nvidia/cudnn/lib/libcudnn_graph.so.9",
		s + "nvidia/cudnn/lib/libcudnn_ext.so.9", s + "nvidia/cudnn/lib/libcudnn_ops.so.8",
		s + "nvidia/cublas/lib/libcublas.so.12", s + "nvidia/cublas/lib/libcublasLt.so.12", s + "nvidia/cublas/lib/libnvblas.so.12",
		s + "nvidia/cu13/lib/libcublas.so.13", s + "nvidia/cu13/lib/libnvrtc.so.13", s + "nvidia/cu13/lib/libnvrtc-builtins.so.13.1",
		s + "nvidia/cuda_nvrtc/lib/libnvrtc.so.12", s + "nvidia/cuda_nvrtc/lib/libnvrtc.alt.so.12", s + "nvidia/cuda_runtime/lib/libcudart.so.12",
	}
	parts := []string{"libcudnn_ext.so.9", "libcudnn_graph.so.9", "libcudnn_ops.so.9"}
	twelve := []string{"libcublasLt.so.12", "libcublas.so.12", "libnvrtc.so.12", "libcudart.so.12"}
	thirteen := []string{"libnvrtc-builtins.so.13.1", "libnvrtc.so.13", "libcublas.so.13"}
	for info, want := range map[string][]string{
		"":           slices.Concat(twelve, thirteen, parts),
		"cu12-9.1.0": slices.Concat(twelve, parts),
		"cu13-9.1.0": slices.Concat(thirteen, parts),
	} {
		root := tree(t, files...)
		if info != "" {
			if err := os.MkdirAll(filepath.Join(root, s, "nvidia_cudnn_"+info+".dist-info"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		for _, f := range companions(candidate{filepath.Join(root, files[0]), filepath.Join(root, s)}) {
			got = append(got, filepath.Base(f))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %v instead of %v", info, got, want)
		}
	}
	root := tree(t, "cuda/libcublas.so.13", "cuda/libcublasLt.so.13")
	if got := companions(candidate{path: filepath.Join(root, "cuda/libcublas.so.13")}); len(got) != 1 || filepath.Base(got[0]) != "libcublasLt.so.13" {
		t.Errorf("of cuBLAS: %v", got)
	}
}

// TestMissingText: the error says where was looked and what to do.
func TestMissingText(t *testing.T) {
	root := tree(t, "opt/x/lib/python3.12/site-packages/nvidia/cudnn/lib/libcudnn.so.8.9.7")
	_, looked, err := at(root, nil).candidates(wantedDNN())
	if err != nil {
		t.Fatal(err)
	}
	text := wantedDNN().missing(looked, []error{errors.New("libcudnn.so.9: no such file")}).Error()
	for _, want := range []string{"cuDNN is not here: libcudnn.so.9: no such file; ", "libcudnn.so.8.9.7: release 9 is needed", "LD_LIBRARY_PATH",
		root + "/opt/x/lib/python3.12/site-packages/nvidia/cudnn/lib", "pip install nvidia-cudnn-cu13", VariableDNN} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in: %s", want, text)
		}
	}
}
