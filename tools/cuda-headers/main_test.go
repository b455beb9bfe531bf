package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"alexnet/tools/cli"
)

const (
	headerText = "#define CUDA_VERSION 11080\n"
	stubText   = "a library of nothing"
)

// contents are the files of the package that the tests make.
func contents() map[string]string {
	return map[string]string{
		"./usr/include/cuda.h":                        headerText,
		"./usr/include/cudaGL.h":                      "not wanted",
		"./usr/lib/x86_64-linux-gnu/stubs/libcuda.so": stubText,
	}
}

// ar packs members.
func ar(members ...string) []byte {
	b := []byte("!<arch>\n")
	for i := 0; i < len(members); i += 2 {
		b = fmt.Appendf(b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", members[i], 0, 0, 0, "100644", len(members[i+1]))
		b = append(b, members[i+1]...)
		if len(members[i+1])%2 == 1 {
			b = append(b, '\n')
		}
	}
	return b
}

// tarred packs files, in order of their names.
func tarred(t testing.TB, files map[string]string) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	err := w.WriteHeader(&tar.Header{Name: "./usr/include/", Typeflag: tar.TypeDir, Mode: 0o755})
	for _, name := range names {
		_, werr := w, w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name]))})
		_, ferr := io.WriteString(w, files[name])
		err = errors.Join(err, werr, ferr)
	}
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// compressed compresses by the ending of a member's name.
func compressed(t testing.TB, name, data string) string {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	switch filepath.Ext(name) {
	case ".xz":
		w, err = xz.NewWriter(&b)
	case ".zst":
		w, err = zstd.NewWriter(&b)
	case ".gz":
		w = gzip.NewWriter(&b)
	default:
		return data
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// deb makes a package.
func deb(t testing.TB, member string, files map[string]string) []byte {
	t.Helper()
	return ar("debian-binary", "2.0\n", "control.tar.gz", "odd", member, compressed(t, member, tarred(t, files)))
}

// sum returns the SHA-256.
func sum(s string) string {
	b := sha256.Sum256([]byte(s))
	return hex.EncodeToString(b[:])
}

// made is the release that the tests' packages have.
func made() packaged {
	return packaged{11080, "pool/cuda.deb", []file{
		{"usr/include/cuda.h", "include/cuda.h", sum(headerText)},
		{"usr/lib/x86_64-linux-gnu/stubs/libcuda.so", "stubs/libcuda.so", sum(stubText)},
	}}
}

// readAll unpacks a whole package.
func readAll(b []byte, wanted int) (map[string]string, error) {
	got := make(map[string]string)
	err := unpack(bytes.NewReader(b), func(name string, size int64, r io.Reader) (bool, error) {
		text, err := io.ReadAll(r)
		if err == nil && int64(len(text)) != size {
			err = fmt.Errorf("%s has %d bytes, not %d", name, len(text), size)
		}
		got[name] = string(text)
		return len(got) == wanted, err
	})
	return got, err
}

func TestUnpack(t *testing.T) {
	for _, member := range []string{"data.tar", "data.tar.gz", "data.tar.xz", "data.tar.zst", "data.tar.xz/"} {
		got, err := readAll(deb(t, strings.TrimSuffix(member, "/"), contents()), 3)
		if err != nil {
			t.Errorf("%s: %v", member, err)
			continue
		}
		for name, text := range contents() {
			if got[strings.TrimPrefix(name, "./")] != text {
				t.Errorf("%s: %s has %q", member, name, got[name])
			}
		}
	}
}

func TestUnpackCorrupt(t *testing.T) {
	whole := deb(t, "data.tar", contents())
	change := func(at int, to string) []byte {
		b := slices.Clone(whole)
		copy(b[at:], to)
		return b
	}
	for _, test := range []struct {
		name string
		deb  []byte
		want string
	}{
		{"nothing", nil, "cut off"},
		{"a page", []byte("<html>Sign in to this network</html>"), `it begins with "<html>Si"`},
		{"no members", whole[:8], "cut off"},
		{"half a member's header", whole[:40], "cut off"},
		{"half a member", whole[:70], "cut off"},
		{"a member's end mark", change(8+58, "xx"), `the header of member "debian-binary"`},
		{"a member's size", change(8+48, "-1        "), `the header of member "debian-binary"`},
		{"no files", ar("debian-binary", "2.0\n"), "cut off"},
		{"too few files", deb(t, "data.tar", map[string]string{"./a": "a"}), "without all the files"},
	} {
		_, err := readAll(test.deb, 3)
		var malformed *malformedError
		if !errors.As(err, &malformed) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
	var unsupported *unsupportedError
	if _, err := readAll(ar("data.tar.lz", "x"), 3); !errors.As(err, &unsupported) {
		t.Errorf("lzip: %v", err)
	}
	for _, member := range []string{"data.tar", "data.tar.gz", "data.tar.xz", "data.tar.zst"} {
		whole := deb(t, member, contents())
		if _, err := readAll(whole[:len(whole)*3/4], 4); err == nil {
			t.Errorf("%s: the end was cut off, and nobody saw it", member)
		}
		if _, err := readAll(ar(member, "\x00\x01\x02 none of these formats begins so, and it is longer than a block"), 3); err == nil {
			t.Errorf("%s: nonsense was unpacked", member)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(deb(f, "data.tar", contents()))
	f.Add(deb(f, "data.tar.gz", contents()))
	f.Add(ar("debian-binary", "2.0\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if bytes.Contains(b, []byte("data.tar.xz")) {
			return // a few bytes of xz may rightly ask for gigabytes
		}
		files := 0
		_ = unpack(bytes.NewReader(b), func(_ string, size int64, r io.Reader) (bool, error) {
			if size < 0 {
				t.Errorf("a file of %d bytes", size)
			}
			files++
			return files == 3, nil
		})
	})
}

// server serves a package and counts how often it was asked for.
func server(t *testing.T, serve func(w http.ResponseWriter)) (url string, asked *atomic.Int32) {
	t.Helper()
	asked = new(atomic.Int32)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.URL.Path != "/pool/cuda.deb" {
			http.NotFound(w, r)
			return
		}
		serve(w)
	}))
	t.Cleanup(s.Close)
	return s.URL, asked
}

// listing names the files below a folder.
func listing(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			names = append(names, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return names
}

func TestGet(t *testing.T) {
	b := deb(t, "data.tar.xz", contents())
	url, asked := server(t, func(w http.ResponseWriter) { _, _ = w.Write(b) })
	cache := filepath.Join(t.TempDir(), "cache")
	get := func(stub bool, requests int32, want ...string) {
		t.Helper()
		h, err := made().get(t.Context(), url, cache, stub, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if h.version != 11080 || h.include != filepath.Join(cache, "cuda-11.8", "include") || (h.stubs != "") != stub {
			t.Errorf("the files are in %+v", h)
		}
		if got := listing(t, cache); !slices.Equal(got, want) {
			t.Errorf("the cache has %v, not %v", got, want)
		}
		if n := asked.Load(); n != requests {
			t.Errorf("the server was asked %d times, not %d", n, requests)
		}
		if text, _ := os.ReadFile(filepath.Join(h.include, "cuda.h")); string(text) != headerText {
			t.Errorf("cuda.h is %q", text)
		}
	}
	const header, stub = "cuda-11.8/include/cuda.h", "cuda-11.8/stubs/libcuda.so"
	get(false, 1, header)
	get(false, 1, header) // it is there
	get(true, 2, header, stub)
	get(true, 2, header, stub)
	if err := os.WriteFile(filepath.Join(cache, header), []byte("half of"), 0o666); err != nil {
		t.Fatal(err)
	}
	get(false, 3, header, stub) // damaged, so got again
}

// TestGetStops reads a package that never ends.
func TestGetStops(t *testing.T) {
	whole := tarred(t, contents())
	url, _ := server(t, func(w http.ResponseWriter) {
		b := ar("debian-binary", "2.0\n", "data.tar", whole)
		size := "9999999999"
		copy(b[8+60+4+48:], size)
		for {
			if _, err := w.Write(b); err != nil {
				return
			}
			b = make([]byte, 1<<16)
		}
	})
	if _, err := made().get(t.Context(), url, t.TempDir(), true, io.Discard); err != nil {
		t.Fatal(err)
	}
}

func TestGetFails(t *testing.T) {
	whole := deb(t, "data.tar", contents())
	other := contents()
	other["./usr/include/cuda.h"] = strings.ToUpper(headerText)
	changed := deb(t, "data.tar", other)
	large := deb(t, "data.tar", map[string]string{"./usr/include/cuda.h": strings.Repeat("x", most+1)})
	closed := httptest.NewServer(nil)
	closed.Close()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		name  string
		ctx   context.Context
		serve func(w http.ResponseWriter)
		url   string
		is    any
		want  string
		left  []string // files that came before, and were right
	}{
		{name: "changed", serve: func(w http.ResponseWriter) { _, _ = w.Write(changed) }, is: new(*checksumError), want: "cuda.h has the SHA-256 " + sum(strings.ToUpper(headerText))},
		{name: "too large", serve: func(w http.ResponseWriter) { _, _ = w.Write(large) }, is: new(*malformedError), want: "has 16777217 bytes"},
		{name: "cut off", serve: func(w http.ResponseWriter) { _, _ = w.Write(whole[:len(whole)/3]) }, is: new(*malformedError), want: "ends without", left: []string{"cuda-11.8/include/cuda.h"}},
		{name: "broken connection", serve: func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", fmt.Sprint(len(whole)))
			_, _ = w.Write(whole[:900])
			panic(http.ErrAbortHandler)
		}, want: "EOF"},
		{name: "gone", serve: func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound) }, want: "not there any more; Debian keeps"},
		{name: "refused", serve: func(w http.ResponseWriter) { w.WriteHeader(http.StatusForbidden) }, want: "403 Forbidden"},
		{name: "no network", url: closed.URL, want: "refused"},
		{name: "not an address", url: "http://a b", want: "invalid"},
		{name: "interrupted", ctx: cancelled, serve: func(w http.ResponseWriter) { _, _ = w.Write(whole) }, want: "context canceled"},
	} {
		t.Run(test.name, func(t *testing.T) {
			url := test.url
			if url == "" {
				url, _ = server(t, test.serve)
			}
			ctx := t.Context()
			if test.ctx != nil {
				ctx = test.ctx
			}
			dir := t.TempDir()
			_, err := made().get(ctx, url, dir, true, io.Discard)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "pool/cuda.deb") {
				t.Fatalf("%v, want %q", err, test.want)
			}
			if test.is != nil && !errors.As(err, test.is) {
				t.Errorf("%v is a %T", err, err)
			}
			if got := listing(t, dir); !slices.Equal(got, test.left) {
				t.Errorf("%v is left in the cache", got)
			}
		})
	}
}

// TestReleases looks for slips of the pen in the table.
func TestReleases(t *testing.T) {
	for name, p := range releaseTable {
		if release(p.version) != name || !strings.Contains(p.deb, "nvidia-cuda-dev_"+name) || len(p.files) != 2 {
			t.Errorf("%s: %+v", name, p)
		}
		for _, f := range p.files {
			if b, err := hex.DecodeString(f.sha256); err != nil || len(b) != sha256.Size {
				t.Errorf("%s: %s has the checksum %q", name, f.from, f.sha256)
			}
		}
	}
}

// write writes a file and makes its folder.
func write(t *testing.T, name, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func TestInstalled(t *testing.T) {
	root := t.TempDir()
	at := func(name string) string { return filepath.Join(root, name) }
	env := map[string]string{"PATH": at("bin") + string(os.PathListSeparator) + at("tk/bin")}
	var log strings.Builder
	find := func(stub bool) headers {
		return installed(root, func(name string) string { return env[name] }, stub, &log)
	}
	expect := func(version int, include, stubs string) {
		t.Helper()
		h := find(stubs != "")
		if stubs != "" {
			stubs = at(stubs)
		}
		if include != "" {
			include = at(include)
		}
		if h != (headers{version, include, stubs}) {
			t.Errorf("found %+v, not CUDA %d in %s\n%s", h, version, include, log.String())
		}
	}
	expect(0, "", "")
	write(t, at("usr/include/cuda.h"), "#define CUDA_VERSION 12040\n", 0o666)
	expect(12040, "usr/include", "")
	write(t, at("usr/lib/x86_64-linux-gnu/stubs/libcuda.so"), "", 0o666)
	expect(12040, "usr/include", "usr/lib/x86_64-linux-gnu/stubs")
	write(t, at("usr/local/cuda/targets/x86_64-linux/include/cuda.h"), " # define  CUDA_VERSION   13000 \n", 0o666)
	expect(13000, "usr/local/cuda/targets/x86_64-linux/include", "")
	env["CONDA_PREFIX"] = at("conda")
	write(t, at("conda/include/cuda.h"), "#define CUDA_VERSION 12080\n", 0o666)
	expect(12080, "conda/include", "")
	if nvcc := at("tk/bin/nvcc"); os.PathSeparator == '/' {
		write(t, nvcc, "#!/bin/sh\n", 0o777)
		write(t, at("tk/include/cuda.h"), "#define CUDA_VERSION 12060\n", 0o666)
		expect(12060, "tk/include", "")
	}
	env["CUDA_PATH"] = at("path")
	write(t, at("path/include/cuda.h"), "#define CUDA_VERSION 11080\n", 0o666)
	expect(11080, "path/include", "")
	write(t, at("path/lib64/stubs/libcuda.so"), "", 0o666)
	expect(11080, "path/include", "path/lib64/stubs")

	// What will not do is passed over, with a word why.
	env["CUDA_HOME"] = at("home")
	log.Reset()
	expect(11080, "path/include", "")
	for text, want := range map[string]string{
		"#define CUDA_VERSION 11070\n":                "passing over CUDA 11.7 in ",
		"// no version\n":                             "no CUDA_VERSION in cuda.h",
		"#define CUDA_VERSION 99999999999999999999\n": "no CUDA_VERSION in cuda.h",
	} {
		log.Reset()
		write(t, at("home/include/cuda.h"), text, 0o666)
		h := find(false)
		if !strings.Contains(log.String(), want) || h.version != 11080 {
			t.Errorf("%q: %+v, %s", text, h, log.String())
		}
	}
}

func TestSettings(t *testing.T) {
	h := headers{version: 11080, include: "/tk/include", stubs: "/tk/it's/stubs"}
	env := map[string]string{}
	print := func() string {
		var b strings.Builder
		h.settings(&b, "/my cache/shim", func(name string) string { return env[name] })
		return b.String()
	}
	want := `export CGO_ENABLED=1
export CGO_CFLAGS='-O2 -g "-I/my cache/shim" -I/tk/include'
export CGO_LDFLAGS='-O2 -g "-L/tk/it'\''s/stubs"'
`
	if got := print(); got != want {
		t.Errorf("printed\n%s, not\n%s", got, want)
	}
	env["CGO_CFLAGS"], h.stubs = "-O3 -I/tk/include", ""
	if got := print(); !strings.Contains(got, `CGO_CFLAGS='-O3 -I/tk/include "-I/my cache/shim"'`) || strings.Contains(got, "LDFLAGS") {
		t.Errorf("printed\n%s", got)
	}
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("there is no shell to ask")
	}
	env, h.stubs = map[string]string{}, "/tk/it's/stubs"
	out, err := exec.Command(sh, "-c", print()+`printf %s "$CGO_LDFLAGS"`).Output()
	if err != nil || string(out) != `-O2 -g "-L/tk/it's/stubs"` {
		t.Errorf("the shell has %s, %v", out, err)
	}
}

// TestCommand runs all of it without the network, with a toolkit.
func TestCommand(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "tk/include/cuda.h"), "#define CUDA_VERSION 13000\n", 0o666)
	t.Setenv("CUDA_HOME", filepath.Join(dir, "tk"))
	t.Setenv("CGO_CFLAGS", "")
	for range 2 {
		var out, errs strings.Builder
		status := cli.Run(t.Context(), "cuda-headers", description, &flags{}, []string{"--cache", filepath.Join(dir, "cache")}, &out, &errs)
		shim := filepath.Join(dir, "cache", "cuda-shim")
		if status != cli.Done || !strings.Contains(out.String(), "-I"+shim+" -I"+filepath.Join(dir, "tk", "include")) {
			t.Errorf("status %d, %s%s", status, out.String(), errs.String())
		}
		if text, _ := os.ReadFile(filepath.Join(shim, "cuda.h")); !strings.Contains(string(text), "#include_next <cuda.h>") {
			t.Errorf("the shim is %q", text)
		}
	}
	for _, args := range [][]string{{"--cuda", "13.0"}, {"--frob"}} {
		if status := cli.Run(t.Context(), "cuda-headers", description, &flags{}, args, io.Discard, io.Discard); status != cli.Usage {
			t.Errorf("%v gave status %d", args, status)
		}
	}
	status := cli.Run(t.Context(), "cuda-headers", description, &flags{}, []string{"--no-toolkit", "--cache", dir, "--mirror", "ftp://localhost"}, io.Discard, io.Discard)
	if status != cli.Failed {
		t.Errorf("a mirror that cannot be asked gave status %d", status)
	}
}
