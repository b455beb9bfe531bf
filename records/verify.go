package records

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"os"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"alexnet/records/bucket"
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
	return home{dir: dir}.verify(ctx, each)
}

// VerifyFolder is Verify for records in an object store. Each object is read once,
// from its start to its end, several at a time, and of shards the footer first. A
// store that fails for good ends the work, with its *bucket.Error.
func VerifyFolder(ctx context.Context, f bucket.Folder, each func(file string, err error)) error {
	return homeOf(f).verify(ctx, each)
}

// verify is Verify for files wherever they lie.
func (h home) verify(ctx context.Context, each func(file string, err error)) error {
	report := &verifyReport{each: each}
	m, err := readManifest(ctx, h)
	if err != nil && h.folder != nil && !isFault(err) {
		return err
	}
	report.add(ManifestName, err)
	if err != nil {
		return report.summary(h.dir)
	}
	_, err = openMean(ctx, h, m)
	if err != nil && h.folder != nil && !isFault(err) {
		return err
	}
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
	workers.SetLimit(h.verifiers() + 1) // one of them only hands out work
	workers.Go(func() error {
		for _, j := range jobs {
			workers.Go(func() error {
				defer close(j.done)
				if err := ctx.Err(); err != nil {
					return err
				}
				var err error
				j.errs, err = h.verifyShard(ctx, m, j.split, j.info)
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
		return fmt.Errorf("verifying %s: %w", h.dir, err)
	}
	return report.summary(h.dir)
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

// verifiers returns how many shards are read at a time. A store gives more when it
// is asked for several.
func (h home) verifiers() int {
	if h.folder == nil {
		return runtime.GOMAXPROCS(0)
	}
	return max(8, runtime.GOMAXPROCS(0))
}

// isFault says whether an error is one of what is stored, and not of the store.
func isFault(err error) bool {
	var unsupported *UnsupportedError
	var version *VersionError
	return IsDamage(err) || errors.As(err, &unsupported) || errors.As(err, &version)
}

// verifyShard returns the faults of a shard, and an error when the context or the
// store ended the work.
func (h home) verifyShard(ctx context.Context, m *Manifest, split string, info ShardInfo) (faults []error, err error) {
	if h.folder != nil {
		return h.verifyObject(ctx, m, split, info)
	}
	path := h.path(info.File)
	sum, err := fileDigest(ctx, path)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, fs.ErrNotExist):
		return []error{missing(path, err)}, nil
	case err != nil:
		return []error{err}, nil
	}
	s, err := h.openListed(ctx, m, split, info)
	if err != nil {
		return shardFaults(path, sum, info, err, nil), nil
	}
	defer func() {
		if cerr := s.close(); cerr != nil {
			faults = append(faults, cerr)
		}
	}()
	var sc Scratch
	var rows []error
	for i := range s.rows {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if _, err := s.row(i, &sc); err != nil {
			rows = append(rows, err)
		}
	}
	return shardFaults(path, sum, info, nil, rows), nil
}

// shardFaults puts together what is wrong with a shard of a SHA-256, that may not
// have opened and of which some rows may be damaged.
func shardFaults(path, sum string, info ShardInfo, opened error, rows []error) []error {
	var faults []error
	if sum != info.SHA256 {
		cause := digestError(sum, info.SHA256)
		if opened == nil && len(rows) == 0 {
			cause = fmt.Errorf("%w; all rows' pixels are whole, so that what changed is keys, labels or the file's own structure", cause)
		}
		faults = append(faults, &CorruptError{File: path, Row: -1, Cause: cause})
	}
	if opened != nil {
		faults = append(faults, opened)
	}
	return append(faults, rows...)
}

// verifyObject is verifyShard for an object store.
func (h home) verifyObject(ctx context.Context, m *Manifest, split string, info ShardInfo) ([]error, error) {
	path := h.path(info.File)
	s, opened := h.openListed(ctx, m, split, info)
	switch {
	case errors.Is(opened, fs.ErrNotExist):
		return []error{opened}, nil
	case opened != nil && !isFault(opened):
		return nil, opened
	}
	r, err := h.reader(ctx, info.File)
	if err != nil {
		return storeFaults(path, err)
	}
	defer r.Close() //nolint:errcheck // it was only read
	v := &objectVerifier{shard: s, sum: sha256.New()}
	v.from = io.TeeReader(r, v.sum)
	if s != nil {
		err = v.verifyRows(ctx)
	}
	if err == nil {
		_, err = io.Copy(v.sum, r) // what follows the rows
	}
	if err != nil {
		return storeFaults(path, err)
	}
	return shardFaults(path, hex.EncodeToString(v.sum.Sum(nil)), info, opened, v.faults), nil
}

// storeFaults returns what a store gave as a fault of the object, or as the end of
// the work.
func storeFaults(path string, err error) ([]error, error) {
	if err = faultOf(path, -1, "", err); isFault(err) {
		return []error{err}, nil
	}
	return nil, err
}

// objectVerifier verifies the rows of a shard while it is read from its start to
// its end.
type objectVerifier struct {
	shard  *shard
	sum    hash.Hash
	from   io.Reader // which sum gets, too
	at     int64     // where it is in the object
	held   Loaded
	sc     Scratch
	faults []error
}

// verifyRows reads up to the end of the last batch. Its errors are those of the
// reading.
func (v *objectVerifier) verifyRows(ctx context.Context) error {
	for n := range v.shard.arrow.batches() {
		if err := ctx.Err(); err != nil {
			return err
		}
		at, fault := v.shard.place(n)
		if fault == nil {
			if err := v.read(ctx, span{at.offset, at.end()}); err != nil {
				return err
			}
			if v.shard.spec.rowsPerBatch > 1 {
				fault = v.shard.keepHeads(ctx, n, at, &v.held)
			}
		}
		first := n * v.shard.spec.rowsPerBatch
		for i := first; i < first+v.shard.rowsOf(n); i++ {
			err := fault
			if err == nil {
				_, err = v.shard.unpack(i, &v.held, &v.sc)
			} else {
				err = v.shard.fault(i, "", fault)
			}
			if err != nil {
				v.faults = append(v.faults, err)
			}
		}
	}
	return nil
}

// read reads a batch, which should be further on in the object. One that is not,
// in a damaged footer, is asked for.
func (v *objectVerifier) read(ctx context.Context, part span) error {
	if part.lo < v.at {
		return v.shard.remote.read(ctx, &v.held, part)
	}
	if _, err := io.CopyN(io.Discard, v.from, part.lo-v.at); err != nil {
		return short(err)
	}
	if _, err := io.ReadFull(v.from, v.held.take(part)); err != nil {
		return short(err)
	}
	v.at = part.hi
	return nil
}

// short makes an object that ends early, as it is the one whose footer was read,
// an error that is not io.EOF.
func short(err error) error {
	var failed *bucket.Error
	if !errors.As(err, &failed) && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
		return fmt.Errorf("it ended early: %w", io.ErrUnexpectedEOF)
	}
	return err
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
