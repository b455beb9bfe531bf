package records

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"unicode/utf8"

	"alexnet/records/atomicfile"
)

// WriterOptions say what a shard holds and how.
type WriterOptions struct {
	// Split is the name of the split, such as "train".
	Split string
	// Shape is the shape of every picture of the data set.
	Shape Shape
	// Pixels is the type of the stored values.
	Pixels PixelType
	// Compression is None, LZ4 or Zstd.
	Compression Compression
	// Baseline is subtracted from each picture when Pixels is Int16: planar,
	// of the pictures' shape. It must be nil when Pixels is Uint8. The writer
	// keeps it and only reads it; shards may share it.
	Baseline []uint8
}

// check says what is wrong with the options, or returns nil.
func (o *WriterOptions) check() error {
	if err := checkSplitName(o.Split); err != nil {
		return err
	}
	if err := o.Shape.check(); err != nil {
		return err
	}
	if err := checkEncoding(o.Pixels, o.Compression); err != nil {
		return err
	}
	switch {
	case o.Pixels == Int16 && len(o.Baseline) != o.Shape.Size():
		return fmt.Errorf("int16 pixels need a baseline of %d values, not of %d", o.Shape.Size(), len(o.Baseline))
	case o.Pixels == Uint8 && o.Baseline != nil:
		return errors.New("uint8 pixels are stored as they are: the baseline must be nil")
	}
	return nil
}

// checkEncoding returns an *UnsupportedError for an unknown pixel type or
// compression, and on machines whose byte order is not that of the files.
func checkEncoding(p PixelType, c Compression) error {
	switch {
	case p.Size() == 0:
		return &UnsupportedError{What: fmt.Sprintf("pixels %q; there are %q and %q", string(p), Int16, Uint8)}
	case !c.valid():
		return &UnsupportedError{What: fmt.Sprintf("compression %q; there are %q, %q and %q", string(c), None, LZ4, Zstd)}
	case binary.NativeEndian.Uint16([]byte{1, 0}) != 1:
		return &UnsupportedError{What: "big-endian machines; records are little-endian"}
	}
	return nil
}

// ShardInfo describes a finished shard, as the manifest lists it.
type ShardInfo struct {
	// File is the file's name, without a folder.
	File string `json:"file"`
	// Rows is the number of rows.
	Rows int `json:"rows"`
	// Bytes is the size of the file.
	Bytes int64 `json:"bytes"`
	// SHA256 is the file's digest, in lower-case hexadecimal.
	SHA256 string `json:"sha256"`
}

// pending is a file that is not there until Commit: an *atomicfile.File, or
// what a test puts in its place.
type pending interface {
	io.Writer
	Commit() error
	Abort() error
}

// rowSink turns rows into the bytes of a shard.
type rowSink interface {
	// add takes a row, of which it keeps nothing but copies.
	add(r *Record, baseline []uint8) error
	// close writes what is left and the end of the file.
	close() error
	// stop ends what add started; it is called last, also after failures.
	stop()
}

// ShardWriter writes one shard. It is for one goroutine; different shards may
// be written at the same time. The same rows and options give the same bytes.
// A writer hashes and writes on a goroutine of its own, and one of compressed
// shards compresses on as many as there are processors; they end with Commit,
// Abort or a failure. What the disk refuses is reported a little later, at the
// latest by Commit.
type ShardWriter struct {
	path    string
	options WriterOptions
	file    pending
	out     *hashedWriter
	sink    rowSink
	rows    int
	done    error // what ended the writer: errCommitted, errAborted, or a failure
}

var (
	errCommitted = errors.New("the shard is committed already")
	errAborted   = errors.New("the shard was given up")
)

// CreateShard starts a shard that Commit will put at path. Until then only a
// temporary is there. End it with Commit or Abort.
func CreateShard(path string, o WriterOptions) (*ShardWriter, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("shard %s: %w", path, err)
	}
	file, err := atomicfile.Create(path)
	if err != nil {
		return nil, err
	}
	return newShardWriter(path, file, o)
}

// newShardWriter writes the shard to file; the options have been checked.
func newShardWriter(path string, file pending, o WriterOptions) (w *ShardWriter, err error) {
	w = &ShardWriter{path: path, options: o, file: file, out: newHashedWriter(file)}
	if o.Compression == None {
		w.sink, err = newPlainBatches(w.out, o)
	} else {
		w.sink, err = newPackedBatches(w.out, o)
	}
	if err != nil {
		w.out.abandon()
		err = errors.Join(fmt.Errorf("shard %s: %w", path, err), file.Abort())
		return nil, err
	}
	return w, nil
}

// Write appends a row. A record that does not fit the shard is refused and
// changes nothing. When the disk fails, the temporary is removed at once, and
// this error is what all further calls return.
func (w *ShardWriter) Write(r Record) error {
	if w.done != nil {
		return fmt.Errorf("shard %s: writing %s: %w", w.path, r.Key, w.done)
	}
	if err := w.checkRecord(&r); err != nil {
		return fmt.Errorf("shard %s: row %d (%.200q): %w", w.path, w.rows, r.Key, err)
	}
	if err := w.sink.add(&r, w.options.Baseline); err != nil {
		return w.fail(err)
	}
	w.rows++
	return nil
}

// maxKey bounds the length of a key, in bytes.
const maxKey = 4096

// checkRecord says why r cannot be a row of this shard, or returns nil.
func (w *ShardWriter) checkRecord(r *Record) error {
	switch {
	case r.Key == "" || len(r.Key) > maxKey || !utf8.ValidString(r.Key):
		return fmt.Errorf("a key must be 1 to %d bytes of UTF-8", maxKey)
	case len(r.Pixels) != w.options.Shape.Size():
		return fmt.Errorf("%d pixel values for the shape %v, which has %d", len(r.Pixels), w.options.Shape, w.options.Shape.Size())
	case r.Label < -1:
		return fmt.Errorf("label %d: labels count from 0, and -1 is for none", r.Label)
	case r.ILSVRCID < 0:
		return fmt.Errorf("ILSVRC id %d: ids count from 1, and 0 is for none", r.ILSVRCID)
	case w.rows >= math.MaxInt32:
		return errors.New("the shard is full")
	}
	return nil
}

// fail ends the writer, removes the temporary and returns the error.
func (w *ShardWriter) fail(err error) error {
	w.sink.stop()
	w.out.abandon()
	err = fmt.Errorf("shard %s: %w", w.path, err)
	if aerr := w.file.Abort(); aerr != nil {
		err = errors.Join(err, aerr)
	}
	w.done = err
	return err
}

// Commit writes what is left, flushes the file to the disk, gives it its name
// and returns its description. When it fails, nothing is left behind.
func (w *ShardWriter) Commit() (ShardInfo, error) {
	if w.done != nil {
		return ShardInfo{}, fmt.Errorf("shard %s: committing: %w", w.path, w.done)
	}
	if err := w.sink.close(); err != nil {
		return ShardInfo{}, w.fail(err)
	}
	if err := w.out.finish(); err != nil {
		return ShardInfo{}, w.fail(err)
	}
	if err := w.file.Commit(); err != nil {
		return ShardInfo{}, w.fail(err)
	}
	w.sink.stop()
	w.done = errCommitted
	return ShardInfo{
		File:   filepath.Base(w.path),
		Rows:   w.rows,
		Bytes:  w.out.bytes,
		SHA256: w.out.digest(),
	}, nil
}

// Abort gives the shard up and removes its temporary. After Commit or a
// failure it does nothing, so it can be deferred.
func (w *ShardWriter) Abort() error {
	if w.done == nil {
		w.done = errAborted
		w.sink.stop()
		w.out.abandon()
		return w.file.Abort()
	}
	return nil
}
