package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"alexnet/records"

	"github.com/klauspost/compress/gzip"
)

// A raster is a set whose pictures are raw pixels, many in a file.
type raster interface {
	// list opens the files, checks them, and lists the splits with their labels.
	// The roots that it opened are returned with an error too.
	list(ctx context.Context) ([]*listing, []root, error)
	// files are the paths of what the set is read from.
	files() []string
	// classes and shape are those of the set, known once it is listed.
	classes() []records.Class
	shape() records.Shape
	// images is the published number of pictures in a split, 0 if none is known.
	images(split string) int
}

// maxUnpacked bounds what is kept of a gzipped set: it has to be unpacked into
// memory, as gzip allows no random access. CIFAR-10 has 184 MB, MNIST 47 MB.
const maxUnpacked = 256 << 20

// errUnpacked is the cause where it is exceeded.
var errUnpacked = errors.New("holds too much to be unpacked into memory")

// A pixelFile is an open file of pixels or labels: on disk, in a tar, or in
// memory.
type pixelFile struct {
	name  string // for messages: its path, and a member's name behind it
	base  string // the last element of either
	r     io.ReaderAt
	size  int64
	owned io.Closer // nil where there is nothing to close
}

// Close closes what the file owns.
func (f *pixelFile) Close() error {
	if f.owned == nil {
		return nil
	}
	return f.owned.Close()
}

// release closes a file that is done with.
func (f *pixelFile) release() { release(f) }

// malformed says that the file is broken.
func (f *pixelFile) malformed(hint, format string, args ...any) error {
	return &MalformedError{File: f.name, Cause: fmt.Errorf(format, args...), Hint: hint}
}

// fault says that the file could not be read.
func (f *pixelFile) fault(err error) error {
	if ended(err) {
		err = errors.New("is shorter than when it was opened")
	}
	return ioError(f.name, err, "check the disk, and leave the source alone while it is read")
}

// openPixels opens a file of a tree.
func openPixels(t tree, name string) (*pixelFile, error) {
	f, err := t.open(name)
	if err != nil {
		return nil, err
	}
	return &pixelFile{name: name, base: filepath.Base(name), r: f.ReaderAt, size: f.id.Size, owned: f}, nil
}

// fetch reads the file into memory where it is an object, as its pictures would
// otherwise be a request each, unless it is too large for that.
func (f *pixelFile) fetch(ctx context.Context) error {
	if !isRemote(f.r) || f.size > maxUnpacked {
		return nil
	}
	body, err := fromStart(reading(ctx, f.r), f.size)
	if err != nil {
		return err
	}
	defer release(body)
	m, err := readMemory(ctx, body, maxUnpacked)
	if err != nil {
		return err
	}
	if m.size != f.size {
		return f.fault(io.EOF)
	}
	f.r = m
	return nil
}

// A rasterRoot reads pictures out of a pixelFile. An item's offset is that of
// its pixels, which lie plane by plane.
type rasterRoot struct {
	file   *pixelFile
	shape  records.Shape // with 1 or 3 channels
	header string        // of each picture's netpbm file
}

func newRasterRoot(f *pixelFile, shape records.Shape) *rasterRoot {
	magic := "P5"
	if shape.C == 3 {
		magic = "P6"
	}
	return &rasterRoot{f, shape, fmt.Sprintf("%s\n%d %d\n255\n", magic, shape.W, shape.H)}
}

// itemSize is the length of each picture's netpbm file.
func (r *rasterRoot) itemSize() int64 { return int64(len(r.header) + r.shape.Size()) }

func (r *rasterRoot) close() error { return r.file.Close() }
func (r *rasterRoot) remote() bool { return isRemote(r.file.r) }

func (r *rasterRoot) read(ctx context.Context, it *Item, buf []byte) ([]byte, error) {
	n, pixels := int(it.Size), r.shape.Size()
	// Planes are read behind the picture that they are interleaved into.
	buf = slices.Grow(buf[:0], n+pixels)[:n+pixels]
	copy(buf, r.header)
	into, planes := buf[len(r.header):n], buf[n:]
	if r.shape.C == 1 {
		planes = into
	}
	if _, err := reading(ctx, r.file.r).ReadAt(planes, it.at.offset()); err != nil {
		if ended(err) {
			err = errors.New("is shorter than when it was listed")
		}
		return nil, ioError(r.file.name+": "+it.Key, err, "check that the file is complete and was not changed")
	}
	if r.shape.C == 3 {
		area := pixels / 3
		red, green, blue := planes[:area], planes[area:2*area], planes[2*area:]
		for i := range red {
			into[3*i], into[3*i+1], into[3*i+2] = red[i], green[i], blue[i]
		}
	}
	return buf[:n], nil
}

// addRaster appends n pictures of a file whose labels are at hand.
func (l *listing) addRaster(r *rasterRoot, number int, name string, first int, labels []byte, offset, stride int64) {
	for i, label := range labels {
		l.items = append(l.items, Item{
			Key: fmt.Sprintf("%s/%05d", name, first+i), Label: int32(label), Size: r.itemSize(),
			at: at(number, offset+int64(i)*stride),
		})
	}
}

// memoryChunk is the unit in which memory grows, so that it never takes more
// than one of them beyond what was really read.
const memoryChunk = 1 << 20

// memory is a file that was unpacked. It is an io.ReaderAt.
type memory struct {
	chunks [][]byte // all of memoryChunk but the last
	size   int64
}

// readMemory reads r to its end, at most limit bytes.
func readMemory(ctx context.Context, r io.Reader, limit int64) (*memory, error) {
	m := &memory{}
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		chunk, n := make([]byte, memoryChunk), 0
		var err error
		for n < len(chunk) && err == nil {
			var k int
			k, err = r.Read(chunk[n:])
			n += k
		}
		m.chunks, m.size = append(m.chunks, chunk[:n]), m.size+int64(n)
		switch {
		case m.size > limit:
			return nil, errUnpacked
		case ended(err) && errors.Is(err, io.EOF):
			return m, nil
		case err != nil:
			return nil, err
		}
	}
}

// ReadAt copies from the chunks.
func (m *memory) ReadAt(p []byte, offset int64) (n int, err error) {
	for n < len(p) && offset < m.size {
		chunk := m.chunks[offset/memoryChunk]
		k := copy(p[n:], chunk[offset%memoryChunk:])
		n, offset = n+k, offset+int64(k)
	}
	if n < len(p) {
		err = io.EOF
	}
	return n, err
}

// unpack reads a gzipped file into memory.
func unpack(ctx context.Context, file *pixelFile, limit int64) (*pixelFile, error) {
	body, err := fromStart(reading(ctx, file.r), file.size)
	if err != nil {
		return nil, err
	}
	defer release(body)
	z, err := gzip.NewReader(body)
	if err != nil {
		return nil, archiveFault(file.name, "", err)
	}
	m, err := readMemory(ctx, z, limit)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, errUnpacked):
		return nil, &UnsupportedError{Path: file.name, Reason: err.Error(), Hint: "unpack it"}
	case err != nil:
		return nil, archiveFault(file.name, "", err)
	}
	return &pixelFile{name: file.name, base: file.base, r: m, size: m.size}, nil
}
