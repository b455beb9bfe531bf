package records

import "errors"

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
	// keeps and reads it; shards may share it.
	Baseline []uint8
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

// ShardWriter writes one shard. It is for one goroutine; different shards may
// be written at the same time. The same rows and options give the same bytes.
type ShardWriter struct{}

// CreateShard starts a shard that Commit will put at path. Until then only a
// temporary is there. End it with Commit or Abort.
func CreateShard(path string, o WriterOptions) (*ShardWriter, error) {
	return nil, errors.ErrUnsupported
}

// Write appends a row. When the disk fails, the temporary is removed at once,
// and this error is what all further calls return.
func (w *ShardWriter) Write(r Record) error { return errors.ErrUnsupported }

// Commit writes what is left, flushes the file to the disk, gives it its name
// and returns its description. When it fails, nothing is left behind.
func (w *ShardWriter) Commit() (ShardInfo, error) { return ShardInfo{}, errors.ErrUnsupported }

// Abort gives the shard up and removes its temporary. After Commit or a
// failure it does nothing, so it can be deferred.
func (w *ShardWriter) Abort() error { return nil }
