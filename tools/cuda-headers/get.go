package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// packaged is a release of CUDA in Debian.
type packaged struct {
	version int
	deb     string // the package, below the mirror
	files   []file // the header and the stub
}

// file is a file of a package that is kept.
type file struct {
	from   string // in the package
	to     string // in the release's folder of the cache
	sha256 string
}

// cuda.h includes nothing of CUDA's. Each file has a checksum of its own, so that the
// package need not be read to its end to know that they are right.
var releaseTable = map[string]packaged{
	"11.8": {11080, "pool/non-free/n/nvidia-cuda-toolkit/nvidia-cuda-dev_11.8.89~11.8.0-5~deb12u1_amd64.deb", []file{
		{"usr/include/cuda.h", "include/cuda.h", "55639151a971a10c28d627a98dcd406c6320a5b4e5b67dd9d229056ed5c8e045"},
		{"usr/lib/x86_64-linux-gnu/stubs/libcuda.so", "stubs/libcuda.so", "94eb9349dc7b0c8200fa5717d5dde46465a066fd4586d0ae219ffc34251057a0"},
	}},
	"12.4": {12040, "pool/non-free/n/nvidia-cuda-toolkit/nvidia-cuda-dev_12.4.127~12.4.1-2_amd64.deb", []file{
		{"usr/include/cuda.h", "include/cuda.h", "2121d5551f2869145b7362a30d94a42da4dac9cb478eeeb3685e18fade82e5bc"},
		{"usr/lib/x86_64-linux-gnu/stubs/libcuda.so", "stubs/libcuda.so", "326a1201a5439b167087048fd07d31bc6cfc704bb032b8f218a2a458385f4af1"},
	}},
}

// checksumError says that a file is not the one that was expected.
type checksumError struct{ name, got, want string }

func (e *checksumError) Error() string {
	return fmt.Sprintf("%s has the SHA-256 %s, not %s: the package was changed or damaged on its way", e.name, e.got, e.want)
}

// get returns where a release's files are in the cache, and gets those that are not.
func (p packaged) get(ctx context.Context, mirror, cache string, stub bool, log io.Writer) (headers, error) {
	dir := filepath.Join(cache, "cuda-"+release(p.version))
	h := headers{version: p.version, include: filepath.Join(dir, "include")}
	files := p.files[:1]
	if stub {
		files, h.stubs = p.files, filepath.Join(dir, "stubs")
	}
	missing := make(map[string]file)
	for _, f := range files {
		if sum, err := sumOf(filepath.Join(dir, f.to)); err != nil || sum != f.sha256 {
			missing[f.from] = f
		}
	}
	if len(missing) == 0 {
		fmt.Fprintf(log, "cuda-headers: CUDA %s in %s\n", release(p.version), h.include)
		return h, nil
	}
	url := mirror + "/" + p.deb
	fmt.Fprintf(log, "cuda-headers: getting CUDA %s (NVIDIA's licence applies) out of %s\n", release(p.version), url)
	if err := fetch(ctx, url, dir, missing, log); err != nil {
		return headers{}, fmt.Errorf("%s: %w", url, err)
	}
	fmt.Fprintf(log, "cuda-headers: CUDA %s is now in %s\n", release(p.version), dir)
	return h, nil
}

// fetch reads a package from its address until it has the files, and keeps them in dir.
func fetch(ctx context.Context, url, dir string, missing map[string]file, log io.Writer) error {
	ctx, stop := context.WithCancel(ctx) // ends the transfer when enough was read
	defer stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // nothing is written there
	switch {
	case response.StatusCode == http.StatusNotFound:
		return errors.New("it is not there any more; Debian keeps all that it ever had at --mirror http://snapshot.debian.org/archive/debian/DATE")
	case response.StatusCode != http.StatusOK:
		return errors.New(response.Status)
	}
	body := &progress{r: response.Body, size: response.ContentLength, log: log, last: time.Now()}
	return unpack(body, func(name string, size int64, r io.Reader) (last bool, err error) {
		f, ok := missing[name]
		if !ok {
			return false, nil
		}
		if err := f.keep(dir, size, r); err != nil {
			return false, err
		}
		delete(missing, name)
		return len(missing) == 0, nil
	})
}

// most is more than any file that is kept has.
const most = 16 << 20

// keep writes a file of the package, if it is what it should be.
func (f file) keep(dir string, size int64, r io.Reader) error {
	if size > most {
		return &malformedError{fmt.Sprintf("%s has %d bytes", f.from, size)}
	}
	return replace(filepath.Join(dir, f.to), func(w io.Writer) error {
		sum := sha256.New()
		if _, err := io.Copy(io.MultiWriter(w, sum), r); err != nil {
			return fmt.Errorf("%s: %w", f.from, err)
		}
		if got := hex.EncodeToString(sum.Sum(nil)); got != f.sha256 {
			return &checksumError{f.from, got, f.sha256}
		}
		return nil
	})
}

// replace writes a file so that there is the whole of it or none: under another name
// first. Folders that are missing are made.
func replace(name string, write func(io.Writer) error) (err error) {
	dir := filepath.Dir(name)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	temp, err := os.CreateTemp(dir, "."+filepath.Base(name)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temp.Name()) // the other error says more
		}
	}()
	if err := errors.Join(write(temp), temp.Chmod(0o644), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), name)
}

// sumOf returns the SHA-256 of a file.
func sumOf(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// progress says now and then how much was read.
type progress struct {
	r          io.Reader
	read, size int64
	log        io.Writer
	last       time.Time
}

// Read reads.
func (p *progress) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.read += int64(n)
	if now := time.Now(); now.Sub(p.last) >= 5*time.Second {
		p.last = now
		fmt.Fprintf(p.log, "cuda-headers: unpacked %d of %d MB\n", p.read/1e6, p.size/1e6)
	}
	return n, err
}
