package records

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"

	"alexnet/records/atomicfile"
)

// pickyFile is a file that can be written directly, and insists on it.
type pickyFile struct {
	t       *testing.T
	content bytes.Buffer
	direct  bool
	refuse  int // the direct write that is refused, counted from 1; 0: none
	room    int // bytes until the disk is full; 0: no end
	writes  int
}

func (f *pickyFile) Direct(on bool) error { f.direct = on; return nil }

func (f *pickyFile) Write(p []byte) (int, error) {
	if f.direct && len(p) > 0 {
		f.writes++
		at := uintptr(unsafe.Pointer(unsafe.SliceData(p)))
		if at%atomicfile.BlockSize != 0 || len(p)%atomicfile.BlockSize != 0 || f.content.Len()%atomicfile.BlockSize != 0 {
			f.t.Errorf("a direct write of %d bytes from %x to %d", len(p), at, f.content.Len())
		}
		if f.writes == f.refuse {
			return 0, fmt.Errorf("writing: %w", syscall.EINVAL)
		}
	}
	if f.room > 0 && f.content.Len()+len(p) > f.room {
		n := f.room - f.content.Len()
		f.content.Write(p[:n])
		return n, errNoSpace
	}
	return f.content.Write(p)
}

// TestHashedWriter writes pieces of all sizes, around the size of a block, and
// checks content, digest and position.
func TestHashedWriter(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for _, size := range []int{0, 1, 4095, 4096, 4097, blockBytes - 1, blockBytes, blockBytes + 1, 3*blockBytes + 5000} {
		for refuse := range 4 {
			want := make([]byte, size)
			for i := range want {
				want[i] = byte(random.Uint32())
			}
			f := &pickyFile{t: t, refuse: refuse}
			h := newHashedWriter(f)
			for at := 0; at < size; {
				n := min(size-at, 1+random.IntN(blockBytes))
				if k, err := h.Write(want[at : at+n]); k != n || err != nil {
					t.Fatal(k, err)
				}
				at += n
				if pos, err := h.Seek(0, 1); pos != int64(at) || err != nil {
					t.Fatalf("position %d after %d bytes, %v", pos, at, err)
				}
			}
			if err := h.finish(); err != nil {
				t.Fatal(err)
			}
			if got := h.digest(); !bytes.Equal(f.content.Bytes(), want) || got != fmt.Sprintf("%x", sha256.Sum256(want)) {
				t.Errorf("%d bytes, direct write %d refused: the file has %d bytes, digest %s", size, refuse, f.content.Len(), got)
			}
		}
	}
}

// TestHashedWriterFullDisk reports a full disk when it is known, and keeps to it.
func TestHashedWriterFullDisk(t *testing.T) {
	for _, room := range []int{100, blockBytes, blockBytes + 5, 3*blockBytes - 1} {
		f := &pickyFile{t: t, room: room}
		h := newHashedWriter(f)
		var err error
		for range 7 {
			if _, err = h.Write(make([]byte, blockBytes/2)); err != nil {
				break
			}
		}
		if finish := h.finish(); !errors.Is(finish, errNoSpace) || err != nil && !errors.Is(err, errNoSpace) {
			t.Errorf("room for %d: Write returns %v, finish %v", room, err, finish)
		}
		h.abandon()
	}
}

// TestDirectFile writes a shard of several blocks to a real file, directly where
// this file system can.
func TestDirectFile(t *testing.T) {
	shape := Shape{C: 3, H: 111, W: 113}
	path := filepath.Join(t.TempDir(), "s.arrow")
	rows := testRecords(80, shape) // 6 MB
	info := writeShard(t, path, testOptions(Int16, None, shape), rows)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(data)) != info.Bytes || len(data) < 2*blockBytes || fmt.Sprintf("%x", sha256.Sum256(data)) != info.SHA256 {
		t.Errorf("the file has %d bytes, the digest is another, or %d is not its size", len(data), info.Bytes)
	}
	s, err := openShard(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for i, want := range rows {
		got, err := s.row(i, nil)
		if err != nil {
			t.Fatal(err)
		}
		wantRow(t, got, want, Int16, testBaseline(Int16, shape))
	}
}
