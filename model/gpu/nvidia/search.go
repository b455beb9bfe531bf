package nvidia

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// wanted is a library to be found.
type wanted struct {
	label    string
	variable string
	stem     string   // file name without the release: "libcudnn.so"
	releases []string // that will do, the best first
	pip      []string // folders under site-packages/nvidia
	hint     string
	alone    bool // it needs no other of NVIDIA's libraries
}

func wantedDNN() wanted {
	return wanted{
		label: labelDNN, variable: VariableDNN, stem: "libcudnn.so", releases: []string{"9"}, pip: []string{"cudnn"},
		hint: "install cuDNN 9 (pip install nvidia-cudnn-cu13, or -cu12 for a driver of CUDA 12; apt-get install libcudnn9-cuda-13 from NVIDIA's repository), or set " +
			VariableDNN + " to its file or folder",
	}
}

// wantedBLAS prefers the release of the CUDA that cuDNN was made with.
func wantedBLAS(cuda int) wanted {
	w := wanted{
		label: labelBLAS, variable: VariableBLAS, stem: "libcublas.so", releases: []string{"13", "12"}, pip: []string{"cu13", "cu12", "cublas"},
		hint: "install cuBLAS 13 or 12 (pip install nvidia-cublas, or nvidia-cublas-cu12; apt-get install libcublas-13-0 from NVIDIA's repository), or set " +
			VariableBLAS + " to its file or folder",
	}
	if cuda == 12 {
		slices.Reverse(w.releases)
	}
	return w
}

func wantedNCCL() wanted {
	return wanted{
		label: labelNCCL, variable: VariableNCCL, stem: "libnccl.so", releases: []string{"2"}, pip: []string{"nccl"}, alone: true,
		hint: "install NCCL 2 (pip install nvidia-nccl-cu13, or -cu12 for a driver of CUDA 12; apt-get install libnccl2 from NVIDIA's repository), or set " +
			VariableNCCL + " to its file or folder",
	}
}

// candidate is a file that may be the library.
type candidate struct {
	path string // without a slash, one for the system's loader to find
	site string // Python's site-packages that it is in, or ""
}

// places is where libraries are looked for.
type places struct {
	getenv func(string) string
	root   string // what stands before the system's folders: "" but in tests
	system string // "x86_64-linux-gnu"
}

// herePlaces are those of this machine.
func herePlaces(goarch string) places {
	p := places{getenv: os.Getenv, system: "x86_64-linux-gnu"}
	if goarch == "arm64" {
		p.system = "aarch64-linux-gnu"
	}
	return p
}

// candidates returns the files to try, the best first, and the folders that were looked
// in. near are folders to look in before the others.
func (p places) candidates(w wanted, near ...string) (list []candidate, looked []string, err error) {
	switch choice := p.getenv(w.variable); choice {
	case "":
	case None:
		return nil, nil, &MissingError{Library: w.label, Variable: w.variable}
	default:
		list, err = chosen(w, choice)
		if err != nil {
			return nil, nil, &MissingError{Library: w.label, Variable: w.variable, Err: err, Hint: "set " + w.variable + " to the file, to its folder, or to " + None}
		}
		return list, nil, nil
	}
	folders := make([]candidate, 0, len(near))
	for _, dir := range near {
		folders = append(folders, candidate{dir, siteOf(dir)})
	}
	folders = append(folders, p.folders(w)...)
	for _, release := range w.releases {
		name := w.stem + "." + release
		list = append(list, candidate{path: name})
		for _, f := range folders {
			if file := filepath.Join(f.path, name); isFile(file) {
				list = append(list, candidate{file, f.site})
			}
		}
	}
	for _, f := range folders {
		looked = append(looked, f.path)
	}
	return list, looked, nil
}

// chosen is what a variable's value stands for.
func chosen(w wanted, value string) ([]candidate, error) {
	info, err := os.Stat(value)
	if err != nil || !info.IsDir() {
		if err != nil && strings.Contains(value, "/") {
			return nil, err
		}
		return []candidate{{value, siteOf(value)}}, nil
	}
	for _, sub := range []string{"", "lib", "lib64"} {
		for _, release := range w.releases {
			if file := filepath.Join(value, sub, w.stem+"."+release); isFile(file) {
				return []candidate{{file, siteOf(file)}}, nil
			}
		}
	}
	return nil, fmt.Errorf("%s.%s is in none of %s, its lib and its lib64", w.stem, strings.Join(w.releases, " or ."), value)
}

// siteOf returns the site-packages that a file of a pip package is in, or "".
func siteOf(file string) string {
	site, _, ok := strings.Cut(file, "/nvidia/")
	if base := filepath.Base(site); ok && (base == "site-packages" || base == "dist-packages") {
		return site
	}
	return ""
}

// folders returns those that are there, the system's and then Python's.
func (p places) folders(w wanted) []candidate {
	var list []candidate
	add := func(site string, patterns ...string) {
		for _, pattern := range patterns {
			found, _ := filepath.Glob(pattern) // nil for what is no pattern
			slices.Sort(found)
			slices.Reverse(found) // the newest release first
			for _, dir := range found {
				c := candidate{dir, site}
				if info, err := os.Stat(dir); err == nil && info.IsDir() && !slices.Contains(list, c) {
					list = append(list, c)
				}
			}
		}
	}
	for _, home := range []string{"CUDNN_HOME", "CUDNN_PATH", "CUDA_HOME", "CUDA_PATH"} {
		if dir := p.getenv(home); dir != "" {
			add("", dir+"/lib64", dir+"/lib")
		}
	}
	add("", p.root+"/usr/local/cuda/lib64", p.root+"/usr/local/cuda-*/lib64", p.root+"/usr/local/cuda*/targets/*-linux/lib",
		p.root+"/usr/lib/"+p.system, p.root+"/usr/local/lib", p.root+"/usr/lib64")
	for _, name := range []string{"CONDA_PREFIX", "VIRTUAL_ENV"} {
		if dir := p.getenv(name); dir != "" {
			add("", dir+"/lib")
		}
	}
	for _, site := range p.sites() {
		for _, sub := range w.pip {
			add(site, filepath.Join(site, "nvidia", sub, "lib"))
		}
	}
	return list
}

// sites returns the site-packages of the Pythons of this machine, that of the virtual
// environment first, then those of python3 in PATH. None of them is run.
func (p places) sites() []string {
	var list []string
	add := func(patterns ...string) {
		for _, pattern := range patterns {
			found, _ := filepath.Glob(pattern)
			slices.Sort(found)
			slices.Reverse(found)
			for _, dir := range found {
				if !slices.Contains(list, dir) {
					list = append(list, dir)
				}
			}
		}
	}
	prefix := func(dir string) {
		add(dir+"/lib/python3*/site-packages", dir+"/lib64/python3*/site-packages", dir+"/lib/python3*/dist-packages")
	}
	for _, dir := range filepath.SplitList(p.getenv("PYTHONPATH")) {
		if dir != "" {
			add(dir)
		}
	}
	for _, name := range []string{"VIRTUAL_ENV", "CONDA_PREFIX"} {
		if dir := p.getenv(name); dir != "" {
			prefix(dir)
		}
	}
	for _, dir := range filepath.SplitList(p.getenv("PATH")) {
		python := filepath.Join(dir, "python3")
		if dir == "" || !isFile(python) {
			continue
		}
		prefix(filepath.Dir(dir)) // bin/python3 of a virtual environment is a link
		if real, err := filepath.EvalSymlinks(python); err == nil {
			prefix(filepath.Dir(filepath.Dir(real)))
		}
		if filepath.Base(dir) == "shims" { // pyenv's
			prefix(filepath.Dir(dir) + "/versions/*")
		}
	}
	if home := p.getenv("HOME"); home != "" {
		prefix(home + "/.local")
	}
	for _, dir := range []string{"/usr/local", "/usr", "/opt/*", "/opt/*/.venv", "/opt/*/venv"} {
		prefix(p.root + dir)
	}
	return list
}

// others says which releases of a library are in the folders that will not do.
func (w wanted) others(folders []string) error {
	var found []string
	for _, dir := range folders {
		files, _ := filepath.Glob(filepath.Join(dir, w.stem+".*"))
		for _, f := range files {
			release, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(f), w.stem+"."), ".")
			if !slices.Contains(w.releases, release) {
				found = append(found, f)
			}
		}
	}
	if found == nil {
		return nil
	}
	return fmt.Errorf("%s: release %s is needed", strings.Join(found, ", "), strings.Join(w.releases, " or "))
}

// missing is the error of a search that found nothing.
func (w wanted) missing(looked []string, tried []error) error {
	if err := w.others(looked); err != nil {
		tried = append(tried, err)
	}
	return &MissingError{Library: w.label, Variable: w.variable, Looked: looked, Err: errors.Join(tried...), Hint: w.hint}
}

// companions returns files to load before a library that was found by its full path: the
// loader looks for what it needs by name, and finds what is loaded already. They are in
// no particular order.
func companions(c candidate) []string {
	dir := filepath.Dir(c.path)
	dirs := []string{dir}
	if c.site != "" {
		for _, sub := range []string{"cublas", "cuda_nvrtc", "cuda_runtime"} {
			dirs = append(dirs, filepath.Join(c.site, "nvidia", sub, "lib"))
		}
		for _, release := range []string{"12", "13"} {
			dirs = append(dirs, filepath.Join(c.site, "nvidia", "cu"+release, "lib"))
		}
	}
	release := "1[0-9]"
	if cuda := cudaOf(c.site); cuda != "" {
		release = cuda
	}
	var list []string
	for _, dir := range dirs {
		for _, pattern := range []string{
			"libcudart.so." + release, "libnvrtc-builtins.so." + release + ".*", "libnvrtc.so." + release,
			"libcublasLt.so." + release, "libcublas.so." + release,
		} {
			found, _ := filepath.Glob(filepath.Join(dir, pattern))
			list = append(list, found...)
		}
	}
	// cuDNN's parts; there are more of them with each release.
	parts, _ := filepath.Glob(filepath.Join(dir, "libcudnn_*.so.9"))
	list = append(list, parts...)
	return slices.DeleteFunc(list, func(f string) bool { return f == c.path })
}

// cudaOf returns the CUDA release that a site-packages' cuDNN is for, "" if that is not
// known: the libraries of two releases may lie beside each other.
func cudaOf(site string) string {
	if site == "" {
		return ""
	}
	var releases []string
	for _, release := range []string{"12", "13"} {
		if found, _ := filepath.Glob(filepath.Join(site, "nvidia_cudnn_cu"+release+"-*.dist-info")); found != nil {
			releases = append(releases, release)
		}
	}
	if len(releases) == 1 {
		return releases[0]
	}
	return ""
}

// checkName refuses a cuDNN whose file is called another release: it need not be loaded
// to be known.
func checkName(path string) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	release, ok := strings.CutPrefix(filepath.Base(path), "libcudnn.so.")
	if major, _, _ := strings.Cut(release, "."); ok && major != "9" {
		return fmt.Errorf("%s is cuDNN %s: release 9 is needed", path, release)
	}
	return nil
}

// isFile reports whether there is a file.
func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}
