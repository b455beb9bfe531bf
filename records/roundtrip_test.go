package records

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
)

func TestRoundTrip(t *testing.T) {
	encodings(t, func(t *testing.T, p PixelType, c Compression) {
		for _, n := range []int{0, 1, 2, 9, 1024, 1025, 2100} {
			dir := t.TempDir()
			rows := testRecords(n, testShape)
			writeDataset(t, dir, p, c, testShape, rows, max(1, n/2+1))
			ds, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			s, err := ds.OpenSplit("train")
			if err != nil {
				t.Fatal(err)
			}
			if s.Len() != n || s.Name() != "train" {
				t.Fatalf("%s has %d rows, want %d", s.Name(), s.Len(), n)
			}
			var sc Scratch
			for _, i := range Permutation("test", 1, 2, n) {
				row, err := s.Row(int(i), &sc)
				if err != nil {
					t.Fatal(err)
				}
				wantRow(t, row, rows[i], p, ds.Mean.Baseline)
				if label, err := s.Label(int(i)); err != nil || label != rows[i].Label {
					t.Fatalf("label of row %d is %d, %v; want %d", i, label, err, rows[i].Label)
				}
			}
			for _, i := range []int{-1, n} {
				_, err := s.Row(i, &sc)
				wantError(t, err, fmt.Sprintf("no row %d", i), fmt.Sprintf("it has %d", n))
			}
			if err := errors.Join(s.Close(), s.Close()); err != nil {
				t.Fatal(err)
			}
			_, err = s.Row(0, &sc)
			wantError(t, err, "no row 0")
		}
	})
}

// A nil Scratch reads everything too, and rows of different splits share one.
func TestScratchIsOptionalAndShared(t *testing.T) {
	var sc Scratch
	encodings(t, func(t *testing.T, p PixelType, c Compression) {
		shape := Shape{C: 1, H: 30 + len(c), W: 40}
		path := filepath.Join(t.TempDir(), "s.arrow")
		rows := testRecords(3, shape)
		writeShard(t, path, testOptions(p, c, shape), rows)
		s, err := openShard(path)
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		for i := range rows {
			for _, scratch := range []*Scratch{nil, &sc} {
				row, err := s.row(i, scratch)
				if err != nil {
					t.Fatal(err)
				}
				wantRow(t, row, rows[i], p, testBaseline(p, shape))
			}
		}
	})
}

// Arrow's own reader is the oracle: it sees the schema, the extension and the
// rows that were written.
func TestArrowReadsShards(t *testing.T) {
	encodings(t, func(t *testing.T, p PixelType, c Compression) {
		rows := testRecords(1030, testShape)
		path := filepath.Join(t.TempDir(), "train-00000-of-00001.arrow")
		o := testOptions(p, c, testShape)
		info := writeShard(t, path, o, rows)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if int64(len(data)) != info.Bytes {
			t.Errorf("the file has %d bytes, Commit said %d", len(data), info.Bytes)
		}
		r, err := ipc.NewFileReader(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		wantSchema(t, r.Schema(), p, c)
		i := 0
		for k := range r.NumRecords() {
			rec, err := r.Record(k)
			if err != nil {
				t.Fatal(err)
			}
			i += wantArrowRows(t, rec, rows[i:], o)
		}
		if i != len(rows) {
			t.Errorf("arrow sees %d rows, want %d", i, len(rows))
		}
		// Without the footer, as a stream, it is the same.
		stream, err := ipc.NewReader(bytes.NewReader(data[leaderSize:]))
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Release()
		i = 0
		for stream.Next() {
			i += wantArrowRows(t, stream.Record(), rows[i:], o)
		}
		if err := stream.Err(); err != nil || i != len(rows) {
			t.Errorf("arrow streams %d rows, %v; want %d", i, err, len(rows))
		}
	})
}

// A shard without rows is a whole file too, for Arrow and for us.
func TestEmptyShard(t *testing.T) {
	encodings(t, func(t *testing.T, p PixelType, c Compression) {
		path := filepath.Join(t.TempDir(), "empty.arrow")
		info := writeShard(t, path, testOptions(p, c, testShape), nil)
		if info.Rows != 0 {
			t.Errorf("%d rows", info.Rows)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r, err := ipc.NewFileReader(f)
		if err != nil {
			t.Fatal(err)
		}
		wantSchema(t, r.Schema(), p, c)
		if r.NumRecords() != 0 {
			t.Errorf("arrow sees %d batches", r.NumRecords())
		}
		s, err := openShard(path)
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		if s.rows != 0 || s.spec != (shardSpec{"train", testShape, p, rowsPerBatch(testShape, p, c)}) {
			t.Errorf("%d rows, %+v", s.rows, s.spec)
		}
	})
}

// wantSchema checks a shard's schema as Arrow sees it.
func wantSchema(t *testing.T, got *arrow.Schema, p PixelType, c Compression) {
	t.Helper()
	perBatch := "1024"
	if c != None {
		perBatch = "1"
	}
	if want := []string{FormatName, "2", "train", perBatch}; !slices.Equal(got.Metadata().Values(), want) {
		t.Errorf("metadata %v, want the values %v", got.Metadata(), want)
	}
	var columns []string
	for _, f := range got.Fields() {
		columns = append(columns, fmt.Sprintf("%s %s %t", f.Name, f.Type, f.Nullable))
	}
	want := []string{"key utf8 false", "label int32 false", "ilsvrc_id int32 true", "width uint16 false", "height uint16 false",
		"source_xxh3 uint64 false", "crc32c uint32 false", fmt.Sprintf("pixels fixed_size_list<item: %s, nullable>[105] false", p)}
	if !slices.Equal(columns, want) {
		t.Errorf("columns\n%q, want\n%q", columns, want)
	}
	extension := got.Field(colPixels).Metadata.ToMap()
	if want := map[string]string{
		"ARROW:extension:name":     "arrow.fixed_shape_tensor",
		"ARROW:extension:metadata": `{"shape":[3,5,7],"dim_names":["C","H","W"]}`,
	}; !reflect.DeepEqual(extension, want) {
		t.Errorf("pixels carry %v, want %v", extension, want)
	}
}

// wantArrowRows compares a batch with the rows it should hold and returns how
// many it holds.
func wantArrowRows(t *testing.T, rec arrow.Record, rows []Record, o WriterOptions) int {
	t.Helper()
	id := rec.Column(colILSVRCID).(*array.Int32)
	values := rec.Column(colPixels).(*array.FixedSizeList).ListValues()
	size := o.Shape.Size()
	for k := range int(rec.NumRows()) {
		got := Row{
			Key:        rec.Column(colKey).(*array.String).Value(k),
			Label:      rec.Column(colLabel).(*array.Int32).Value(k),
			Width:      rec.Column(colWidth).(*array.Uint16).Value(k),
			Height:     rec.Column(colHeight).(*array.Uint16).Value(k),
			SourceXXH3: rec.Column(colSourceXXH3).(*array.Uint64).Value(k),
		}
		if id.IsNull(k) != (rows[k].ILSVRCID == 0) {
			t.Fatalf("%s: id null is %t", got.Key, id.IsNull(k))
		}
		if !id.IsNull(k) {
			got.ILSVRCID = id.Value(k)
		}
		var stored []byte
		if o.Pixels == Int16 {
			got.I16 = values.(*array.Int16).Int16Values()[k*size : (k+1)*size]
			stored = arrow.Int16Traits.CastToBytes(got.I16)
		} else {
			got.U8 = values.(*array.Uint8).Uint8Values()[k*size : (k+1)*size]
			stored = got.U8
		}
		wantRow(t, got, rows[k], o.Pixels, o.Baseline)
		if got, want := rec.Column(colCRC32C).(*array.Uint32).Value(k), crc32.Checksum(stored, crc32.MakeTable(crc32.Castagnoli)); got != want {
			t.Fatalf("crc32c of %s is %08x, want %08x", rows[k].Key, got, want)
		}
	}
	return int(rec.NumRows())
}

// Arrow reads mean.arrow too.
func TestArrowReadsMean(t *testing.T) {
	path := filepath.Join(t.TempDir(), MeanName)
	want := testMean(Int16, testShape)
	if _, err := WriteMean(path, want); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := ipc.NewFileReader(f)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := r.Record(0)
	if err != nil || rec.NumRows() != 1 || r.NumRecords() != 1 {
		t.Fatalf("%d batches, %v", r.NumRecords(), err)
	}
	mean := rec.Column(0).(*array.FixedSizeList).ListValues().(*array.Float32).Float32Values()
	baseline := rec.Column(1).(*array.FixedSizeList).ListValues().(*array.Uint8).Uint8Values()
	if !slices.Equal(mean, want.Mean) || !slices.Equal(baseline, want.Baseline) {
		t.Error("arrow sees other values")
	}
}

// The same rows give the same bytes, on one processor and on eight, with
// shards written one after another and all at once.
func TestShardsAreDeterministic(t *testing.T) {
	shape := Shape{C: 3, H: 100, W: 100} // zstd: several blocks
	rows := testRecords(6, shape)
	encodings(t, func(t *testing.T, p PixelType, c Compression) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
		dir := t.TempDir()
		first := writeShard(t, filepath.Join(dir, "first"), testOptions(p, c, shape), rows)
		runtime.GOMAXPROCS(8)
		var group sync.WaitGroup
		infos := make([]ShardInfo, 4)
		for k := range infos {
			group.Go(func() {
				infos[k] = writeShard(t, filepath.Join(dir, fmt.Sprint("again", k)), testOptions(p, c, shape), rows)
			})
		}
		group.Wait()
		for _, info := range infos {
			if info.SHA256 != first.SHA256 || info.Bytes != first.Bytes || len(info.SHA256) != 64 {
				t.Errorf("%+v, want the content of %+v", info, first)
			}
		}
	})
}

// Both encodings give picture - mean, exactly.
func TestEncodingsAgreeExactly(t *testing.T) {
	rows := testRecords(20, testShape)
	var got [2][][]float32
	for k, p := range []PixelType{Int16, Uint8} {
		dir := t.TempDir()
		writeDataset(t, dir, p, None, testShape, rows, 7)
		ds, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		s, err := ds.OpenSplit("train")
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		left := ds.Mean.Subtrahend(p)
		for i := range rows {
			row, err := s.Row(i, nil)
			if err != nil {
				t.Fatal(err)
			}
			input := make([]float32, len(left))
			for j := range input {
				if p == Int16 {
					input[j] = float32(row.I16[j]) - left[j]
				} else {
					input[j] = float32(row.U8[j]) - left[j]
				}
				if exact := float64(rows[i].Pixels[j]) - float64(ds.Mean.Mean[j]); float64(input[j]) != exact {
					t.Fatalf("%s: row %d, value %d: %v, exactly %v", p, i, j, input[j], exact)
				}
			}
			got[k] = append(got[k], input)
		}
	}
	if !reflect.DeepEqual(got[0], got[1]) {
		t.Error("int16 and uint8 give different inputs")
	}
}

// Rows are read by many goroutines at once (for the race detector), and the
// rows of uncompressed shards stay as they are while others are read.
func TestRowsConcurrently(t *testing.T) {
	encodings(t, func(t *testing.T, p PixelType, c Compression) {
		dir := t.TempDir()
		rows := testRecords(50, testShape)
		writeDataset(t, dir, p, c, testShape, rows, 13)
		ds, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		s, err := ds.OpenSplit("train")
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		var group sync.WaitGroup
		for g := range 8 {
			group.Go(func() {
				var sc Scratch
				for _, i := range Permutation("test", uint64(g), 0, len(rows)) {
					row, err := s.Row(int(i), &sc)
					if err != nil {
						t.Error(err)
						return
					}
					wantRow(t, row, rows[i], p, ds.Mean.Baseline)
				}
			})
		}
		group.Wait()
	})
}

// Rows of uncompressed shards are not copied, and reading one allocates nothing.
func TestUncompressedRowsAreFree(t *testing.T) {
	for _, p := range []PixelType{Int16, Uint8} {
		path := filepath.Join(t.TempDir(), "s.arrow")
		rows := testRecords(20, testShape)
		writeShard(t, path, testOptions(p, None, testShape), rows)
		s, err := openShard(path)
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		i := 0
		if n := testing.AllocsPerRun(100, func() {
			row, err := s.row(i%len(rows), nil)
			if err != nil || row.Label != rows[i%len(rows)].Label {
				t.Fatal(row.Label, err)
			}
			i++
		}); n != 0 {
			t.Errorf("%s: a row costs %v allocations", p, n)
		}
		row, err := s.row(3, nil)
		if err != nil {
			t.Fatal(err)
		}
		stored := row.U8
		if p == Int16 {
			stored = arrow.Int16Traits.CastToBytes(row.I16)
		}
		if at := bytes.Index(s.mapping, stored); at < 0 || &s.mapping[at] != &stored[0] {
			t.Errorf("%s: the row is not in the mapping", p)
		}
	}
}

func TestLocate(t *testing.T) {
	dir := t.TempDir()
	writeDataset(t, dir, Uint8, None, testShape, testRecords(10, testShape), 4)
	ds, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ds.OpenSplit("train")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var got []string
	for i := range s.Len() {
		shard, row, err := s.Locate(i)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(shard[6:11], " ", row))
	}
	want := []string{"00000 0", "00000 1", "00000 2", "00000 3", "00001 0", "00001 1", "00001 2", "00001 3", "00002 0", "00002 1"}
	if !slices.Equal(got, want) {
		t.Errorf("rows are at %q, want %q", got, want)
	}
	_, _, err = s.Locate(10)
	wantError(t, err, `split "train" has no row 10: it has 10`)
}

func TestManifestRoundTrip(t *testing.T) {
	dir := t.TempDir()
	want := writeDataset(t, dir, Int16, LZ4, testShape, testRecords(5, testShape), 2)
	got, err := ReadManifest(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(want.Splits["val"].Shards) == 0 { // null and [] are the same
		got.Splits["val"] = want.Splits["val"]
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read\n%+v, wrote\n%+v", got, want)
	}
	first, err := os.ReadFile(filepath.Join(dir, ManifestName))
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteManifest(dir, got); err != nil {
		t.Fatal(err)
	}
	again, err := os.ReadFile(filepath.Join(dir, ManifestName))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, again) {
		t.Errorf("written again it is\n%s, not\n%s", again, first)
	}
	var names map[string]any
	if err := json.Unmarshal(first, &names); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"format", "version", "shape", "pixels", "compression", "seed", "decoder", "filter", "digest", "mean", "pca", "splits", "classes"} {
		if _, ok := names[name]; !ok {
			t.Errorf("the manifest has no %q", name)
		}
	}
	if shape := fmt.Sprint(names["shape"]); shape != "[3 5 7]" {
		t.Errorf("shape is written as %s", shape)
	}
}

func TestShardNameAndSize(t *testing.T) {
	if got := ShardName("train", 0, 12); got != "train-00000-of-00012.arrow" {
		t.Error(got)
	}
	for _, c := range []struct {
		bytes int64
		shape Shape
		p     PixelType
		want  int
	}{
		{256 << 20, Shape{3, 256, 256}, Int16, 682},
		{256 << 20, Shape{3, 256, 256}, Uint8, 1365},
		{1, Shape{3, 256, 256}, Uint8, 1},
		{100, Shape{}, Uint8, 1},
	} {
		if got := RowsPerShard(c.bytes, c.shape, c.p); got != c.want {
			t.Errorf("RowsPerShard(%d, %v, %s) = %d, want %d", c.bytes, c.shape, c.p, got, c.want)
		}
	}
	if got := rowsPerBatch(Shape{3, 256, 256}, Int16, None); got != 2 {
		t.Errorf("%d rows of 384 KiB in a batch, want 2", got)
	}
}

// With RECORDS_INTEROP_OUT=DIR this writes a small data set in each encoding
// below DIR, for other implementations of Arrow to try:
//
//	RECORDS_INTEROP_OUT=/some/dir go test ./records -run Interop
//	node records/interop/check.mjs /some/dir/int16-zstd
func TestWriteForInterop(t *testing.T) {
	out := os.Getenv("RECORDS_INTEROP_OUT")
	if out == "" {
		t.Skip("RECORDS_INTEROP_OUT names no folder to write to")
	}
	encodings(t, func(t *testing.T, p PixelType, c Compression) {
		dir := filepath.Join(out, fmt.Sprintf("%s-%s", p, c))
		if err := os.MkdirAll(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		shape := Shape{C: 3, H: 70, W: 60}
		rows := testRecords(400, shape)
		for i := range rows {
			rows[i].ILSVRCID = 0
			if rows[i].Label == 0 { // the one class of writeDataset that has an id
				rows[i].ILSVRCID = 7
			}
		}
		writeDataset(t, dir, p, c, shape, rows, 350)
	})
}
