package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"alexnet/model/gpu/cuda/shim"
)

// headers is where CUDA's files are.
type headers struct {
	version int    // 11080 is 11.8; 0 is none
	include string // the folder of cuda.h
	stubs   string // the folder of libcuda.so; empty for none
}

// oldest is the oldest release that package cu was built with.
const oldest = 11080

var versionTable = regexp.MustCompile(`(?m)^\s*#\s*define\s+CUDA_VERSION\s+(\d{4,6})\b`)

// installed finds a toolkit below a root ("" is the system's own), and tells log of what
// it passes over. Without one, version is 0.
func installed(root string, env func(string) string, stub bool, log io.Writer) headers {
	for _, dir := range candidates(root, env) {
		for _, include := range []string{"include", "targets/x86_64-linux/include", "targets/sbsa-linux/include"} {
			h := headers{include: filepath.Join(dir, include)}
			text, err := os.ReadFile(filepath.Join(h.include, "cuda.h"))
			if err != nil {
				continue
			}
			m := versionTable.FindSubmatch(text)
			if m == nil {
				fmt.Fprintf(log, "cuda-headers: passing over %s: no CUDA_VERSION in cuda.h\n", h.include)
				continue
			}
			h.version, _ = strconv.Atoi(string(m[1])) // a few digits
			if h.version < oldest {
				fmt.Fprintf(log, "cuda-headers: passing over CUDA %s in %s: 11.8 or later is needed\n", release(h.version), h.include)
				continue
			}
			if stub {
				if h.stubs = findStub(root, dir); h.stubs == "" {
					fmt.Fprintf(log, "cuda-headers: passing over %s: there is no stub of libcuda.so\n", dir)
					continue
				}
			}
			fmt.Fprintf(log, "cuda-headers: CUDA %s in %s\n", release(h.version), h.include)
			return h
		}
	}
	return headers{}
}

// candidates are the folders that a toolkit may be in, the user's own words first.
func candidates(root string, env func(string) string) []string {
	var dirs []string
	for _, name := range []string{"CUDA_HOME", "CUDA_PATH"} {
		if dir := env(name); dir != "" {
			dirs = append(dirs, dir)
		}
	}
	for _, dir := range filepath.SplitList(env("PATH")) {
		nvcc := filepath.Join(dir, "nvcc")
		if found, err := exec.LookPath(nvcc); err == nil {
			if real, err := filepath.EvalSymlinks(found); err == nil {
				dirs = append(dirs, filepath.Dir(filepath.Dir(real)))
			}
		}
	}
	if dir := env("CONDA_PREFIX"); dir != "" {
		dirs = append(dirs, dir)
	}
	for _, dir := range []string{"/usr/local/cuda", "/opt/cuda", "/usr"} {
		dirs = append(dirs, root+dir)
	}
	return dirs
}

// findStub returns the folder of a toolkit's stub.
func findStub(root, dir string) string {
	for _, stubs := range []string{
		filepath.Join(dir, "lib64/stubs"), filepath.Join(dir, "lib/stubs"), filepath.Join(dir, "targets/x86_64-linux/lib/stubs"),
		filepath.Join(dir, "targets/sbsa-linux/lib/stubs"), root + "/usr/lib/x86_64-linux-gnu/stubs", root + "/usr/lib/aarch64-linux-gnu/stubs",
	} {
		if _, err := os.Stat(filepath.Join(stubs, "libcuda.so")); err == nil {
			return stubs
		}
	}
	return ""
}

// release writes 12040 as 12.4.
func release(version int) string { return fmt.Sprintf("%d.%d", version/1000, version%1000/10) }

// writeShim writes the header that goes before CUDA's into the cache, and returns its
// folder.
func writeShim(cache string) (string, error) {
	dir := filepath.Join(cache, "cuda-shim")
	file := filepath.Join(dir, "cuda.h")
	if have, err := os.ReadFile(file); err == nil && string(have) == string(shim.Header) {
		return dir, nil
	}
	return dir, replace(file, func(w io.Writer) error {
		_, err := w.Write(shim.Header)
		return err
	})
}

// settings prints what a shell is to export. What the user has set already stays.
func (h headers) settings(out io.Writer, shim string, env func(string) string) {
	fmt.Fprintln(out, "export CGO_ENABLED=1")
	export(out, "CGO_CFLAGS", env, "-I"+shim, "-I"+h.include)
	if h.stubs != "" {
		export(out, "CGO_LDFLAGS", env, "-L"+h.stubs)
	}
}

// export adds flags to a variable of Go's. Where it is not set, Go has flags of its own.
func export(out io.Writer, name string, env func(string) string, flags ...string) {
	all := env(name)
	if all == "" {
		all = "-O2 -g"
	}
	for _, flag := range flags {
		if strings.ContainsAny(flag, " \t'") {
			flag = `"` + flag + `"`
		}
		if !strings.Contains(" "+all+" ", " "+flag+" ") {
			all += " " + flag
		}
	}
	fmt.Fprintf(out, "export %s='%s'\n", name, strings.ReplaceAll(all, "'", `'\''`))
}
