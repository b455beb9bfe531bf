package records

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"unsafe"
)

// within says whether [lo, hi) lies in one of the spans.
func within(parts []span, lo, hi int64) bool {
	for _, p := range parts {
		if p.lo <= lo && hi <= p.hi {
			return true
		}
	}
	return false
}

// The spans of any rows hold these rows' pixels and, if shared, the header of
// their batches; and not much else.
func TestSpans(t *testing.T) {
	shape := Shape{C: 3, H: 101, W: 103} // 16 rows a batch for int16; 2.2 MB in all
	encodings(t, func(t *testing.T, p PixelType, c Compression) {
		path := filepath.Join(t.TempDir(), "s.arrow")
		writeShard(t, path, testOptions(p, c, shape), testRecords(37, shape))
		s, err := openShard(path)
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		size := int64(shape.Size() * p.Size())
		for from := range s.rows {
			for _, n := range []int{1, 2, 16, 17, 33, 37} {
				to := min(s.rows, from+n)
				for _, shared := range []bool{false, true} {
					var parts []span
					var sum int64
					s.spans(from, to, shared, func(part span) { parts = append(parts, part); sum += part.hi - part.lo })
					for i := from; i < to; i++ {
						lo, hi, head := placeOfRow(t, s, i)
						if !within(parts, lo, hi) || shared && !within(parts, head, head+8) {
							t.Fatalf("rows %d to %d: spans %v lack row %d at %d to %d, or its head at %d", from, to, parts, i, lo, hi, head)
						}
					}
					if most := int64(to-from)*size + int64(len(parts))*nearBytes + 10000; c == None && sum > most {
						t.Fatalf("rows %d to %d of %d bytes: spans %v are %d bytes", from, to, size, parts, sum)
					}
				}
			}
		}
		var all []span
		s.spans(0, s.rows, false, func(part span) { all = append(all, part) })
		if len(all) != 1 {
			t.Errorf("the whole shard is %v, not one span", all)
		}
	})
}

// placeOfRow returns where the pixels of row i are in the shard's file, as its
// batch says, and where the batch starts.
func placeOfRow(t *testing.T, s *shard, i int) (lo, hi, head int64) {
	t.Helper()
	b, at, err := s.rowBatch(i)
	if err != nil {
		t.Fatal(err)
	}
	pixels, err := b.buffer(bufPixels)
	if err != nil {
		t.Fatal(err)
	}
	offset := func(part []byte) int64 {
		return int64(uintptr(unsafe.Pointer(&part[0])) - uintptr(unsafe.Pointer(&s.mapping[0])))
	}
	whole, ok := s.arrow.place(i / s.spec.rowsPerBatch)
	if !ok {
		t.Fatal("no place")
	}
	if b.codec != None {
		return offset(pixels), offset(pixels) + int64(len(pixels)), whole.lo
	}
	size := s.spec.shape.Size() * s.spec.pixels.Size()
	return offset(pixels[at*size:]), offset(pixels[at*size:]) + int64(size), whole.lo
}

// Hints change nothing about what is read, and none of them fails: not of rows
// that are not there, nor of shards that are lost, nor of closed splits.
func TestHints(t *testing.T) {
	shape := Shape{C: 3, H: 64, W: 64}
	encodings(t, func(t *testing.T, p PixelType, c Compression) {
		dir := t.TempDir()
		rows := testRecords(30, shape)
		writeDataset(t, dir, p, c, shape, rows, 11)
		if err := os.Remove(filepath.Join(dir, "train-00001-of-00003.arrow")); err != nil {
			t.Fatal(err)
		}
		ds, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		s, err := ds.OpenSplitLenient("train")
		if err != nil {
			t.Fatal(err)
		}
		var sc Scratch
		for round := range 2 {
			for _, hint := range []func(i, n int){s.WillNeed, s.DontNeed} {
				for _, at := range [][2]int{{0, 30}, {3, 1}, {29, 100}, {-1, 5}, {30, 1}, {5, 0}, {5, -5}, {7, math.MaxInt}} {
					hint(at[0], at[1])
				}
				for _, i := range []int{0, 5, 10, 22, 29} {
					if err := s.Fetch(i); err != nil {
						t.Fatal(round, err)
					}
					row, err := s.Row(i, &sc)
					if err != nil {
						t.Fatal(round, err)
					}
					wantRow(t, row, rows[i], p, ds.Mean.Baseline)
				}
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s.WillNeed(0, 1)
		s.DontNeed(0, 1)
	})
}

// A damaged list of batches makes the hint nothing, not a panic.
func TestHintsOfDamagedShard(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.arrow")
	writeShard(t, path, testOptions(Int16, Zstd, testShape), testRecords(3, testShape))
	s, err := openShard(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for at := range blockSize {
		for _, v := range []byte{0, 0x7F, 0x80, 0xFF} {
			s.arrow.blocks = append([]byte(nil), s.arrow.blocks...)
			s.arrow.blocks[at] = v
			s.willNeed(0, 3)
			s.dontNeed(0, 3)
		}
	}
}

// BenchmarkRowIsThere measures what it costs to ask for a row that is in
// memory, in three ways; 64 rows.
func BenchmarkRowIsThere(b *testing.B) {
	dir := b.TempDir()
	writeDataset(b, dir, Int16, None, paperShape, testRecords(64, paperShape), 32)
	s := openTrain(b, dir)
	for _, way := range []struct {
		name string
		read func(i int) error
	}{
		{"Row", func(i int) error { _, err := s.Row(i, nil); return err }},
		{"Fetch", s.Fetch},
		{"WillNeed", func(i int) error { s.WillNeed(i, 1); return nil }},
		{"Key", func(i int) error { _, err := s.Key(i); return err }},
	} {
		b.Run(fmt.Sprint(way.name), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := way.read(i % 64); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
