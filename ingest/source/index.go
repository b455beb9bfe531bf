package source

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"

	"alexnet/records/atomicfile"
)

// An index keeps what the scan of archives found, so that the many processes
// that share a job need not each read the 1.28 million headers of ILSVRC's
// training archive, which lie all over its 138 GB.
//
// The file is the line "alexnet-source-index 1", then a zstd frame, with its
// checksum, of a line of JSON, a list of indexHead, and for each of these its
// items: the offset from the end of the item before (zigzag varint), the size,
// the length of the key (uvarints) and the key.
const (
	indexMagic = "alexnet-source-index 1\n"
	// maxIndexMemory bounds what a damaged index makes the decoder take.
	maxIndexMemory = 64 << 20
	// maxIndexKey is beyond any name in a tar that is used.
	maxIndexKey = 1 << 16
	// maxIndexHead bounds the line of JSON.
	maxIndexHead = 1 << 24
)

// An indexHead says which archive the items are of, and what else was found.
type indexHead struct {
	archiveID
	Split   string `json:"split"`
	Classed bool   `json:"classed"`
	Whole   bool   `json:"whole"`
	Skips   []Skip `json:"skips,omitempty"`
	Items   int    `json:"items"`
}

// An archiveID tells whether an archive is the one that was scanned. A copy has
// another time, unless it was made to keep it, and is scanned again.
type archiveID struct {
	Name     string `json:"name"`
	Size     int64  `json:"size"`
	Modified int64  `json:"modified"`          // nanoseconds since 1970, 0 where there is a version
	Version  string `json:"version,omitempty"` // of an object in a store
}

// An index are the listings of archives, and which these were.
type index struct {
	heads []indexHead
	lists []*listing
	stale bool // one was scanned that was not there before
}

// find returns the listing of an archive, nil if it is not there. Its items are
// in the root of that number.
func (x *index) find(id archiveID, split string, root int) *listing {
	for i, h := range x.heads {
		if h.archiveID != id || h.Split != split {
			continue
		}
		l := x.lists[i]
		for k := range l.items {
			l.items[k].at = at(root, l.items[k].at.offset())
		}
		return l
	}
	return nil
}

// add notes what a scan found.
func (x *index) add(id archiveID, l *listing) {
	x.heads = append(x.heads, indexHead{archiveID: id, Split: l.split, Classed: l.classed, Whole: l.whole, Skips: l.skips, Items: len(l.items)})
	x.lists = append(x.lists, l)
}

// write encodes the index.
func (x *index) write(to io.Writer) error {
	if _, err := io.WriteString(to, indexMagic); err != nil {
		return err
	}
	z, err := zstd.NewWriter(to, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return err
	}
	w := bufio.NewWriter(z)
	if err := json.NewEncoder(w).Encode(x.heads); err != nil {
		return errors.Join(err, z.Close())
	}
	var number [3 * binary.MaxVarintLen64]byte
	for _, l := range x.lists {
		end := int64(0)
		for i := range l.items {
			it := &l.items[i]
			b := binary.AppendVarint(number[:0], it.at.offset()-end)
			b = binary.AppendUvarint(b, uint64(it.Size))
			b = binary.AppendUvarint(b, uint64(len(it.Key)))
			_, _ = w.Write(b) // Flush returns the first error
			_, _ = w.WriteString(it.Key)
			end = it.at.offset() + it.Size
		}
	}
	return errors.Join(w.Flush(), z.Close())
}

// readIndex reads an index. Any error means that there is none to be used.
func readIndex(from io.Reader) (*index, error) {
	magic := make([]byte, len(indexMagic))
	if _, err := io.ReadFull(from, magic); err != nil || string(magic) != indexMagic {
		return nil, errors.New("it is no index of archives")
	}
	z, err := zstd.NewReader(from, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxIndexMemory))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	r := bufio.NewReader(z)
	line, err := readLine(r)
	if err != nil {
		return nil, err
	}
	x := new(index)
	if err := json.Unmarshal(line, &x.heads); err != nil {
		return nil, err
	}
	for i := range x.heads {
		l, err := x.heads[i].read(r)
		if err != nil {
			return nil, err
		}
		x.lists = append(x.lists, l)
	}
	switch _, err := r.ReadByte(); { // at the end the checksum is compared
	case err == nil:
		return nil, errors.New("it goes on after its end")
	case err != io.EOF:
		return nil, err
	}
	return x, nil
}

// readLine reads the line of JSON.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		piece, err := r.ReadSlice('\n')
		line = append(line, piece...)
		switch {
		case err == nil:
			return line, nil
		case !errors.Is(err, bufio.ErrBufferFull) || len(line) > maxIndexHead:
			return nil, fmt.Errorf("its head does not end: %w", err)
		}
	}
}

// read reads the items of an archive.
func (h *indexHead) read(r *bufio.Reader) (*listing, error) {
	l := &listing{split: h.Split, classed: h.Classed, whole: h.Whole, skips: h.Skips}
	var key []byte
	end := int64(0)
	for range h.Items {
		gap, err := binary.ReadVarint(r)
		if err != nil {
			return nil, err
		}
		size, err := binary.ReadUvarint(r)
		if err != nil {
			return nil, err
		}
		n, err := binary.ReadUvarint(r)
		if err != nil {
			return nil, err
		}
		if gap < -h.Size || gap > h.Size || n == 0 || n > maxIndexKey {
			return nil, errors.New("it has an item that cannot be")
		}
		offset := end + gap
		if offset < 0 || offset > h.Size || size > uint64(h.Size-offset) {
			return nil, errors.New("it has an item that lies outside of the archive")
		}
		key = append(key[:0], make([]byte, n)...)
		if _, err := io.ReadFull(r, key); err != nil {
			return nil, err
		}
		if !utf8.Valid(key) {
			return nil, errors.New("it has a key that is not UTF-8")
		}
		l.items = append(l.items, Item{Key: string(key), Label: -1, Size: int64(size), at: at(0, offset)})
		end = offset + int64(size)
	}
	l.packKeys()
	return l, nil
}

// openIndex reads the index that the options name, or begins an empty one where
// there is none that can be used: then the archives are scanned. It is nil where
// they name none.
func openIndex(o Options) (*index, error) {
	var from io.Reader
	switch {
	case o.ReadIndex != nil:
		data, err := o.ReadIndex()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("reading the index of the archives: %w", err)
		}
		from = bytes.NewReader(data)
	case o.Index != "":
		f, err := os.Open(o.Index)
		if err != nil {
			return new(index), nil //nolint:nilerr // as good as none
		}
		defer f.Close()
		from = bufio.NewReader(f)
	default:
		return nil, nil
	}
	x, err := readIndex(from)
	if err != nil {
		return new(index), nil //nolint:nilerr // as good as none
	}
	return x, nil
}

// SaveIndex writes what Open found in archives to a file that Options.Index can
// name, where it was not read from there; it does so once, and the file appears
// whole. Sources that were opened without that option, that have no archives, or
// that are not of this package have nothing to save.
func SaveIndex(src Source, path string) error {
	data := TakeIndex(src)
	if data == nil {
		return nil
	}
	err := atomicfile.Write(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
	if err != nil {
		return &IOError{File: path, Err: err, Hint: "check the disk"}
	}
	return nil
}

// TakeIndex returns what SaveIndex would write, for Options.ReadIndex to give
// back; nil where there is nothing to save, and the second time.
func TakeIndex(src Source) []byte {
	s, ok := src.(*opened)
	if !ok {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	data := s.scanned
	s.scanned = nil
	return data
}

// keepIndex encodes what was found, before the listings are labelled and sorted.
func (s *opened) keepIndex(x *index) error {
	if x == nil || !x.stale {
		return nil
	}
	var b bytes.Buffer
	if err := x.write(&b); err != nil {
		return err
	}
	s.scanned = b.Bytes()
	return nil
}

// indexed says, for Describe, that a listing was not scanned.
func indexed(name string) string { return name + ", by its index" }
