package records

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"
)

// Verify reads all of the data set in dir and checks it: the manifest, the
// SHA-256 of the mean picture and of every shard, and the checksum of every
// row. It calls each, from one goroutine at a time and in the order manifest,
// mean, shards, for every file: with a nil error when it is whole, else once
// for each fault, which names the row where there is one. each may be nil.
//
// It returns nil when all is well, the first fault otherwise (saying how many
// there are), and the context's error when that ended the work. Several shards
// are read at the same time, one a processor.
func Verify(ctx context.Context, dir string, each func(file string, err error)) error {
	report := &verifyReport{each: each}
	m, err := ReadManifest(dir)
	report.add(ManifestName, err)
	if err != nil {
		return report.summary(dir)
	}
	_, err = openMean(dir, m)
	report.add(m.Mean.File, err)

	type job struct {
		split string
		info  ShardInfo
		done  chan struct{}
		errs  []error
	}
	var jobs []*job
	for _, split := range slices.Sorted(maps.Keys(m.Splits)) {
		for _, info := range m.Splits[split].Shards {
			jobs = append(jobs, &job{split: split, info: info, done: make(chan struct{})})
		}
	}
	workers, ctx := errgroup.WithContext(ctx)
	workers.SetLimit(runtime.GOMAXPROCS(0) + 1) // one of them only hands out work
	workers.Go(func() error {
		for _, j := range jobs {
			workers.Go(func() error {
				defer close(j.done)
				if err := ctx.Err(); err != nil {
					return err
				}
				var err error
				j.errs, err = verifyShard(ctx, dir, m, j.split, j.info)
				return err
			})
		}
		return nil
	})
	for _, j := range jobs {
		<-j.done
		if ctx.Err() != nil {
			break
		}
		report.add(j.info.File, j.errs...)
	}
	if err := workers.Wait(); err != nil {
		return fmt.Errorf("verifying %s: %w", dir, err)
	}
	return report.summary(dir)
}

// verifyReport counts faults and passes them on.
type verifyReport struct {
	each   func(file string, err error)
	first  error
	faults int
}

// add reports a file with its faults, if any.
func (r *verifyReport) add(file string, errs ...error) {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	r.faults += len(errs)
	if r.first == nil && len(errs) > 0 {
		r.first = errs[0]
	}
	if r.each == nil {
		return
	}
	if len(errs) == 0 {
		r.each(file, nil)
	}
	for _, err := range errs {
		r.each(file, err)
	}
}

// summary returns what Verify returns.
func (r *verifyReport) summary(dir string) error {
	switch r.faults {
	case 0:
		return nil
	case 1:
		return r.first
	}
	return fmt.Errorf("%d faults in %s, the first: %w", r.faults, dir, r.first)
}

// verifyShard returns the faults of a shard, and an error when the context
// ended.
func verifyShard(ctx context.Context, dir string, m *Manifest, split string, info ShardInfo) (faults []error, err error) {
	path := filepath.Join(dir, info.File)
	sum, err := fileDigest(ctx, path)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, fs.ErrNotExist):
		return []error{missing(path, err)}, nil
	case err != nil:
		return []error{err}, nil
	}
	same := sum == info.SHA256
	if !same {
		faults = append(faults, &CorruptError{File: path, Row: -1, Cause: digestError(sum, info.SHA256)})
	}
	s, err := openListed(dir, m, split, info)
	if err != nil {
		return append(faults, err), nil
	}
	defer func() {
		if cerr := s.close(); cerr != nil {
			faults = append(faults, cerr)
		}
	}()
	var sc Scratch
	rows := 0
	for i := range s.rows {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if _, err := s.row(i, &sc); err != nil {
			faults = append(faults, err)
			rows++
		}
	}
	if !same && rows == 0 {
		faults[0] = &CorruptError{File: path, Row: -1, Cause: fmt.Errorf(
			"%w; all rows' pixels are whole, so that what changed is keys, labels or the file's own structure", digestError(sum, info.SHA256))}
	}
	return faults, nil
}

// fileDigest returns the SHA-256 of a file, in hexadecimal.
func fileDigest(ctx context.Context, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	for ctx.Err() == nil {
		n, err := io.CopyN(sum, f, 4<<20)
		if errors.Is(err, io.EOF) {
			return hex.EncodeToString(sum.Sum(nil)), nil
		}
		if err != nil {
			return "", fmt.Errorf("reading %s after %d bytes: %w", path, n, err)
		}
	}
	return "", ctx.Err()
}
