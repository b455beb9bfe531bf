package model

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func sampleTensors() (map[string]string, []Tensor) {
	return map[string]string{"step": "12", "net": `{"name":"x"}`}, []Tensor{
		{Name: "conv1.weight", Shape: []int{2, 1, 1, 2}, Data: []float32{1, -2.5, float32(math.Inf(1)), math.SmallestNonzeroFloat32}},
		{Name: "empty", Shape: []int{3, 0}, Data: []float32{}},
		{Name: "a \"quoted\" näme", Shape: []int{}, Data: []float32{7}},
		{Name: "conv1.bias", Shape: []int{3}, Data: []float32{0, float32(math.Copysign(0, -1)), 3}},
	}
}

func written(t testing.TB, meta map[string]string, ts []Tensor) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := WriteTensors(&b, meta, ts); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// file puts a safetensors file together from a header and data.
func file(header string, data ...byte) []byte {
	return append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...), data...)
}

// TestTensorBytes compares a small file with the bytes of the specification.
func TestTensorBytes(t *testing.T) {
	got := written(t, map[string]string{"format": "pt"}, []Tensor{{Name: "w", Shape: []int{2}, Data: []float32{1, -2}}})
	header := `{"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`
	header += strings.Repeat(" ", 7-(len(header)+7)%8)
	want := file(header, 0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0)
	if !bytes.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if n := binary.LittleEndian.Uint64(got); n%8 != 0 {
		t.Errorf("the data begin at %d, not at a multiple of eight", 8+n)
	}
}

func TestTensorsRoundTrip(t *testing.T) {
	meta, ts := sampleTensors()
	b := written(t, meta, ts)
	if !bytes.Equal(b, written(t, meta, ts)) {
		t.Error("the same tensors give other bytes")
	}
	for name, r := range map[string]io.Reader{"whole": bytes.NewReader(b), "byte by byte": iotest.OneByteReader(bytes.NewReader(b))} {
		gotMeta, got, err := ReadTensors(r)
		if err != nil {
			t.Fatal(name, err)
		}
		if !reflect.DeepEqual(meta, gotMeta) || !reflect.DeepEqual(ts, got) {
			t.Errorf("%s: got %v %v, want %v %v", name, gotMeta, got, meta, ts)
		}
	}
	if meta, ts, err := ReadTensors(bytes.NewReader(written(t, nil, nil))); err != nil || len(meta) != 0 || len(ts) != 0 {
		t.Errorf("an empty file gives %v, %v, %v", meta, ts, err)
	}
}

// TestTensorsRoundTripLarge goes over the boundaries of the buffers.
func TestTensorsRoundTripLarge(t *testing.T) {
	var ts []Tensor
	for _, n := range []int{1, dataStep - 1, dataStep, dataStep + 1, 2*dataStep + 3} {
		x := Tensor{Name: string(rune('a' + len(ts))), Shape: []int{n}, Data: make([]float32, n)}
		for i := range x.Data {
			x.Data[i] = float32(i*7 + n)
		}
		ts = append(ts, x)
	}
	_, got, err := ReadTensors(bytes.NewReader(written(t, nil, ts)))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(ts, got) {
		t.Error("tensors changed on their way")
	}
}

// TestTensorsOfOthers reads what other writers may write: any order in the header,
// no padding, a null or missing metadata.
func TestTensorsOfOthers(t *testing.T) {
	data := []byte{0, 0, 0x80, 0x3f, 0, 0, 0, 0x40}
	for _, header := range []string{
		`{"b":{"data_offsets":[4,8],"shape":[1],"dtype":"F32"},"a":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]}}`,
		"{\"a\" : {\"dtype\":\"F32\",\"shape\":[1,1],\"data_offsets\":[0,4]} ,\n\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]},\"__metadata__\":null}    ",
	} {
		_, ts, err := ReadTensors(bytes.NewReader(file(header, data...)))
		want := []Tensor{{"a", []int{1, 1}, []float32{1}}, {"b", []int{1}, []float32{2}}}
		if err != nil || !reflect.DeepEqual(ts, want) {
			t.Errorf("%s: got %v, %v", header, ts, err)
		}
	}
}

// TestHalves reads all numbers of 16 bits: those of BF16 are the upper halves of
// float32's, and those of F16 are worked out here by their definition.
func TestHalves(t *testing.T) {
	var data []byte
	for range 2 {
		for h := range 1 << 16 {
			data = binary.LittleEndian.AppendUint16(data, uint16(h))
		}
	}
	header := `{"h":{"dtype":"F16","shape":[256,256],"data_offsets":[0,131072]},"b":{"dtype":"BF16","shape":[65536],"data_offsets":[131072,262144]}}`
	_, ts, err := ReadTensors(iotest.HalfReader(bytes.NewReader(file(header, data...))))
	if err != nil || len(ts) != 2 || ts[0].Name != "h" || !slices.Equal(ts[0].Shape, []int{256, 256}) || len(ts[1].Data) != 1<<16 {
		t.Fatalf("%d tensors, error %v", len(ts), err)
	}
	for h := range 1 << 16 {
		want := math.Ldexp(1+float64(h&0x3ff)/1024, h>>10&0x1f-15)
		switch {
		case h>>10&0x1f == 0:
			want = math.Ldexp(float64(h&0x3ff)/1024, -14)
		case h&0x7fff == 0x7c00:
			want = math.Inf(1)
		case h&0x7fff > 0x7c00:
			want = math.NaN()
		}
		want = math.Copysign(want, float64(1-2*(h>>15)))
		got := float64(ts[0].Data[h])
		if got != want && !(math.IsNaN(got) && math.IsNaN(want)) || math.Signbit(got) != math.Signbit(want) {
			t.Fatalf("F16 %#04x is %g, want %g", h, got, want)
		}
		if bits := math.Float32bits(ts[1].Data[h]); bits != uint32(h)<<16 {
			t.Fatalf("BF16 %#04x is %#08x", h, bits)
		}
	}
	// What is written is float32.
	if b := written(t, nil, ts[:1]); !bytes.Contains(b[:100], []byte(`"dtype":"F32"`)) {
		t.Errorf("written: %q", b[:100])
	}
}

// TestMixedTypes reads tensors of all types from one file, over the boundaries of the
// buffers.
func TestMixedTypes(t *testing.T) {
	const n = dataStep + 1
	data := []byte{0x00, 0x3c, 0x00, 0xc0} // 1 and -2
	for range n {
		data = append(data, 0x40, 0x40) // 3
	}
	data = append(data, 0, 0, 0x80, 0x40) // 4
	header := fmt.Sprintf(`{"b":{"dtype":"BF16","shape":[%d],"data_offsets":[4,%d]},"f":{"dtype":"F32","shape":[1],"data_offsets":[%d,%d]},"h":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}`,
		n, 4+2*n, 4+2*n, 8+2*n)
	_, ts, err := ReadTensors(bytes.NewReader(file(header, data...)))
	if err != nil || len(ts) != 3 || !slices.Equal(ts[0].Data, []float32{1, -2}) || !slices.Equal(ts[2].Data, []float32{4}) || len(ts[1].Data) != n {
		t.Fatalf("%d tensors, error %v", len(ts), err)
	}
	for i, v := range ts[1].Data {
		if v != 3 {
			t.Fatalf("value %d is %g", i, v)
		}
	}
}

func TestWriteTensorsErrors(t *testing.T) {
	one := []float32{1}
	for _, c := range []struct {
		ts   []Tensor
		want string
	}{
		{[]Tensor{{Shape: []int{1}, Data: one}}, `the name "" is empty, reserved or used twice`},
		{[]Tensor{{Name: "__metadata__", Shape: []int{1}, Data: one}}, "reserved"},
		{[]Tensor{{"a", []int{1}, one}, {"a", []int{1}, one}}, `"a" is empty, reserved or used twice`},
		{[]Tensor{{"a", []int{2}, one}}, "write tensor a: shape [2] does not fit 1 values"},
		{[]Tensor{{"a", []int{-1, -1}, one}}, "write tensor a: shape [-1 -1] does not fit 1 values"},
	} {
		var b bytes.Buffer
		if err := WriteTensors(&b, nil, c.ts); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
		if b.Len() > 0 {
			t.Errorf("%d bytes were written before the error", b.Len())
		}
	}
}

// fullDisk takes some bytes and then fails.
type fullDisk struct{ room int }

var errFull = errors.New("no space left")

func (d *fullDisk) Write(p []byte) (int, error) {
	if len(p) > d.room {
		return d.room, errFull
	}
	d.room -= len(p)
	return len(p), nil
}

func TestWriteTensorsToFullDisk(t *testing.T) {
	ts := []Tensor{{"w", []int{2 << 20}, make([]float32, 2<<20)}}
	for _, room := range []int{0, 5 << 20, 8 << 20} {
		if err := WriteTensors(&fullDisk{room}, nil, ts); !errors.Is(err, errFull) {
			t.Errorf("room for %d bytes: got %v", room, err)
		}
	}
}

// TestCorruptTensors is the table of corruptions: every one gives a FormatError
// that says what is wrong.
func TestCorruptTensors(t *testing.T) {
	const entry = `"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}`
	four := []byte{0, 0, 0, 0}
	good := file("{"+entry+"}", four...)
	tensor := func(shape, offsets string) []byte {
		return file(`{"w":{"dtype":"F32","shape":`+shape+`,"data_offsets":`+offsets+`}}`, four...)
	}
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "the file ends within the header's length"},
		{"short length", good[:7], "the file ends within the header's length: unexpected EOF"},
		{"no header", good[:8], "the file ends within the header"},
		{"short header", good[:20], "the file ends within the header"},
		{"no data", good[:len(good)-4], `the file ends within tensor "w"`},
		{"short data", good[:len(good)-1], `the file ends within tensor "w"`},
		{"more data", append(bytes.Clone(good), 0), "there are bytes after the last tensor"},
		{"length 0", binary.LittleEndian.AppendUint64(nil, 0), "a header of 0 bytes"},
		{"length 2^63", binary.LittleEndian.AppendUint64(nil, 1<<63), "a header of 9223372036854775808 bytes (2..16777216 are allowed)"},
		{"length 2^24+1", binary.LittleEndian.AppendUint64(nil, 1<<24+1), "a header of 16777217 bytes"},
		{"array", file("[]"), "the header is not a JSON object"},
		{"space first", file(" {}"), "the header is not a JSON object"},
		{"no JSON", file("{w}"), "the header is not valid JSON"},
		{"open object", file(`{"w":`), `the entry of tensor "w"`},
		{"object not closed", file("{"+entry, four...), "the header is not valid JSON"},
		{"text after the object", file("{}x"), "the header goes on after its JSON object"},
		{"twice", file("{"+entry+","+entry+"}", four...), `the name "w" stands twice in the header`},
		{"metadata twice", file(`{"__metadata__":{},"__metadata__":{}}`), `"__metadata__" stands twice`},
		{"metadata of numbers", file(`{"__metadata__":{"a":1}}`), "the metadata are not an object of strings"},
		{"entry of text", file(`{"w":"x"}`), `the entry of tensor "w"`},
		{"no name", file(`{"":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, four...), "a tensor has no name"},
		{"shape of text", tensor(`"1"`, "[0,4]"), `the entry of tensor "w"`},
		{"fraction", tensor(`[1.5]`, "[0,4]"), `the entry of tensor "w"`},
		{"negative shape", tensor("[-1]", "[0,4]"), `tensor "w" has the shape [-1]: negative or too large`},
		{"overflowing shape", tensor("[4294967296,4294967296]", "[0,4]"), "negative or too large"},
		{"overflowing product", tensor("[2147483647,2147483647]", "[0,4]"), "negative or too large"},
		{"size and offsets differ", tensor("[2]", "[0,4]"), `tensor "w" of shape [2] lies at bytes 0 to 4, not 8 bytes apart`},
		{"offsets swapped", tensor("[1]", "[4,0]"), "lies at bytes 4 to 0"},
		{"negative offset", tensor("[1]", "[-4,0]"), "lies at bytes -4 to 0"},
		{"offsets wrap", tensor("[1]", "[9223372036854775807,-9223372036854775805]"), "lies at bytes"},
		{"offset past int64", tensor("[1]", "[9223372036854775808,9223372036854775812]"), `the entry of tensor "w"`},
		{"hole at the start", tensor("[1]", "[4,8]"), `tensor "w" begins at byte 4 where byte 0 is next`},
		{"overlap", file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},`+entry+`}`, four...), "tensors overlap or leave a hole"},
		{"hole", file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},`+entry+`}`, append(four, four...)...), `tensor "a" begins at byte 8 where byte 4 is next`},
		{"empty tensor inside another", file(`{"a":{"dtype":"F32","shape":[0],"data_offsets":[2,2]},`+entry+`}`, four...), "tensors overlap or leave a hole"},
		{"halves with room for floats", file(`{"w":{"dtype":"F16","shape":[1],"data_offsets":[0,4]}}`, four...), `tensor "w" of shape [1] lies at bytes 0 to 4, not 2 bytes apart`},
		{"floats with room for halves", tensor("[2]", "[0,4]"), "lies at bytes 0 to 4, not 8 bytes apart"},
		{"half of a half", file(`{"w":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}`, four[:3]...), `the file ends within tensor "w"`},
		{"announces 4 GB of halves", file(`{"w":{"dtype":"F16","shape":[2147483647],"data_offsets":[0,4294967294]}}`, four...), `the file ends within tensor "w"`},
		{"announces 8 GB", tensor("[2147483647]", "[0,8589934588]"), `the file ends within tensor "w"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := ReadTensors(bytes.NewReader(c.file))
			var fe *FormatError
			if !errors.As(err, &fe) || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "malformed safetensors: ") {
				t.Errorf("got %v, want a FormatError with %q", err, c.want)
			}
		})
	}
}

// TestTruncatedTensors cuts a file at every place.
func TestTruncatedTensors(t *testing.T) {
	b := written(t, map[string]string{"a": "b"}, []Tensor{{"w", []int{2}, []float32{1, 2}}, {"v", []int{1}, []float32{3}}})
	for n := range len(b) {
		_, _, err := ReadTensors(bytes.NewReader(b[:n]))
		var fe *FormatError
		if !errors.As(err, &fe) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d of %d: %v", n, len(b), err)
		}
	}
}

func TestUnsupportedTensors(t *testing.T) {
	for header, want := range map[string]string{
		`{"w":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}`:                 `tensor "w" is of type "F64"; F32, F16 and BF16 are read`,
		`{"w":{"dtype":"f16","shape":[1],"data_offsets":[0,2]}}`:                 `tensor "w" is of type "f16"; F32, F16 and BF16 are read`,
		`{"w":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}}`: `tensor "w" has 9 dimensions; at most 8 are read`,
	} {
		_, _, err := ReadTensors(bytes.NewReader(file(header, 0, 0, 0, 0)))
		var ue *UnsupportedError
		if !errors.As(err, &ue) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an UnsupportedError with %q", err, want)
		}
	}
}

// TestReadTensorsFailingReader: what the reader says is not the file's fault.
func TestReadTensorsFailingReader(t *testing.T) {
	b := written(t, nil, []Tensor{{"w", []int{2}, []float32{1, 2}}})
	broken := errors.New("the disk is broken")
	for _, n := range []int{0, 5, 8, 20, len(b) - 3, len(b)} {
		_, _, err := ReadTensors(io.MultiReader(bytes.NewReader(b[:n]), iotest.ErrReader(broken)))
		var fe *FormatError
		if !errors.Is(err, broken) || errors.As(err, &fe) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

func TestCheckTensors(t *testing.T) {
	n := preset(t, "alexnet-small", 10)
	good := n.Init(1)
	if err := n.CheckTensors(good); err != nil {
		t.Error(err)
	}
	other := preset(t, "alexnet-small", 12)
	swapped := append([]Tensor{}, good...)
	swapped[0], swapped[1] = swapped[1], swapped[0]
	short := append([]Tensor{}, good...)
	short[1].Data = short[1].Data[:3]
	for want, ts := range map[string][]Tensor{
		"weights do not fit net alexnet-small: fc8.weight is [12 256], the net needs [10 256]":   other.Init(1),
		"weights do not fit net alexnet-small: fc8.bias is missing":                              good[:len(good)-1],
		"weights do not fit net alexnet-small: extra is not a parameter of the net":              append(append([]Tensor{}, good...), Tensor{Name: "extra"}),
		"weights do not fit net alexnet-small: conv1.bias stands where conv1.weight is expected": swapped,
		"weights do not fit net alexnet-small: conv1.bias has 3 values for its shape [32]":       short,
		"weights do not fit net alexnet-small: conv1.weight is missing":                          nil,
	} {
		err := n.CheckTensors(ts)
		var me *MismatchError
		if !errors.As(err, &me) || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// FuzzReadTensors: whatever is read is written and read again as the same, and
// nothing panics or takes memory that the file does not pay for.
func FuzzReadTensors(f *testing.F) {
	meta, ts := sampleTensors()
	f.Add(written(f, meta, ts))
	f.Add(written(f, nil, nil))
	f.Add(file(`{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 1, 2, 3, 4))
	f.Add(file(`{"w":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}`, 1, 2, 3, 0x7c))
	f.Add(file(`{"w":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}`, 1, 2, 3, 0xff))
	f.Add(file(`{"w":{"dtype":"F32","shape":[2147483647],"data_offsets":[0,8589934588]}}`))
	f.Add(file(`{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		meta, ts, err := ReadTensors(bytes.NewReader(b))
		if err != nil {
			var fe *FormatError
			var ue *UnsupportedError
			if !errors.As(err, &fe) && !errors.As(err, &ue) {
				t.Fatalf("an error of another kind: %v", err)
			}
			return
		}
		again := written(t, meta, ts)
		meta2, ts2, err := ReadTensors(bytes.NewReader(again))
		if err != nil || len(meta) != len(meta2) || len(ts) != len(ts2) {
			t.Fatalf("written and read again: %v", err)
		}
		if !bytes.Equal(again, written(t, meta2, ts2)) {
			t.Fatal("written again, the bytes are others")
		}
	})
}
