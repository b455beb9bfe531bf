package weights

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"alexnet/model"
)

// The instructions of pickles that the tests write.
const (
	proto2         = "\x80\x02"
	float32Storage = "ctorch\nFloatStorage\n"
)

func text(s string) string {
	return "X" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(s)))) + s
}

func integer(v int32) string { return "J" + string(binary.LittleEndian.AppendUint32(nil, uint32(v))) }

func integers(vs ...int32) string {
	s := "("
	for _, v := range vs {
		s += integer(v)
	}
	return s + "t"
}

func pickledStorage(kind, key string, size int32) string {
	return "(" + text("storage") + kind + text(key) + text("cpu") + integer(size) + "tQ"
}

func pickledTensor(storage string, offset int32, shape, strides string) string {
	return "ctorch._utils\n_rebuild_tensor_v2\n(" + storage + integer(offset) + shape + strides + "\x89ccollections\nOrderedDict\n)RtR"
}

// pickledDict makes a program that leaves a dict of names and values, in turn.
func pickledDict(items ...string) string {
	s := proto2 + "}("
	for i := 0; i < len(items); i += 2 {
		s += text(items[i]) + items[i+1]
	}
	return s + "u."
}

// zipped makes an archive of names and contents, in turn, stored.
func zipped(t testing.TB, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		h := &zip.FileHeader{Name: files[i], Method: zip.Store, CRC32: crc32.ChecksumIEEE([]byte(files[i+1])),
			CompressedSize64: uint64(len(files[i+1])), UncompressedSize64: uint64(len(files[i+1]))}
		f, err := w.CreateRaw(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// floats returns the bytes of values.
func floats(vs ...float32) string {
	var b []byte
	for _, v := range vs {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return string(b)
}

func readTorch(data []byte) ([]model.Tensor, error) {
	return ReadTorch(bytes.NewReader(data), int64(len(data)))
}

func testFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestTorchGolden(t *testing.T) {
	ts, err := readTorch(testFile(t, "golden.pth"))
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]struct {
		Shape []int
		Bits  []int32
	}
	if err := json.Unmarshal(testFile(t, "golden.json"), &want); err != nil {
		t.Fatal(err)
	}
	if len(ts) != len(want) || ts[0].Name != "features.0.weight" || ts[2].Name != "transposed" {
		t.Fatalf("%d tensors, first %q; want %d in the order of the file", len(ts), ts[0].Name, len(want))
	}
	for _, got := range ts {
		w, ok := want[got.Name]
		bits := make([]int32, len(got.Data))
		for i, v := range got.Data {
			bits[i] = int32(math.Float32bits(v))
		}
		if !ok || !slices.Equal(got.Shape, w.Shape) || !slices.Equal(bits, w.Bits) {
			t.Errorf("%s: shape %v, bits %v; want %v, %v", got.Name, got.Shape, bits, w.Shape, w.Bits)
		}
	}
}

// TestTorchForms reads what other versions and trainers write.
func TestTorchForms(t *testing.T) {
	storage := pickledStorage(float32Storage, "0", 6)
	tensor := pickledTensor(storage, 1, integers(2, 2), integers(1, 2))
	nested := "}(" + text("module.w") + tensor + "u"
	short := func(s string) string { return "\x8c" + string(rune(len(s))) + s }
	protocol4 := "\x80\x04\x95" + strings.Repeat("\x00", 8) + "}\x94(" + short("w") +
		short("torch._utils") + "\x94" + short("_rebuild_tensor_v2") + "\x94\x93\x94(" +
		"(" + short("storage") + short("torch") + short("FloatStorage") + "\x93" + short("0") + short("cuda:0") + "K\x06tQ" +
		"K\x01K\x02K\x02\x86K\x01M\x02\x00\x86\x89}tRu."
	for name, program := range map[string]string{
		"dict":               pickledDict("w", tensor),
		"nested":             pickledDict("epoch", "K\x05", "lr", "G?\xb9\x99\x99\x99\x99\x99\x9a", "state_dict", nested, "done", "N", "seeds", "](K\x01K\x02e", "big", "\x8a\x02\x00\x80"),
		"protocol 4":         protocol4,
		"int keys beside it": pickledDict("param_groups", "}K\x01K\x02s", "state_dict", nested),
	} {
		ts, err := readTorch(zipped(t, "x/data.pkl", program, "x/byteorder", "little", "x/data/0", floats(0, 1, 2, 3, 4, 5)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(ts) != 1 || ts[0].Name != "w" || !slices.Equal(ts[0].Data, []float32{1, 3, 2, 4}) {
			t.Errorf("%s: %+v", name, ts)
		}
	}
}

// TestTorchCorruptions damages and abuses the format in every way that came to mind.
func TestTorchCorruptions(t *testing.T) {
	golden := testFile(t, "golden.pth")
	data := floats(0, 1, 2, 3, 4, 5)
	storage := pickledStorage(float32Storage, "0", 6)
	good := pickledTensor(storage, 0, integers(6), integers(1))
	file := func(program string) []byte { return zipped(t, "x/data.pkl", program, "x/data/0", data) }
	tensor := func(s string) []byte { return file(pickledDict("w", s)) }
	flipped := file(pickledDict("w", good))
	flipped[bytes.Index(flipped, []byte(data))+9] ^= 1
	promising := file(pickledDict("w", pickledTensor(pickledStorage(float32Storage, "0", 1<<22+6), 0, integers(6), integers(1))))
	entry := promising[bytes.LastIndex(promising, []byte("PK\x01\x02")):] // of data/0 in the directory: its two sizes
	binary.LittleEndian.PutUint32(entry[20:], 1<<24+24)
	binary.LittleEndian.PutUint32(entry[24:], 1<<24+24)
	long := pickledTensor(pickledStorage(float32Storage, "0", 100), 0, integers(100), integers(1))
	views := []string{"first", long + "q\x01"} // the others come out of the memo, which costs a few bytes each
	for i := range 400 {
		views = append(views, fmt.Sprint(i), "h\x01")
	}
	var deflated bytes.Buffer
	w := zip.NewWriter(&deflated)
	f, _ := w.Create("x/data.pkl")
	f.Write(make([]byte, 1<<20))
	w.Close()

	for _, c := range []struct {
		name        string
		data        []byte
		unsupported bool
		want        string
	}{
		{"empty", nil, false, "not a zip archive"},
		{"other file", []byte("\x89HDF\r\n\x1a\n"), false, "not a zip archive"},
		{"legacy", testFile(t, "legacy.pth"), true, "before PyTorch 1.6; write it again"},
		{"evil", testFile(t, "evil.pth"), true, `refers to "posix.system"`},
		{"eval", file(proto2 + "cbuiltins\neval\n" + text("1") + "\x85R."), true, `refers to "builtins.eval"`},
		{"cut short", golden[:len(golden)-30], false, "damaged or cut short"},
		{"only the start", golden[:100], false, "damaged or cut short"},
		{"a storage's bit", flipped, false, `tensor "w": malformed PyTorch file: data/0: it is damaged`},
		{"no data.pkl", zipped(t, "x/data/0", data), false, "no NAME/data.pkl"},
		{"file twice", zipped(t, "x/data.pkl", ".", "x/data/0", data, "x/data/0", data), false, "twice"},
		{"compressed", deflated.Bytes(), true, "compressed"},
		{"big-endian", zipped(t, "x/data.pkl", pickledDict("w", good), "x/byteorder", "big", "x/data/0", data), true, `"big"`},
		{"large pickle", file(strings.Repeat("0", maxPickle+1)), false, "are expected at most"},
		{"promises more than there is", promising, false, "data/0: it promises 16777240 bytes"},
		{"no storage file", zipped(t, "x/data.pkl", pickledDict("w", good)), false, "lacks this file"},
		{"storage too short", zipped(t, "x/data.pkl", pickledDict("w", good), "x/data/0", data[:20]), false, "20 bytes for a storage of 24"},
		{"storage too long", zipped(t, "x/data.pkl", pickledDict("w", good), "x/data/0", data+"1234"), false, "28 bytes; 24 are expected"},
		{"pickle ends", file(proto2 + "}(" + text("w")), false, "ends early"},
		{"pickle empty", file(""), false, "ends early"},
		{"string past the end", file(proto2 + "X\xff\xff\xff\x7fabc"), false, "ends early"},
		{"long string past the end", file(proto2 + "\x8d\xff\xff\xff\xff\xff\xff\xff\xffabc"), false, "ends early"},
		{"global without end", file(proto2 + "ctorch"), false, "ends early"},
		{"global of numbers", file("\x80\x04K\x01K\x02\x93."), false, "not text"},
		{"protocol 1", file("\x80\x01."), true, "protocol 1"},
		{"stack empty", file(proto2 + "."), false, "the stack is empty"},
		{"mark as value", file(proto2 + "(\x85."), false, "a mark stands"},
		{"no mark", file(proto2 + "u."), false, "no mark"},
		{"memo", file(proto2 + "h\x07."), false, "no entry 7"},
		{"stack flood", file(proto2 + strings.Repeat("N", maxPickled+1)), false, "on the stack"},
		{"unknown instruction", file(proto2 + "i."), true, `instruction "i"`},
		{"odd items", file(proto2 + "}(Nu."), false, "not pairs"},
		{"list items for a dict", file(proto2 + "}Na."), false, "not pairs"},
		{"dict items for a list", file(proto2 + "]NNs."), false, "a list gets"},
		{"items for a number", file(proto2 + "K\x01NNs."), false, "items for a int64"},
		{"attributes of a list", file(proto2 + "]}b."), true, "attributes for a"},
		{"call of a dict", file(proto2 + "})R."), true, "a call of"},
		{"call without tuple", file(proto2 + "ccollections\nOrderedDict\nNR."), false, "not a tuple"},
		{"OrderedDict of items", file(proto2 + "ccollections\nOrderedDict\n]\x85R."), true, "with 1 arguments"},
		{"call of a type", file(proto2 + float32Storage + "K\x05\x85R."), true, "a call of torch.FloatStorage"},
		{"persistent id", tensor("NQ"), false, "not that of a storage"},
		{"storage of no type", tensor(pickledStorage("N", "0", 6)), false, "without type"},
		{"storage of functions", tensor(pickledStorage("ccollections\nOrderedDict\n", "0", 6)), false, "without type"},
		{"negative storage", tensor(pickledStorage(float32Storage, "0", -6)), false, "without type"},
		{"int storage", tensor(pickledStorage("ctorch\nLongStorage\n", "0", 6)), true, `"torch.LongStorage"`},
		{"tensor without storage", tensor(pickledTensor("N", 0, integers(6), integers(1))), false, "without storage"},
		{"strides missing", tensor(pickledTensor(storage, 0, integers(2, 3), integers(1))), false, "without storage"},
		{"sizes not numbers", tensor(pickledTensor(storage, 0, "(NNt", integers(1, 1))), false, "without storage"},
		{"nine dimensions", tensor(pickledTensor(storage, 0, integers(1, 1, 1, 1, 1, 1, 1, 1, 1), integers(1, 1, 1, 1, 1, 1, 1, 1, 1))), false, "without storage"},
		{"negative size", tensor(pickledTensor(storage, 0, integers(-6), integers(1))), false, "negative or too large"},
		{"huge", tensor(pickledTensor(storage, 0, integers(1<<20, 1<<20), integers(0, 0))), false, "too large"},
		{"expanded", tensor(pickledTensor(storage, 0, integers(7), integers(0))), false, "repeats values"},
		{"past the end", tensor(pickledTensor(storage, 1, integers(6), integers(1))), false, "outside of its storage"},
		{"stride past the end", tensor(pickledTensor(storage, 0, integers(3), integers(3))), false, "outside of its storage"},
		{"negative stride", tensor(pickledTensor(storage, 5, integers(6), integers(-1))), false, "stride is negative"},
		{"negative offset", tensor(pickledTensor(storage, -1, integers(6), integers(1))), false, "outside of its storage"},
		{"storage of two types", file(pickledDict("a", good, "w", pickledTensor(pickledStorage("ctorch\nHalfStorage\n", "0", 12), 0, integers(6), integers(1)))), false, "another type"},
		{"many views", file(pickledDict(views...)), true, "more than 4 times"},
		{"name twice", file(pickledDict("w", good, "module.w", good)), false, "used twice"},
		{"not a tensor", file(pickledDict("w", good, "epoch", "K\x01")), true, `"epoch": it is not a tensor`},
		{"no tensors", file(pickledDict("state_dict", "}")), true, "not a dict of names"},
		{"a list", file(proto2 + "]."), true, "no state dict"},
		{"numbers as keys", file(proto2 + "}(K\x01" + good + text("w") + good + "u."), true, "not a dict of names"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ts, err := readTorch(c.data)
			var bad *FormatError
			var no *UnsupportedError
			if err == nil || errors.As(err, &bad) == c.unsupported || errors.As(err, &no) != c.unsupported || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, tensors %d; want one with %q, unsupported: %v", err, len(ts), c.want, c.unsupported)
			}
		})
	}
}

func TestTorchReadError(t *testing.T) {
	broken := errors.New("the disk is gone")
	_, err := ReadTorch(failingReader{broken}, 1000)
	if !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
}

type failingReader struct{ err error }

func (f failingReader) ReadAt(p []byte, _ int64) (int, error) {
	return iotest.ErrReader(f.err).Read(p)
}

// TestEveryFlippedBitOfTorch damages a file at every byte: it must be refused or
// read, never more.
func TestEveryFlippedBitOfTorch(t *testing.T) {
	golden := testFile(t, "golden.pth")
	for i := range golden {
		b := slices.Clone(golden)
		b[i] ^= 1 << (i % 8)
		if ts, err := readTorch(b); err == nil && len(ts) == 0 {
			t.Errorf("byte %d: neither tensors nor an error", i)
		}
		_, _ = readTorch(golden[:i])
	}
}

func FuzzReadTorch(f *testing.F) {
	for _, name := range []string{"golden.pth", "legacy.pth", "evil.pth"} {
		f.Add(testFile(f, name))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		ts, err := readTorch(data)
		if err != nil {
			return
		}
		total := 0
		for _, s := range ts {
			total += len(s.Data)
		}
		if total*2 > maxShared*len(data) {
			t.Errorf("%d values out of %d bytes", total, len(data))
		}
	})
}

// FuzzUnpickle reaches the machine without the checksums of the archive.
func FuzzUnpickle(f *testing.F) {
	storage := pickledStorage(float32Storage, "0", 6)
	f.Add([]byte(pickledDict("w", pickledTensor(storage, 0, integers(2, 3), integers(3, 1)), "n", "K\x01q\x01h\x01")))
	z, err := openTorch(bytes.NewReader(testFile(f, "golden.pth")), int64(len(testFile(f, "golden.pth"))))
	if err != nil {
		f.Fatal(err)
	}
	program, err := z.read("data.pkl", maxPickle)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(program)
	data := make([]byte, 1<<16)
	f.Fuzz(func(t *testing.T, program []byte) {
		root, err := unpickle(program)
		if err != nil {
			return
		}
		refs, _, err := stateDict(root)
		if err != nil {
			return
		}
		for _, r := range refs {
			if r.storage.size <= 1<<13 && r.check() == nil { // fits into data in any type
				if n, _ := volume(r.shape); len(r.values(data)) != n {
					t.Errorf("values of %+v", r)
				}
			}
		}
	})
}
