package records

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"alexnet/records/atomicfile"
)

// MeanScale is the number of steps in one grey level of Mean.Mean.
const MeanScale = 1024

// Mean is the mean picture of the training split, and the baseline that Int16
// pixels are differences from.
type Mean struct {
	Shape Shape
	// Mean holds the mean of each value over the training pictures, planar,
	// 0 to 255, rounded to multiples of 1/MeanScale. That makes every
	// difference that the stream takes exact in float32.
	Mean []float32
	// Baseline is what the stored values are differences from, planar: the
	// rounded mean of a sample for Int16, zeros for Uint8.
	Baseline []uint8
}

// Subtrahend returns what is left to subtract from a stored value to get
// picture - mean: the mean for Uint8, the mean less the baseline for Int16.
// Every value is exact. The slice is new.
func (m *Mean) Subtrahend(p PixelType) []float32 {
	left := make([]float32, len(m.Mean))
	copy(left, m.Mean)
	if p == Int16 {
		for i, b := range m.Baseline {
			left[i] -= float32(b)
		}
	}
	return left
}

// check says what is wrong with the mean, or returns nil.
func (m *Mean) check() error {
	if err := m.Shape.check(); err != nil {
		return err
	}
	if n := m.Shape.Size(); len(m.Mean) != n || len(m.Baseline) != n {
		return fmt.Errorf("%d means and %d baseline values for the shape %v, which has %d", len(m.Mean), len(m.Baseline), m.Shape, n)
	}
	for i, v := range m.Mean {
		if scaled := v * MeanScale; !(v >= 0 && v <= 255) || scaled != float32(int32(scaled)) {
			return fmt.Errorf("mean value %d is %v, not a multiple of 1/%d from 0 to 255", i, v, MeanScale)
		}
	}
	return nil
}

// WriteMean writes m to path, atomically: an Arrow file with one row, whose
// tensors are mean (float32) and baseline (uint8).
func WriteMean(path string, m *Mean) (FileInfo, error) {
	data, info, err := EncodeMean(m)
	if err != nil {
		return FileInfo{}, fmt.Errorf("%s: %w", path, err)
	}
	err = atomicfile.Write(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
	if err != nil {
		return FileInfo{}, err
	}
	info.File = filepath.Base(path)
	return info, nil
}

// writeMeanTo writes the Arrow file.
func writeMeanTo(out *hashedWriter, m *Mean) error {
	schema := meanSchema(m.Shape)
	column := func(i int, raw []byte) arrow.Array {
		list := schema.Field(i).Type.(*arrow.FixedSizeListType)
		values := array.NewData(list.Elem(), m.Shape.Size(), []*memory.Buffer{nil, memory.NewBufferBytes(raw)}, nil, 0, 0)
		defer values.Release()
		data := array.NewData(list, 1, []*memory.Buffer{nil}, []arrow.ArrayData{values}, 0, 0)
		defer data.Release()
		return array.MakeFromData(data)
	}
	columns := []arrow.Array{
		colMean:     column(colMean, arrow.Float32Traits.CastToBytes(m.Mean)),
		colBaseline: column(colBaseline, m.Baseline),
	}
	for _, c := range columns {
		defer c.Release()
	}
	record := array.NewRecord(schema, columns, 1)
	defer record.Release()
	w, err := ipc.NewFileWriter(out, ipc.WithSchema(schema))
	if err != nil {
		return err
	}
	if err := w.Write(record); err != nil {
		return err
	}
	return w.Close()
}

// ReadMean reads what WriteMean wrote and checks that it is well-formed; the
// digest is for the caller to check (Open does).
func ReadMean(path string) (*Mean, error) {
	m, _, err := readMean(context.Background(), home{dir: filepath.Dir(path)}, filepath.Base(path))
	return m, err
}

// maxMeanBytes bounds how large a mean.arrow is read: a float32 and a uint8
// for each value, and some room.
const maxMeanBytes = 5*maxValues + 1<<20

// readMean is ReadMean for a file wherever it lies; it also returns its SHA-256.
func readMean(ctx context.Context, h home, file string) (*Mean, string, error) {
	content, err := h.read(ctx, file, maxMeanBytes)
	var corrupt *CorruptError
	switch {
	case errors.As(err, &corrupt):
		return nil, "", err
	case err != nil:
		return nil, "", fmt.Errorf("reading the mean picture: %w", err)
	}
	sum := sha256.Sum256(content)
	m, err := parseMean(h.path(file), content)
	if err != nil {
		return nil, hex.EncodeToString(sum[:]), faultOf(h.path(file), -1, "", err)
	}
	return m, hex.EncodeToString(sum[:]), nil
}

// parseMean reads the content of a mean.arrow.
func parseMean(path string, data []byte) (m *Mean, err error) {
	defer caught(&err)
	f, err := parseArrowFile(data)
	if err != nil {
		return nil, err
	}
	if err := checkVersion(path, f.meta); err != nil {
		return nil, err
	}
	if len(f.fields) != meanColumns || f.fields[colMean].name != "mean" || f.fields[colBaseline].name != "baseline" ||
		f.fields[colMean].item != "float32" || f.fields[colBaseline].item != "uint8" {
		return nil, errors.New("its columns are not mean (float32) and baseline (uint8)")
	}
	shape, err := checkTensor(f.fields[colMean])
	if err != nil {
		return nil, err
	}
	if other, err := checkTensor(f.fields[colBaseline]); err != nil || other != shape {
		return nil, errors.Join(fmt.Errorf("its mean is %v, its baseline %v", shape, other), err)
	}
	if f.batches() != 1 {
		return nil, fmt.Errorf("it has %d record batches, not 1", f.batches())
	}
	b, err := f.batch(0)
	if err != nil {
		return nil, err
	}
	// Columns: list, items, list, items; buffers: bitmap, bitmap, values of each.
	const bufMean, bufBaseline, meanBufs, meanNodes = 2, 5, 6, 4
	if b.rows != 1 || len(b.nodes) != meanNodes*nodeSize || len(b.buffers) != meanBufs*bufferSize {
		return nil, errors.New("it does not have one row of two tensors")
	}
	for i := range meanNodes {
		length, nulls := b.node(i)
		if want := [2]int{1, shape.Size()}[i%2]; length != int64(want) || nulls != 0 {
			return nil, fmt.Errorf("its column %d has %d values, %d of them null, and should have %d", i, length, nulls, want)
		}
	}
	r := bufferReader{batch: b}
	means, baseline := r.bytes(bufMean, 4*shape.Size()), r.bytes(bufBaseline, shape.Size())
	if r.err != nil {
		return nil, r.err
	}
	m = &Mean{Shape: shape, Mean: make([]float32, shape.Size()), Baseline: bytes.Clone(baseline)}
	for i := range m.Mean {
		m.Mean[i] = math.Float32frombits(binary.LittleEndian.Uint32(means[4*i:]))
	}
	return m, m.check()
}
