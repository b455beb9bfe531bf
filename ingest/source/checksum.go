package source

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// checkChunk is how much of an archive is read between two looks at the context.
const checkChunk = 4 << 20

// checked is what became of Options.CheckMD5.
type checked struct {
	same []string // base names of the files that have the published sum
	none []string // base names of those for which none was published
}

// checkMD5 compares files with the sums that were published for their names.
func checkMD5(ctx context.Context, t tree, files []string, progress func(file string, done, size int64)) (*checked, error) {
	c := &checked{}
	for _, file := range files {
		var want []string
		for _, p := range publishedMD5 {
			if p.name == filepath.Base(file) {
				want = append(want, fmt.Sprintf("%s (%s)", p.md5, p.set))
			}
		}
		if len(want) == 0 {
			c.none = append(c.none, filepath.Base(file))
			continue
		}
		got, err := sumMD5(ctx, t, file, progress)
		if err != nil {
			return nil, err
		}
		published := strings.Join(want, " or ")
		if !strings.Contains(published, got) {
			return nil, &MalformedError{File: file, Cause: fmt.Errorf("has the MD5 %s, published is %s", got, published),
				Hint: "download it again, or leave the check out if the file is meant to differ"}
		}
		c.same = append(c.same, filepath.Base(file))
	}
	return c, nil
}

// sumMD5 reads a file from end to end.
func sumMD5(ctx context.Context, t tree, file string, progress func(file string, done, size int64)) (string, error) {
	f, size, err := t.stream(file)
	if err != nil {
		return "", ioError(file, err, "check that the file is there and may be read")
	}
	defer release(f)
	sum := md5.New()
	for done := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n, err := io.CopyN(sum, f, checkChunk)
		done += n
		if err != nil && !ended(err) {
			return "", ioError(file, err, "check the disk")
		}
		if progress != nil {
			progress(file, done, size)
		}
		if err != nil {
			return hex.EncodeToString(sum.Sum(nil)), nil
		}
	}
}

// describe adds to a source's description what was compared.
func (c *checked) describe(b *strings.Builder) {
	if len(c.same) > 0 {
		fmt.Fprintf(b, ", MD5 as published: %s", strings.Join(c.same, ", "))
	}
	switch {
	case len(c.none) > 0:
		fmt.Fprintf(b, ", no MD5 published to compare with: %s", strings.Join(c.none, ", "))
	case len(c.same) == 0:
		b.WriteString(", no archive whose MD5 could be checked")
	}
}
