package records

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// OpenColumns reads any of our files: here a mean picture.
func TestColumns(t *testing.T) {
	m := &Mean{Shape: Shape{1, 2, 2}, Mean: []float32{1, 2, 3, 4.5}, Baseline: []uint8{1, 2, 3, 4}}
	path := filepath.Join(t.TempDir(), MeanName)
	if _, err := WriteMean(path, m); err != nil {
		t.Fatal(err)
	}
	c, err := OpenColumns(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Columns(); !slices.Equal(got, []string{"mean fixed_size_list[4] float32", "baseline fixed_size_list[4] uint8"}) {
		t.Errorf("columns %q", got)
	}
	if got := c.Metadata()[metaFormat]; got != FormatName || c.Batches() != 1 {
		t.Errorf("format %q, %d batches", got, c.Batches())
	}
	err = c.Batch(0, func(b ColumnBatch) error {
		if b.Rows != 1 || !slices.Equal(b.Lengths, []int64{1, 4, 1, 4}) || len(b.Buffers) != 6 {
			t.Errorf("%d rows, lengths %d, %d buffers", b.Rows, b.Lengths, len(b.Buffers))
		}
		for i, want := range m.Mean {
			if got := math.Float32frombits(binary.LittleEndian.Uint32(b.Buffers[2][4*i:])); got != want {
				t.Errorf("value %d is %g, want %g", i, got, want)
			}
		}
		return fs.ErrInvalid
	})
	if !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("the error of use came out as %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data[:len(data)-3], 0o666); err != nil {
		t.Fatal(err)
	}
	var corrupt *CorruptError
	if _, err := OpenColumns(path); !errors.As(err, &corrupt) || corrupt.File != path {
		t.Errorf("a file that is cut off: %v", err)
	}
	if _, err := OpenColumns(path + "x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
