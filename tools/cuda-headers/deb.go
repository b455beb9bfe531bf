package main

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// malformedError says that a package is not what deb(5) describes.
type malformedError struct{ what string }

func (e *malformedError) Error() string { return "not a Debian package: " + e.what }

// unsupportedError says that a package is compressed in a way that is not known here.
type unsupportedError struct{ member string }

func (e *unsupportedError) Error() string {
	return fmt.Sprintf("a Debian package with %s: only tar, gz, xz and zst are known", e.member)
}

// unpack reads a Debian package and calls take for files of it, until take has said of
// one that it was the last. It reads no further than it must.
func unpack(deb io.Reader, take func(name string, size int64, r io.Reader) (last bool, err error)) error {
	data, err := member(bufio.NewReader(deb), "data.tar")
	if err != nil {
		return err
	}
	files := tar.NewReader(data)
	for {
		h, err := files.Next()
		switch {
		case errors.Is(err, io.EOF):
			return &malformedError{"it ends without all the files that are wanted"}
		case err != nil:
			return fmt.Errorf("the files of the package: %w", err)
		case h.Typeflag != tar.TypeReg:
			continue
		}
		if last, err := take(strings.TrimPrefix(h.Name, "./"), h.Size, files); last || err != nil {
			return err
		}
	}
}

// member finds the member of a package (an archive of ar) whose name begins so, and
// returns what is in it.
func member(r *bufio.Reader, name string) (io.Reader, error) {
	const magic = "!<arch>\n"
	var header [60]byte
	if _, err := io.ReadFull(r, header[:len(magic)]); err != nil {
		return nil, ended(err)
	}
	if string(header[:len(magic)]) != magic {
		return nil, &malformedError{fmt.Sprintf("it begins with %q", header[:len(magic)])}
	}
	for {
		if _, err := io.ReadFull(r, header[:]); err != nil {
			return nil, ended(err)
		}
		found := strings.TrimRight(string(header[:16]), " /")
		size, err := strconv.ParseInt(strings.TrimSpace(string(header[48:58])), 10, 64)
		if err != nil || size < 0 || string(header[58:]) != "`\n" {
			return nil, &malformedError{fmt.Sprintf("the header of member %q", found)}
		}
		if strings.HasPrefix(found, name) {
			return decompress(found, io.LimitReader(r, size))
		}
		if _, err := io.CopyN(io.Discard, r, size+size%2); err != nil {
			return nil, ended(err)
		}
	}
}

// ended makes an end that comes too early an error of the package, not of the reader.
func ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &malformedError{"it is cut off"}
	}
	return err
}

// decompress returns what is in a member, by the ending of its name.
func decompress(name string, r io.Reader) (io.Reader, error) {
	switch {
	case strings.HasSuffix(name, ".tar"):
		return r, nil
	case strings.HasSuffix(name, ".xz"):
		return xz.NewReader(bufio.NewReader(r))
	case strings.HasSuffix(name, ".zst"):
		// One goroutine, so that none is left behind when the rest is not read.
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return d, nil
	case strings.HasSuffix(name, ".gz"):
		return gzip.NewReader(r)
	}
	return nil, &unsupportedError{name}
}
